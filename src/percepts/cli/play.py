"""`percepts play`: environments in a window, for humans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from percepts.cli.words import command_parser, flags, usage


def play(words: list[str]) -> int:
    """Play a task by hand: press on a sprite or a stone and drag it; where there is a body, keys and the space bar.

    R begins the next episode, Q quits."""
    parser = command_parser(
        play,
        "percepts play spriteworld sorting",
        "percepts play spriteworld goal-finding-embodied",
        "percepts play spriteworld clustering --mode test --noise 0.05 --record clustering.gif",
        "percepts play alchemy",
        "percepts play alchemy random-bottleneck --hands --record alchemy.gif",
    )
    parser.add_argument("environment", choices=("spriteworld", "alchemy"))
    parser.add_argument(
        "task", nargs="?", metavar="TASK", help="its name, or a level; without it, all names or the main level"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and the noise")
    parser.add_argument(
        "--size", type=int, help="pixels from top to bottom: 256, and 216 of alchemy; agents see 64 and 72"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE.gif", help="write what was played in the window as a GIF at the end"
    )
    sprites = parser.add_argument_group("spriteworld")
    sprites.add_argument("--mode", default="train", help="of the task, such as the held-out test")
    sprites.add_argument("--noise", type=float, help="standard deviation of the noise on actions")
    sprites.add_argument("--renderer", choices=("exact", "fast", "pil"), default="exact", help="who draws")
    stones = parser.add_argument_group("alchemy")
    stones.add_argument("--hands", action="store_true", help="a body that walks and looks, in place of a cursor")
    stones.add_argument("--trials", type=int, default=10, help="of an episode")
    stones.add_argument("--seconds", type=float, default=60.0, help="of a trial")
    options = parser.parse_args(words)
    given = flags(words)
    for group, environment in ((sprites, "spriteworld"), (stones, "alchemy")):
        for action in group._group_actions if environment != options.environment else ():
            if taken := given.intersection(action.option_strings):
                raise usage(
                    f"{min(taken)}, which belongs to {environment}", f"percepts play {environment} {min(taken)} …"
                )
    return _play_alchemy(options) if options.environment == "alchemy" else _play(options)


def _play(options: Any) -> int:
    from percepts.core.optional import require_package

    require_package("gymnasium", "envs")
    from percepts.envs.spriteworld import TASKS
    from percepts.envs.spriteworld.env import SpriteworldEnv
    from percepts.envs.spriteworld.play import play as open_window

    if options.task is None:
        raise usage("which task?", f"percepts play spriteworld TASK, one of {', '.join(TASKS)}")
    environment = SpriteworldEnv(
        options.task,
        options.mode,
        options.noise,
        render_mode="rgb_array",
        keys=("success",),
        renderer=options.renderer,
        height=options.size or 256,
        width=options.size or 256,
    )
    player = open_window(environment, options.seed, options.record)
    print(player.status)
    if options.record is not None:
        print(f"{options.record}: {len(player.frames)} frames")
    return 0


def _play_alchemy(options: Any) -> int:
    from percepts.core.optional import require_package

    require_package("gymnasium", "envs")
    from percepts.envs.alchemy.bench import Bench
    from percepts.envs.alchemy.levels import MAIN_LEVEL
    from percepts.envs.alchemy.play import HUMAN_VIEW
    from percepts.envs.alchemy.play import play as open_window
    from percepts.envs.alchemy.table import Table

    table = Table.Config(level=options.task or MAIN_LEVEL, trials=options.trials)
    bench = Bench.Config(table=table, seconds=options.seconds).build()
    height = options.size or HUMAN_VIEW.height
    view = dataclasses.replace(HUMAN_VIEW, height=height, width=height * 4 // 3)
    player = open_window(bench, "hands" if options.hands else "cursor", options.seed, options.record, view)
    print(player.status)
    if options.record is not None:
        print(f"{options.record}: {len(player.frames)} frames")
    return 0
