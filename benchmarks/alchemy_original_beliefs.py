"""What the original Alchemy believes, recorded for the relaxed belief: `python -m benchmarks.alchemy_original_beliefs`.

The package runs as in alchemy_original.py. Written is tests/envs/alchemy/golden/relaxed.json: an episode with random
actions for every level and seed, the 28 numbers of the belief that it shows after every step, as 0, 1 (for 0.5) and 2,
and how many world states it counts. Loading its tables takes half a minute a level.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.alchemy_original import CHECKOUT, COMMIT, MAIN, PLAIN, ROOT, compile_protocols, peer_python

GOLDEN = ROOT / "tests" / "envs" / "alchemy" / "golden" / "relaxed.json"
OPEN = "perceptual_mapping_randomized"
ROLLOUTS = ((PLAIN, 300), (PLAIN, 301), (PLAIN, 302), (MAIN, 310), (MAIN, 311), (OPEN, 320))
"""Levels and seeds."""


def main() -> None:
    """Record the golden values."""
    command = [str(peer_python()), "-I", str(Path(__file__).resolve()), str(CHECKOUT)]
    GOLDEN.write_text(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"written to {GOLDEN} ({GOLDEN.stat().st_size / 1000:.0f} kB)")


# What follows runs in the original's environment, where there is no percepts.


def record() -> None:
    """Print, as JSON, the golden values."""
    lines = ",\n".join(json.dumps(_rollout(level, seed), separators=(",", ":")) for level, seed in ROLLOUTS)
    head = {"made_by": "python -m benchmarks.alchemy_original_beliefs", "commit": COMMIT, "numpy": np.__version__}
    print(json.dumps(head)[:-1] + ',\n"rollouts": [\n' + lines + "\n]}")


def _rollout(level: str, seed: int) -> dict[str, Any]:
    """An episode; beliefs where they change, with the number of the step, world states after every step."""
    from dm_alchemy import symbolic_alchemy
    from dm_alchemy.types import utils

    # The tables do not depend on the rotation, and none are kept for levels with one.
    seen = utils.ChemistrySeen(content=utils.ElementContent.BELIEF_STATE, precomputed=PLAIN if level == MAIN else level)
    environment = symbolic_alchemy.get_symbolic_alchemy_level(level, seed=seed, see_chemistries={"belief": seen})
    rng = np.random.RandomState(1000 + seed)
    step = environment.reset()
    actions: list[int] = []
    beliefs: list[tuple[int, str]] = []
    counts: list[int] = []
    while True:
        belief = "".join(str(round(2 * float(number))) for number in step.observation["belief"])
        if not beliefs or beliefs[-1][1] != belief:
            beliefs.append((len(actions), belief))
        counts.append(int(environment.trackers["belief_state"].belief_state.num_world_states))
        if step.last():
            return {"level": level, "seed": seed, "actions": actions, "beliefs": beliefs, "world_states": counts}
        actions.append(int(rng.randint(1, 40)))
        step = environment.step(actions[-1])


def mend() -> None:
    """The original on a current NumPy, and with a table that is computed where its file is missing."""
    from dm_alchemy.encode import precomputed_maps_proto_conversion as conversion
    from dm_alchemy.ideal_observer import precomputed_maps
    from dm_alchemy.types import graphs

    stack, load = np.stack, conversion.load_int_array
    computed: list[Any] = []

    def load_or_compute(folder: str, name: str) -> Any:
        if name != "missing_edge_no_change" or (Path(folder) / name).exists():
            return load(folder, name)
        if not computed:
            permutations = precomputed_maps.get_perm_index_conversion()[1]
            computed.append(precomputed_maps.get_missing_edge_no_change(permutations, graphs.cube_edges()))
        return computed[0]

    np.stack = lambda arrays, *rest, **named: stack(list(arrays), *rest, **named)
    conversion.load_int_array = load_or_compute


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        sys.path.insert(0, sys.argv[1])
        compile_protocols()
        mend()
        record()
