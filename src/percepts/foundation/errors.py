"""What can go wrong between a question and its answer."""

from __future__ import annotations

from percepts.core.errors import PerceptsError


class ModelError(PerceptsError):
    """A language model that did not answer, for a reason that waiting does not cure."""


class TransientError(ModelError):
    """A language model that did not answer this time: a full or broken server, a slow or lost connection.

    Args:
        retry_after: seconds after which the server wants to be asked again, where it said so.
    """

    def __init__(
        self, got: str, expected: str | None = None, fix: str | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(got, expected, fix)
        self.retry_after = retry_after


class BudgetError(ModelError):
    """A question that could cost more than is left of the budget. Nothing was sent."""


class ReplayError(ModelError):
    """A question that was never recorded, in a run that only replays."""
