"""`percepts play`: environments in a window, for humans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.cli.words import command_parser, usage


def play(words: list[str]) -> int:
    """Play a task by hand: press on a sprite and drag it; where there is a body, arrow keys and the space bar.

    R begins the next episode, Q quits."""
    parser = command_parser(
        play,
        "percepts play spriteworld sorting",
        "percepts play spriteworld goal-finding-embodied",
        "percepts play spriteworld clustering --mode test --noise 0.05 --record clustering.gif",
    )
    parser.add_argument("environment", choices=("spriteworld",))
    parser.add_argument("task", nargs="?", metavar="TASK", help="its name; without it, all names")
    parser.add_argument("--mode", default="train", help="of the task, such as the held-out test")
    parser.add_argument("--noise", type=float, help="standard deviation of the noise on actions")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and the noise")
    parser.add_argument("--size", type=int, default=256, help="pixels a side; agents usually see 64")
    parser.add_argument("--renderer", choices=("exact", "fast", "pil"), default="exact", help="who draws")
    parser.add_argument("--record", type=Path, metavar="FILE.gif", help="write what was played as a GIF at the end")
    return _play(parser.parse_args(words))


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
        height=options.size,
        width=options.size,
    )
    player = open_window(environment, options.seed, options.record)
    print(player.status)
    if options.record is not None:
        print(f"{options.record}: {len(player.frames)} frames")
    return 0
