"""What models can do, as small protocols. Everything downstream asks only for these.

A model is a plain `torch.nn.Module`. `losses` makes it trainable, `encode` measurable, `decode` and `segment`
visible, `predict` a world model. A metric, a figure or an agent works with any model that has what it needs, and
says so in one line where it has not (`require`).

Shapes: B batch, C channels, H height, W width, D latents.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from percepts.core.errors import CapabilityError

Batch = dict[str, Tensor]
"""Fixed keys: `image` float32 [B,C,H,W] in [0,1]; `video` [B,T,C,H,W]; `factors` int64 [B,F]; `segmentation` int64
[B,H,W] or [B,T,H,W] (0 = background); `depth` metres; `camera` 4x4 world-from-camera; `action`, `reward`, `text`."""


@dataclass
class Losses:
    """What one step minimises and what it reports.

    Attributes:
        minimise: a scalar for every parameter group ("model" where there is only one). The gradient of a group's
            scalar moves that group's parameters only, so a discriminator is simply a second entry.
        terms: named values to log: scalars, or short vectors such as the KL of every latent.
    """

    minimise: dict[str, Tensor]
    terms: dict[str, Tensor] = field(default_factory=dict)


class Step(Protocol):
    """The training step as a model sees it. `training` implements it; `StillStep` is the one outside of training."""

    @property
    def index(self) -> int:
        """How many optimisation steps were made before this one."""

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers shaped like `like` (dimension 0 = samples), a function of (seed, step) that does not
        depend on how the global batch is split over processes and micro-batches."""

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), with the same promise as `normal`."""

    def mean(self, value: Tensor) -> Tensor:
        """A batch mean made global: `value` is this part's mean; the result has the value over the whole global batch
        and the gradient of this part. Needed where a loss is not linear in the batch mean (CCI-VAE's |KL - C|); a model
        that calls it says `couples_batch = True`, so that accumulated training finds the global means first.
        Gradients are exact where the loss is a function of shared values alone (these and gathered rows), plus batch
        means of this part."""

    def gather(self, value: Tensor) -> Tensor:
        """All rows of the global batch: `value` has this part's, dimension 0 = samples. This part's rows keep their
        gradient, scaled so that the parts' averaged gradients are those of the whole batch. Needed where a loss
        compares samples (a total correlation, a covariance); `couples_batch` and exactness as for `mean`."""


class StillStep:
    """A step outside of training: one process, numbers from one generator (of torch's global state if None)."""

    def __init__(self, index: int = 0, generator: torch.Generator | None = None) -> None:
        self.index = index
        self.generator = generator

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)

    def mean(self, value: Tensor) -> Tensor:
        return value

    def gather(self, value: Tensor) -> Tensor:
        return value


@runtime_checkable
class Posterior(Protocol):
    """An encoder's belief about one vector of latents."""

    @property
    def mean(self) -> Tensor:
        """[B, D]"""

    @property
    def variance(self) -> Tensor:
        """[B, D]"""

    def sample(self, noise: Tensor) -> Tensor:
        """The latents for standard normal `noise` [B, D]."""


@runtime_checkable
class Trainable(Protocol):
    """Can be trained by the engine."""

    def losses(self, batch: Batch, step: Step) -> Losses: ...

    def parameters(self, recurse: bool = True) -> Any: ...


@runtime_checkable
class HasParameterGroups(Protocol):
    """A model whose parameters belong to several optimisers; without it all belong to the group "model"."""

    def parameter_groups(self) -> Mapping[str, Iterable[torch.nn.Parameter]]: ...


@runtime_checkable
class Diagnoses(Protocol):
    """Knows the signs that its own training goes wrong."""

    def diagnose(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """What looks wrong: a short name for every sign, and one line on what it means and what to try.

        Args:
            entries: the last lines of the training log, oldest first: `step`, and the terms of the losses by name.
        """


@runtime_checkable
class Encodes(Protocol):
    """`encode(image [B,C,H,W])` gives a posterior over one vector an image."""

    def encode(self, image: Tensor) -> Posterior: ...


@runtime_checkable
class Decodes(Protocol):
    """`decode(latents [B,D])` gives the mean image [B,C,H,W] in [0,1]."""

    def decode(self, latents: Tensor) -> Tensor: ...


@runtime_checkable
class Reconstructs(Protocol):
    """`reconstruct(image)` gives what the model keeps of it, from the posterior mean: [B,C,H,W] in [0,1]."""

    def reconstruct(self, image: Tensor) -> Tensor: ...


@runtime_checkable
class HasLikelihood(Protocol):
    """A decoder whose output is read by a likelihood (`nn.likelihoods`), which prices an image in nats."""

    likelihood: Any

    def decode_output(self, latents: Tensor) -> Tensor: ...


@runtime_checkable
class Samples(Protocol):
    """`sample(count, generator)` gives `count` images from the prior."""

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor: ...


@runtime_checkable
class InformativeLatents(Protocol):
    """Knows which latents carry information about images."""

    def informative_latents(self, image: Tensor, threshold: float = 0.01) -> Tensor:
        """Indices of the latents whose mean KL over `image` exceeds `threshold` nats, most informative first."""


@runtime_checkable
class Segments(Protocol):
    """`segment(image)` gives an int64 segmentation [B,H,W] (0 = background)."""

    def segment(self, image: Tensor) -> Tensor: ...


@runtime_checkable
class Predicts(Protocol):
    """`predict(latents, action)` gives the latents one step later."""

    def predict(self, latents: Tensor, action: Tensor) -> Tensor: ...


def require(model: Any, capability: type, purpose: str) -> Any:
    """`model`, known to have `capability`.

    Raises:
        CapabilityError: it has not; the message names what is missing and what it was wanted for.
    """
    if not isinstance(model, capability):
        wanted = [*inspect.get_annotations(capability), *vars(capability)]
        missing = ", ".join(name for name in wanted if not name.startswith("_") and not hasattr(model, name))
        raise CapabilityError(
            f"{type(model).__name__} cannot be used for {purpose}: it lacks {missing}",
            f"a model with the capability {capability.__name__}",
        )
    return model
