"""A language model made dependable: recorded, paid for within a budget, asked again, and not too fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from percepts.core.config import Config
from percepts.core.random import numpy_generator
from percepts.foundation.cache import Cached
from percepts.foundation.ledger import Ledger
from percepts.foundation.limits import Limited
from percepts.foundation.model import LanguageModel, answers_many
from percepts.foundation.retries import Retrying, Waiting


@dataclass(frozen=True, kw_only=True)
class Service(Config):
    """How a model is asked.

    Attributes:
        retries: how patient to be with failures.
        limits: how fast to ask.
        ledger: prices and budget.
        seed: of the jitter of the waits; answers do not depend on it.
    """

    retries: Retrying.Config = field(default_factory=Retrying.Config)
    limits: Limited.Config = field(default_factory=Limited.Config)
    ledger: Ledger.Config = field(default_factory=Ledger.Config)
    seed: int = 0


@dataclass(frozen=True)
class Dependable:
    """A model and what is known of its use.

    Attributes:
        model: to ask.
        ledger: what it cost.
    """

    model: Cached
    ledger: Ledger


def dependable(
    model: LanguageModel,
    folder: Path | str,
    service: Service | None = None,
    *,
    replay: bool = False,
    waiting: Waiting | None = None,
) -> Dependable:
    """`model` with its recording and books in `folder` (`replies.jsonl`, `ledger.jsonl`).

    From the inside out: every try waits for the rate limits; failures are tried again; answers are entered in the books
    and recorded, both before they are handed on. A recorded answer passes none of this and costs nothing. A model that
    answers batches runs in this process: it is asked as fast as it can, and once.

    Args:
        replay: only repeat what is recorded; the model is never asked.
        waiting: is told of every wait before another try.
    """
    service = Service() if service is None else service
    asked = model
    if not answers_many(model):
        limited = Limited(service.limits, model)
        asked = Retrying(service.retries, limited, numpy_generator(service.seed, "retries"), waiting=waiting)
    ledger = Ledger(service.ledger, asked, Path(folder) / "ledger.jsonl")
    return Dependable(Cached(ledger, Path(folder) / "replies.jsonl", replay=replay), ledger)
