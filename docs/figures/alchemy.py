"""The picture of Alchemy's page: `python docs/figures/alchemy.py` writes docs/images/alchemy.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from percepts.envs.alchemy.bench import Bench
from percepts.envs.alchemy.cursor import Cursor
from percepts.envs.alchemy.executor import Executor
from percepts.envs.alchemy.hands import Hands
from percepts.envs.alchemy.interfaces import PlayerState
from percepts.envs.alchemy.picture import draw_tables
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.table import Table

HEIGHT, WIDTH, GAP = 216, 288, 8
SEED, STONE, POTION = 3, 1, 4
TARGET = Path(__file__).parent.parent / "images" / "alchemy.png"


def main() -> None:
    """A stone on its way into a potion, by a cursor and by a hand; and the same table from above."""
    table = Table.Config(level="random-bottleneck")
    bench = Bench.Config(table=table).build()
    look = SceneView.Config(height=HEIGHT, width=WIDTH, samples=3, shadows=True, gloss=True).build(bench=bench)
    action = torch.tensor([1 + STONE * (table.potions + 1) + 1 + POTION])
    pictures = []
    for kind in (Cursor, Hands):
        interface, frames = kind(bench), list[PlayerState]()
        executor = Executor(interface, watch=frames.append)
        executor.step(executor.reset([SEED]), action)
        player = frames[7 * len(frames) // 10]
        camera, arm = interface.look(player)  # type: ignore[arg-type]
        pictures.append(look.draw(player.bench, camera, arm).image[0].numpy())
    pictures.append(draw_tables(table.build().reset([SEED]), HEIGHT, WIDTH)[0])
    paper = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    whole = np.concatenate([pictures[0], paper, pictures[1], paper, pictures[2]], 1)
    Image.fromarray(whole).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
