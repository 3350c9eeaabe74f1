"""Choosing among trained models without labels: the procedure of UDR over finished runs.

    selection = select(find_runs("runs/sweeps/beta"), SelectionSettings(), out="runs/sweeps/beta")
    selection.best.path

Every finished run encodes the same images; runs that differ in nothing but their seed form a group and are compared
with one another (Duan et al. 2020; `metrics.udr`). The group with the highest median score is chosen, and within it
the run with the highest score. What a selection holds is described in `selection_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.training.selection_tables import Candidate, Correlation, Group, LeftOut, Selection, Stability

__all__ = ["Candidate", "Correlation", "Group", "LeftOut", "Selection", "SelectionSettings", "Stability"]


@dataclass(frozen=True, kw_only=True)
class SelectionSettings(Config):
    """How models are chosen."""

    criterion: str = "udr-lasso"
    """What ranks: udr-lasso, udr-spearman, elbo, or a supervised score by name (mig.dlib)."""
    images: int = 1000
    """Images that every model encodes; the same ones for all."""
    compare: Literal["group", "all"] = "group"
    """Compare a model with those of the same settings and other seeds, or with all (UDR-A2A)."""
    pairs: int | None = None
    """How many other models enter each score, drawn at random; None: all there are."""
    min_active: int = 1
    """A model with fewer informative latents may not be chosen: UDR cannot see what a model leaves out."""
    coverage: Literal["none", "guard", "penalty"] = "none"
    """guard: groups among the worst fifth in reconstruction may not be chosen; penalty: a UDR is multiplied by
    min(1, active / largest active)."""
    alpha: float = 0.1
    """The penalty of the Lasso: correlations below it count as none."""
    kl_threshold: float = 0.01
    """A latent is informative where its mean KL exceeds this many nats."""
    bootstrap: int = 200
    """Resamples for the intervals."""
    stability: bool = True
    """Measure how the correlation with supervised scores depends on the number of compared models."""
    batch_size: int = 256
    seed: int = 0
    """Of the choice of images, of pairs and of resamples."""

    def __post_init__(self) -> None:
        least = {"images": 2, "min_active": 0, "bootstrap": 0, "batch_size": 1}
        for name, bound in {**least, **({} if self.pairs is None else {"pairs": 1})}.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} = {getattr(self, name)}", f"at least {bound}")
        if not self.alpha > 0 or not self.kl_threshold >= 0:
            raise ConfigError(f"alpha = {self.alpha} and kl_threshold = {self.kl_threshold}", "positive numbers")
