"""The original Alchemy's search, which knows the chemistry here, timed for the benchmark `solvers`.

"Give it the exact constraint, stone map and potion map so it can run as the oracle", says the original's own test of
its ideal observer, and so it does here: with the published tables of the level all_fixed_bottleneck1 nothing is unknown
to it. The package runs as in alchemy_original.py. Loading its tables, half a minute, is not timed.
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.alchemy_original import CHECKOUT, compile_protocols, peer_python
from benchmarks.alchemy_original_beliefs import mend

BONUS, STONES, POTIONS = 12, 3, 12


def measure(trials: int = 40) -> dict[str, Any]:
    """Random trials, what the search finds them worth, and CPU and wall-clock seconds a trial, one thread.

    Returns:
        stones [trials, 3] as latent vertices, potions [trials, 12] as latent numbers, values [trials], cpu, wall.
    """
    command = [str(peer_python()), "-I", str(Path(__file__).resolve()), str(CHECKOUT), str(trials)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


# What follows runs in the original's environment, where there is no percepts.


def search(trials: int) -> None:
    """Print, as JSON, what `measure` gives."""
    from dm_alchemy.ideal_observer import ideal_observer, precomputed_maps
    from dm_alchemy.types.stones_and_potions import AlignedStone, PerceivedPotion

    precomputed = precomputed_maps.load_from_level_name("all_fixed_bottleneck1")
    assert [list(maps) for maps in (precomputed.stone_maps, precomputed.potion_maps)] == [[7], [7]], "identities"
    rng = np.random.RandomState(0)
    vertices, latent = rng.randint(0, 8, (trials, STONES)), rng.randint(0, 6, (trials, POTIONS))
    values, cpu, wall = [], 0.0, 0.0
    for number in range(trials):
        signs = 2 * (vertices[number][:, None] >> np.arange(3) & 1) - 1
        stones = collections.Counter(AlignedStone(int(sign.sum()), sign).index() for sign in signs)
        kinds = [PerceivedPotion(int(q) // 2, 2 * (int(q) % 2) - 1) for q in latent[number]]
        potions = collections.Counter(kind.index() for kind in kinds)
        began = time.perf_counter(), time.process_time()
        belief = ideal_observer.BeliefState(precomputed)
        belief.new_trial(stones, potions)
        _, objective, _ = ideal_observer.ideal_observer(belief, {}, BONUS, precomputed, False)
        wall, cpu = wall + time.perf_counter() - began[0], cpu + time.process_time() - began[1]
        values.append(float(objective[0]))
    told = {"stones": vertices.tolist(), "potions": latent.tolist(), "values": values}
    print(json.dumps({**told, "cpu": cpu / trials, "wall": wall / trials}))


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    compile_protocols()
    mend()
    search(int(sys.argv[2]))
