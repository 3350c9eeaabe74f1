"""`percepts explore`: agents that have to find out hidden rules, programs or language models, in worlds of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from percepts.cli.explore_settings import PROGRAMS, alchemy_settings, asked_otherwise, feature_settings
from percepts.cli.holdings import check_kind
from percepts.cli.live import LiveTable, summary_table
from percepts.cli.words import command_parser, flags, usage

if TYPE_CHECKING:
    from percepts.agents.explorers.runs import ExplorerRun

WORLDS = ("feature-world", "text-alchemy")
MODEL, OF_MODELS = "a language model", "how a language model is asked"
"""Groups of options that mean nothing to programs."""
GO_ON = (
    "--base-url", "--limit-field", "--no-seed", "--timeout", "--tries", "--requests-per-minute", "--tokens-per-minute",
    "--price", "--spend",
)  # fmt: skip
"""Options that a run may be gone on with: where, how patiently and at which cost a model is asked, not what."""
NEEDS = {
    "--announced": "--switch N",
    **dict.fromkeys(("--every", "--style", "--summaries"), "--summary replace or augment"),
    **dict.fromkeys(("--demonstrator", "--demonstrated-rules", "--demonstrated-as"), "--demonstrations N"),
    "--spend": "--price READ,WRITTEN",
}
"""Options that mean nothing without another one."""


def explore(words: list[str]) -> int:
    """Let an agent find out hidden rules by its own tests, and report how well it did.

    feature-world   which features make objects light up? Every test tells it of one object.
    text-alchemy    what do potions do to stones, and what is worth most? Ten trials under the same rules.
    report          runs side by side, on one page

    Agents are programs (percepts explore WORLD --help names them; optimal and sampling by default)
    or any language model: behind an HTTP endpoint
    that speaks OpenAI's protocol (--model, --base-url; the key is read from the environment variable OPENAI_API_KEY
    and nowhere else), or in this process (--local). Every turn is on the disk before the next one: after a crash,
    --resume goes on, and nothing that was answered is asked or paid for again. A run may be gone on
    with --spend, --price, --base-url, --limit-field, --no-seed, --timeout, --tries and limits of its own."""
    parser = command_parser(
        explore,
        "percepts explore feature-world --agent optimal --episodes 200",
        "percepts explore feature-world --world conjunction --values 3 --model gpt-4o --condition guided",
        "percepts explore text-alchemy --agent sampling --recall reset --trials 20 --switch 10 --episodes 120",
        "percepts explore text-alchemy --model qwen --base-url http://localhost:8000/v1 --summary augment",
        "percepts explore feature-world --resume runs/guided",
        "percepts explore report runs/optimal runs/guided --out runs/comparison",
        add_help=not (words and words[0] in (*WORLDS, "report")),
    )
    parser.add_argument("world", choices=(*WORLDS, "report"), help="what is explored, or the page of finished runs")
    if not words or words[0] not in (*WORLDS, "report"):
        parser.parse_args(words)
    return {"feature-world": feature_world, "text-alchemy": text_alchemy, "report": report_runs}[words[0]](words[1:])


def feature_world(words: list[str]) -> int:
    """Find out which features make objects light up, in as few tests as possible (Ke et al. 2024).

    Programs: optimal (most information), random, random-repeats, curious (tests what it has seen least), learner (has
    learned by rewards). A language model: --model or --local."""
    parser = _parser(
        feature_world,
        "feature-world",
        "percepts explore feature-world --agent optimal --episodes 200 --out runs/optimal",
        "percepts explore feature-world --world conjunction --values 3 --model gpt-4o --condition guided",
        "percepts explore feature-world --agent random --mode answer --budget 12",
        "percepts explore feature-world --objects 20 --object-sets 50 --noise 0.2 --mode answer --model o3 "
        "--extra reasoning_effort=low",
    )
    world = parser.add_argument_group("the world")
    world.add_argument("--world", default="single", help="single, conjunction, two-of-three or table-top")
    world.add_argument("--values", type=int, help="of every dimension; 5 (table-top: 4) by default")
    world.add_argument("--dimensions", type=_names, metavar="NAME,NAME", help="such as colour,shape,texture")
    world.add_argument("--mode", choices=("identify", "answer"), help="whether it ends by itself or by an answer")
    world.add_argument("--objects", type=int, help="on offer, a random choice of all; all by default (table-top: 12)")
    world.add_argument("--object-sets", type=int, metavar="N", help="such choices, of which an episode has one")
    world.add_argument("--any-objects", action="store_true", help="even where they leave rules that none tells apart")
    world.add_argument("--noise", type=float, metavar="P", help="how often another object is tested than was asked for")
    world.add_argument("--budget", type=int, help="of tests; twice what the optimal agent needs by default")
    asked = parser.add_argument_group(OF_MODELS)
    asked.add_argument("--condition", choices=("plain", "steps", "guided"), default="plain", help="of the reasoning")
    asked.add_argument("--self-correction", action="store_true", help="every choice is checked by the model")
    asked.add_argument("--memory", choices=("transcript", "log", "table"), default="log", help="how tests are shown")
    asked.add_argument("--retries", type=int, default=1, help="of a reply that cannot be understood")
    return _run(parser, words, feature_settings)


def text_alchemy(words: list[str]) -> int:
    """Play Alchemy in words: learn from trial to trial what potions do, and make use of it (Ke et al. 2025).

    Programs: oracle (knows the rules), sampling and qmdp (infer exactly), notebook (keeps a few facts),
    random-heuristic, cash-only, random. A language model: --model or --local."""
    parser = _parser(
        text_alchemy,
        "text-alchemy",
        "percepts explore text-alchemy --agent sampling --recall carry --trials 20 --switch 10 --episodes 120",
        "percepts explore text-alchemy --model gpt-4o --summary replace --told rewards,pairs,determinism",
        "percepts explore text-alchemy --local models/qwen --history trial --summary augment --style free",
        "percepts explore text-alchemy --model gpt-4o --demonstrations 2 --demonstrated-as log",
    )
    world = parser.add_argument_group("the game")
    world.add_argument("--trials", type=int, default=10, help="of a game")
    world.add_argument("--steps", type=int, default=20, help="of a trial")
    world.add_argument("--switch", type=int, metavar="N", help="after N trials the chemistry is replaced")
    world.add_argument("--announced", action="store_true", help="and players are told so")
    world.add_argument("--level", default="random-bottleneck", help="of Alchemy, such as no-bottleneck")
    world.add_argument("--told", type=_names, default=(), metavar="BLOCK,BLOCK", help="rewards, pairs, determinism")
    world.add_argument(
        "--recall",
        choices=("forget", "carry", "reset"),
        default="reset",
        help="what sampling and qmdp keep of earlier trials: nothing; all, and never doubt it; all, until something "
        "contradicts it",
    )
    asked = parser.add_argument_group(OF_MODELS)
    asked.add_argument("--condition", choices=("plain", "steps", "guided"), default="steps", help="of the reasoning")
    asked.add_argument("--self-correction", action="store_true", help="every reply is checked by the model")
    asked.add_argument("--retries", type=int, default=1, help="of a reply that comes to nothing")
    asked.add_argument("--history", choices=("full", "trial", "log"), default="full", help="what is shown of the past")
    asked.add_argument("--summary", choices=("none", "replace", "augment"), default="none", help="of earlier trials")
    asked.add_argument("--every", type=int, default=1, metavar="K", help="trials between two summaries")
    asked.add_argument("--style", choices=("structured", "free"), default="structured", help="of summaries")
    asked.add_argument("--demonstrations", type=int, metavar="N", help="trials of a program to watch before the game")
    asked.add_argument("--demonstrator", metavar="AGENT", help="that program; oracle by default")
    asked.add_argument("--demonstrated-rules", choices=("same", "other"), help="as in the game, or others (default)")
    asked.add_argument("--demonstrated-as", choices=("turns", "log"), help="whole turns (default), or a line for each")
    asked.add_argument("--summaries", metavar="RUN", help="show those of another run with this seed")
    return _run(parser, words, alchemy_settings)


def report_runs(words: list[str]) -> int:
    """Put finished runs of one kind of world on one page, compared with the first in pairs."""
    parser = command_parser(report_runs, "percepts explore report runs/optimal runs/guided --out runs/comparison")
    parser.prog = "percepts explore report"
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the folders")
    parser.add_argument("--out", metavar="FOLDER", help="where the page goes; a single run's own folder by default")
    options = parser.parse_args(words)
    for folder in options.runs:
        check_kind(folder, "explorer")
    from percepts.report.explorers import report_explorers

    print(f"report: {report_explorers(options.runs, options.out)}")
    return 0


def _parser(command: Any, name: str, *examples: str) -> Any:
    parser = command_parser(command, *examples, f"percepts explore {name} --resume runs/optimal")
    parser.prog = f"percepts explore {name}"
    parser.add_argument(
        "--agent", help=f"a program by name, or model; {PROGRAMS[name]} by default, model where one is named"
    )
    parser.add_argument("--episodes", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes; equal seeds are equal worlds")
    parser.add_argument("--out", metavar="FOLDER", help="of the run; by default runs/explore-TIME")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a run; see percepts explore --help")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="episodes side by side")
    model = parser.add_argument_group(MODEL)
    model.add_argument("--model", metavar="NAME", help="behind an HTTP endpoint; or OPENAI_MODEL")
    model.add_argument("--called", metavar="NAME", help="its name in tables, where the server knows it by a path")
    model.add_argument("--base-url", metavar="URL", help="of the endpoint; or OPENAI_BASE_URL")
    model.add_argument("--local", metavar="MODEL", help="in this process: a folder, a name on the Hub, a .gguf file")
    model.add_argument("--temperature", type=float, help="of sampling; the model's own by default")
    model.add_argument("--max-tokens", type=int, help="of an answer")
    model.add_argument(
        "--limit-field",
        choices=("max_tokens", "max_completion_tokens"),
        default="max_tokens",
        help="what the endpoint calls that",
    )
    model.add_argument(
        "--extra",
        type=_extra,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further field of requests, JSON or a text, such as reasoning_effort=low for a smaller thinking budget; "
        "may repeat",
    )
    model.add_argument("--no-seed", action="store_true", help="send no seed, which some endpoints refuse")
    model.add_argument("--stop", action="append", default=[], metavar="TEXT", help="ends an answer; may repeat")
    model.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="without a byte")
    model.add_argument("--tries", type=int, default=6, help="of a question, where the server fails for a while")
    model.add_argument("--requests-per-minute", type=int, metavar="N", help="at most")
    model.add_argument("--tokens-per-minute", type=int, metavar="N", help="at most, read and written")
    model.add_argument("--price", type=_price, metavar="READ,WRITTEN", help="of a million tokens")
    model.add_argument("--spend", type=float, metavar="COST", help="stop before more is spent; needs --price")
    return parser


def _run(parser: Any, words: Sequence[str], make: Any) -> int:
    options = parser.parse_args(list(words))
    # Both define settings that a folder may hold.
    from percepts.agents.explorers import alchemy_runs, feature_runs  # noqa: F401
    from percepts.agents.explorers.runs import ExplorerRun

    if options.resume is not None:
        given = flags(words) - {"--resume"}
        if others := sorted(given.difference(GO_ON)):
            raise usage(
                f"--resume goes on with a run as it is, without {others[0]}",
                f"{parser.prog} --resume {options.resume}, and of the other options {', '.join(GO_ON)}",
            )
        check_kind(options.resume, "explorer")
        run = ExplorerRun.open(options.resume)
        world = run.config.explored
        if parser.prog != f"percepts explore {world}":
            raise usage(f"'{options.resume}' is a run of {world}", run.resume)
        if given:
            run.change(asked_otherwise(run.config, options, given))
        if run.run.info().get("status") != "finished":
            _check_model(run.config.model)
    else:
        from percepts.cli.training import fresh_folder

        _check_needs(words)
        config = make(options)
        _check_options(parser, words, config.agent)
        _check_model(config.model)
        run = ExplorerRun.start(config, options.out or fresh_folder("explore"))
    print(f"run {run.path}: {run.config.called}, {run.config.episodes} episodes, seed {run.config.seed}", flush=True)
    return _play(run)


def _check_needs(words: Sequence[str]) -> None:
    """Refuse what was typed without what it belongs to."""
    given = flags(words)
    for name, other in NEEDS.items():
        if name in given and other.split()[0] not in given:
            raise usage(f"{name} without {other.split()[0]}", f"{other}, or no {name}")


def _check_options(parser: Any, words: Sequence[str], agent: str) -> None:
    """Refuse what was typed and means nothing to whoever plays."""
    from percepts.agents.explorers.text_agents import RECALLING

    given = flags(words)
    if "--recall" in given and agent not in RECALLING:
        raise usage(f"--recall for the agent '{agent}'", f"--agent {' or '.join(RECALLING)}, or no --recall")
    if agent == "model":
        return
    for group in parser._action_groups:
        for action in group._group_actions if group.title in (MODEL, OF_MODELS) else ():
            for name in given.intersection(action.option_strings):
                raise usage(
                    f"{name} is for language models, and the agent '{agent}' is a program",
                    f"--model NAME or --local MODEL, or no {name}",
                )


def _check_model(config: Any) -> None:
    """Notice what a model lacks before there is a folder: a package, or the key of the default server."""
    import os

    from percepts.core.optional import require_package
    from percepts.foundation.openai_server import DEFAULT_BASE_URL, OpenAIServer
    from percepts.foundation.transformers_local import LocalModel

    if isinstance(config, LocalModel.Config):
        require_package("transformers", extra="hf")
        if config.model.endswith(".gguf"):
            require_package("gguf", extra="hf")
    if isinstance(config, OpenAIServer.Config):
        require_package("openai", extra="llm")
        if config.base_url == DEFAULT_BASE_URL and not os.environ.get(config.key_variable, "").strip():
            raise usage(
                f"{config.key_variable} is not set, which {DEFAULT_BASE_URL} asks for",
                f"the key in the environment variable {config.key_variable}; for a server of your own --base-url URL, "
                "such as http://localhost:8000/v1",
            )


def _play(run: ExplorerRun) -> int:
    from percepts.core.errors import PerceptsError

    live = LiveTable(run.config.called)
    try:
        results = run.play(live.show)
    except (PerceptsError, KeyboardInterrupt):
        live.close()
        print(f"what was said so far is kept. Continue: {run.resume}")
        raise
    live.close()
    print(summary_table(results["summary"]))
    from percepts.report.explorers import report_explorers

    print(f"report: {report_explorers([run.path])}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _extra(text: str) -> tuple[str, Any]:
    import json

    name, sign, value = text.partition("=")
    if not (name and sign):
        raise usage(f"--extra {text}", "--extra NAME=VALUE, such as reasoning_effort=low")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _price(text: str) -> tuple[float, float]:
    try:
        read, written = map(float, text.split(","))
    except ValueError:
        read = written = -1.0
    if not all(0 <= price < float("inf") for price in (read, written)):
        raise usage(f"--price {text}", "--price READ,WRITTEN, two numbers from 0 such as 2.5,10")
    return read, written
