"""The trackers once more, one episode and one step after another in plain Python, to be compared with."""

from __future__ import annotations

from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.recording import Recording

COUNTED = ("score", "potions_used", "stones_banked", "no_change", "negative_banked", "gold_spoiled")
VALUE = {-3: -3, -1: -1, 1: 1, 3: 15}


def plainly(recording: Recording, episode: int, trial: int) -> dict[str, float]:
    """Every tracker of one trial, from its actions and items alone."""
    tables = chemistry_tables()
    graph = int(recording.chemistry.graph[episode * recording.stones.shape[1] + trial])
    stones = recording.stones[episode, trial].tolist()
    potions: list[int | None] = recording.potions[episode, trial].tolist()
    start, here = list(stones), [True] * len(stones)
    width = len(potions) + 1
    found = dict.fromkeys(
        ("score", "potions_used", "stones_banked", "no_change", "negative_banked", "gold_spoiled"), 0.0
    )
    banked, better = [], []
    steps = [step for step in range(recording.trial.shape[1]) if int(recording.trial[episode, step]) == trial]
    for step in steps:
        action = int(recording.action[episode, step]) - 1
        if action < 0 or not here[action // width]:
            continue
        stone, column = divmod(action, width)
        shown = int(tables.shown[stones[stone]])
        if column == 0:
            here[stone] = False
            banked.append(VALUE[shown])
            better.append(VALUE[shown] - VALUE[int(tables.shown[start[stone]])])
            found["negative_banked"] += shown < 0
        elif potions[column - 1] is not None:
            after = int(tables.transition[graph, stones[stone], potions[column - 1]])
            found["potions_used"] += 1
            found["no_change"] += after == stones[stone]
            found["gold_spoiled"] += shown == 3 and int(tables.shown[after]) < 3
            stones[stone], potions[column - 1] = after, None
    found["score"], found["stones_banked"] = float(sum(banked)), float(len(banked))
    found["banked_value"] = sum(banked) / len(banked) if banked else 0.0
    found["improvement"] = sum(better) / len(better) if better else 0.0
    left = [VALUE[int(tables.shown[stone])] for stone, there in zip(stones, here) if there]
    found["positive_not_banked"] = float(sum(value > 0 for value in left))
    found["plus_one_not_banked"] = float(sum(value == 1 for value in left))
    return found
