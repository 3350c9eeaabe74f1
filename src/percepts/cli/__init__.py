"""The command line: thin typed functions that call the rooms below. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from percepts import __version__
from percepts.cli.data import data
from percepts.cli.explore import explore
from percepts.cli.play import play
from percepts.cli.showing import doctor, presets, report, reproduce, runs
from percepts.cli.sweeps import select, sweep
from percepts.cli.training import evaluate, train
from percepts.cli.words import encodable

HELP = f"""percepts {__version__}: learn factors, objects, relations and concepts from pixels, and act on them

  percepts train PRESET          train, measure and report; --help lists every setting
  percepts train --resume RUN    continue a run to the bits of an unbroken one
  percepts train cobra           train an agent: vision, exploration, tasks, evaluation
  percepts train alchemy         train a learner at the table of Alchemy
  percepts evaluate RUN          measure a run again
  percepts report RUN            write its report.html again
  percepts runs list [FOLDER]    the runs in a folder; also: runs show RUN, runs diff RUN RUN
  percepts sweep PRESET …        presets × a grid of settings × seeds, side by side here or on a Ray cluster; resumable
  percepts select SWEEP          rank a sweep's runs without labels (UDR), choose one, write a report
  percepts data list             datasets; also: data preview NAME, data cache NAME, data check FILE
  percepts play spriteworld TASK a task by hand, in a window; --record FILE.gif
  percepts explore WORLD         agents and language models that find out hidden rules: feature-world, text-alchemy
  percepts presets               what can be trained, with what to expect
  percepts reproduce STUDY       a study: presets, seeds, claims; writes RESULTS.md
  percepts doctor                versions, devices, threads, optional features

examples
  percepts train demo
  percepts train demo --data.folder my_images/ --max-minutes 3
  percepts train demo --seed 1 --steps 2000 --lr 1e-3 --out runs/short
  percepts runs diff runs/a runs/b
  percepts sweep beta-vae-squares24 --grid model.beta=1,4,14 --seeds 0-4 --out runs/sweeps/beta
  percepts select runs/sweeps/beta
  percepts train alchemy --preset cpu --out runs/alchemy
  percepts explore feature-world --agent optimal --episodes 200
  percepts play alchemy

Add --help to any command for its settings."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 an error, 2 a wrong command, 3 a study missed a claim or a
    selection chose nothing, 128+n stopped by signal n)."""
    encodable(sys.stdout, sys.stderr)
    words = list(sys.argv[1:] if argv is None else argv)
    from percepts.core.errors import PerceptsError

    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except PerceptsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if words[0] in ("-V", "--version"):
        print(__version__)
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        from percepts.core.errors import nearest

        close = nearest(words[0], COMMANDS)
        hint = f", did you mean '{close}'?" if close else ""
        print(f"error: unknown command '{words[0]}'{hint or '.'} See percepts --help", file=sys.stderr)
        return 2
    return command(words[1:])


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "runs": runs,
    "sweep": sweep,
    "select": select,
    "data": data,
    "play": play,
    "explore": explore,
    "presets": presets,
    "reproduce": reproduce,
    "doctor": doctor,
}
