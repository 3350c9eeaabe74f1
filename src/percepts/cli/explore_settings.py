"""What the options of `percepts explore` mean: the settings of runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.cli.words import usage

if TYPE_CHECKING:
    from percepts.agents.explorers.alchemy_runs import AlchemyRun
    from percepts.agents.explorers.demonstrations import Demonstrations
    from percepts.agents.explorers.feature_runs import FeatureRun
    from percepts.agents.explorers.runs import ExplorerConfig
    from percepts.foundation.ledger import Price

PROGRAMS = {"feature-world": "optimal", "text-alchemy": "sampling"}
"""Who plays where nobody is named."""


def feature_settings(options: Any) -> FeatureRun:
    """Of a run in Feature World."""
    from percepts.agents.explorers.feature_runs import FeatureRun
    from percepts.envs.feature_world.text import FeaturePrompt
    from percepts.envs.feature_world.worlds import world_config

    names = ("values", "dimensions", "objects", "object_sets", "noise", "mode", "budget")
    settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.any_objects:
        settings["distinguishing"] = False
    prompt = FeaturePrompt(
        reasoning=options.condition,
        memory=options.memory,
        self_correction=options.self_correction,
        retries=options.retries,
    )
    world = world_config(options.world, **settings)
    world.build().sets  # noqa: B018  # What does not fit together is said before there is a folder.
    return FeatureRun(world=world, prompt=prompt, **_shared(options, PROGRAMS["feature-world"]))


def alchemy_settings(options: Any) -> AlchemyRun:
    """Of a run of text Alchemy."""
    from percepts.agents.explorers.alchemy_runs import AlchemyRun
    from percepts.agents.explorers.contexts import ContextMemory
    from percepts.agents.explorers.language import LanguagePlayer
    from percepts.envs.alchemy.text import TextAlchemy, text_table

    table = text_table(options.trials, options.switch, options.level, steps=options.steps)
    game = TextAlchemy.Config(
        table=table, told=options.told, announced=options.announced, reasoning=options.condition
    )  # fmt: skip
    if options.summaries is not None and not Path(options.summaries).is_dir():
        raise usage(f"no folder '{options.summaries}' with summaries", "--summaries RUN, a run with this seed")
    shared = _shared(options, PROGRAMS["text-alchemy"])
    memory = ContextMemory(
        history=options.history, summary=options.summary, every=options.every, style=options.style
    )  # fmt: skip
    player = LanguagePlayer.Config(
        memory=memory,
        demonstrations=_demonstrations(options) if shared["agent"] == "model" else None,
        asking=shared["asking"],
        self_correction=options.self_correction,
        retries=options.retries,
    )
    return AlchemyRun(game=game, player=player, memory=options.recall, summaries=options.summaries, **shared)


def asked_otherwise(config: ExplorerConfig, options: Any, given: Collection[str]) -> ExplorerConfig:
    """The settings of a run that goes on, with some of `explore.GO_ON` changed."""
    from percepts.foundation.openai_server import OpenAIServer

    server, service = config.model, config.service
    if not isinstance(server, OpenAIServer.Config):
        raise usage(f"{min(given)} for a run without an HTTP endpoint", "--resume alone")
    names = {"--base-url": "base_url", "--limit-field": "limit_field", "--timeout": "timeout"}
    changed = {field: getattr(options, field) for flag, field in names.items() if flag in given}
    if "--no-seed" in given:
        changed["sends_seed"] = False
    limits = {
        field: getattr(options, field)
        for field in ("requests_per_minute", "tokens_per_minute")
        if f"--{field.replace('_', '-')}" in given
    }
    ledger = service.ledger
    if "--price" in given:
        ledger = replace(ledger, prices={config.called: _priced(options)})
    if "--spend" in given:
        if not ledger.prices:
            raise usage("--spend without what tokens cost", "--price READ,WRITTEN, of a million tokens")
        ledger = replace(ledger, budget=options.spend)
    tries = {"tries": options.tries} if "--tries" in given else {}
    patient = replace(
        service, retries=replace(service.retries, **tries), limits=replace(service.limits, **limits), ledger=ledger
    )
    return replace(config, model=replace(server, **changed), service=patient)


def _priced(options: Any) -> Price:
    from percepts.foundation.ledger import Price

    return Price(prompt=options.price[0], completion=options.price[1])


def _demonstrations(options: Any) -> Demonstrations | None:
    """What a model watches before it plays; None for nothing."""
    from percepts.agents.explorers.demonstrations import Demonstrations

    given = {"by": options.demonstrator, "rules": options.demonstrated_rules, "form": options.demonstrated_as}
    if options.demonstrations is None:
        return None
    return Demonstrations(trials=options.demonstrations, **{name: value for name, value in given.items() if value})


def _shared(options: Any, program: str) -> dict[str, Any]:
    """What runs in all worlds say."""
    from percepts.agents.explorers.language import Asking
    from percepts.foundation.ledger import Ledger
    from percepts.foundation.limits import Limited
    from percepts.foundation.retries import Retrying
    from percepts.foundation.service import Service

    if options.at_once < 1:
        raise usage(f"--at-once {options.at_once}", "a whole number from 1")
    model = _model(options)
    agent = options.agent or ("model" if model is not None else program)
    if agent == "model" and model is None:
        raise usage("no model is named", "--model NAME, or OPENAI_MODEL in the environment, or --local MODEL")
    if agent != "model" and model is not None:
        raise usage(f"--agent {agent} beside a model", f"--agent {agent} alone, or the model alone")
    name = "" if model is None else str(getattr(model, "called", None) or model.model)
    prices = {name: _priced(options)} if options.price else {}
    return {
        "agent": agent,
        "model": model,
        "service": Service(
            retries=Retrying.Config(tries=options.tries),
            ledger=Ledger.Config(prices=prices, budget=options.spend),
            limits=Limited.Config(
                requests_per_minute=options.requests_per_minute, tokens_per_minute=options.tokens_per_minute
            ),
        ),
        "asking": Asking(
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            stop=tuple(options.stop),
            seed=options.seed,
            workers=options.at_once,
        ),
        "episodes": options.episodes,
        "seed": options.seed,
        "at_once": options.at_once,
    }


def _model(options: Any) -> Any:
    """The language model that the options name; None where a program plays."""
    from percepts.foundation.openai_server import server_settings
    from percepts.foundation.transformers_local import LocalModel

    if options.local is not None:
        if options.model is not None or options.base_url is not None:
            raise usage("--local beside --model or --base-url", "one of them")
        if options.extra:
            raise usage("--extra for a model in this process", "--model, behind an HTTP endpoint; or no --extra")
        return LocalModel.Config(model=options.local, batch=options.at_once)
    # The environment names a model for whoever asks for one, and turns no program into it.
    if options.model is None and options.base_url is None and options.agent != "model":
        return None
    server = server_settings(options.model, options.base_url)
    return replace(
        server,
        timeout=options.timeout,
        called=options.called,
        limit_field=options.limit_field,
        sends_seed=not options.no_seed,
        extra=_further(options.extra),
    )


def _further(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in fields]
    for name in names:
        if names.count(name) > 1:
            raise usage(f"--extra {name}=… twice", "one value for each field")
    return dict(fields)
