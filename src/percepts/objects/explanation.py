"""How well slots explain an image, and what that tells the network that refines them (IODINE, Greff et al. 2019)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.slots import Decomposition, Slots
from percepts.nn.mixture import Density, log_density
from percepts.objects.refinement import Memory, RefinementNetwork
from percepts.objects.slot_posterior import SlotPosterior
from percepts.objects.terms import SlotTerms

NO_SLOT = 1e-6
"""Added to the slots' summed densities where pixels are shared out among them."""


@dataclass(frozen=True)
class Belief:
    """What is known of the slots between two steps: λ [B, K, 2·D] and the network's memory."""

    parameters: Float[Tensor, "batch slots parameters"]
    memory: Memory

    def detached(self) -> Belief:
        """The same without the graph that led to it."""
        memory = None if self.memory is None else (self.memory[0].detach(), self.memory[1].detach())
        return Belief(self.parameters.detach(), memory)


@dataclass
class Explanation:
    """One belief about a batch, drawn and compared with the images. Everything in nats.

    Attributes:
        posterior: q(z).
        kl: of every latent.
        rows: the sampled latents as the decoder got them, [B·K, D].
        pull_back: the gradient of `rows` for one of the decoder's output; None where nobody asked for it.
        appearance: the pixels' means, not bounded.
        mask_logit: m̂.
        log_mask: ln m.
        log_prob_slots: ln p(x_i | slot k), summed over the channels.
        log_prob: ln p(x_i) of the mixture.
        raw: what the refinement network was shown, before normalisation, once it was.
    """

    posterior: SlotPosterior
    kl: Float[Tensor, "batch slots latents"]
    rows: Float[Tensor, "rows latents"]
    pull_back: Callable[[Tensor], Tensor] | None
    appearance: Float[Tensor, "batch slots channels height width"]
    mask_logit: Float[Tensor, "batch slots 1 height width"]
    log_mask: Float[Tensor, "batch slots height width"]
    log_prob_slots: Float[Tensor, "batch slots height width"]
    log_prob: Float[Tensor, "batch height width"]
    raw: dict[str, Tensor] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """K."""
        return self.log_mask.shape[1]

    @property
    def nll(self) -> Float[Tensor, " batch"]:
        """−ln p(x | z) of every image, summed over pixels."""
        return -self.log_prob.sum(dim=(1, 2))

    def decomposition(self, prior_std: float = 1.0) -> Decomposition:
        """The same as the rest of the library asks for it, without gradients."""
        mask = self.log_mask.detach().exp()
        slots = Slots(self.posterior.mean.detach(), self.posterior.variance.detach(), mask, prior_std)
        return Decomposition(slots, self.appearance.detach().clamp(0, 1), mask)

    def terms(self, image: Float[Tensor, "batch channels height width"]) -> SlotTerms:
        """The same as a training log asks for it, with gradients."""
        return SlotTerms(
            image=image,
            appearance=self.appearance,
            log_mask=self.log_mask,
            nll=self.nll,
            kl_per_slot=self.kl.sum(2),
            mask_divergence=torch.zeros_like(self.nll),
        )

    def inputs(self, image: Tensor, wanted: RefinementNetwork.Config, share: float) -> dict[str, Tensor]:
        """What the refinement network asks for, before normalisation, [B, K or 1, …].

        Args:
            share: the gradients are those of `share` times the batch's summed L.
        """
        makers: dict[str, Callable[[], Tensor]] = {
            "components": lambda: self.appearance,
            "mask": lambda: self.mask_logit,
            "pred_mask": lambda: self.log_mask.exp().unsqueeze(2),
            "posterior": lambda: responsibilities(self.log_prob_slots, wanted.posterior == "ratio").unsqueeze(2),
            "log_prob": lambda: self.log_prob[:, None, None],
            "counterfactual": lambda: counterfactual(
                self.log_mask.detach(), self.log_prob_slots.detach(), self.log_prob.detach()
            ).unsqueeze(2),
            "zp": lambda: self.posterior.parameters,
        }
        asked: set[str] = set(wanted.inputs)
        raw = {name: make() for name, make in makers.items() if name in asked}
        return {"image": image.unsqueeze(1), **raw, **self._gradients(asked, share)}

    def _gradients(self, wanted: set[str], share: float) -> dict[str, Tensor]:
        """The gradients of L among `wanted`; no second derivatives come with them."""
        if not {"dcomponents", "dmask", "dzp"} & wanted:
            return {}
        found = dict(
            zip(
                ("dcomponents", "dmask"),
                torch.autograd.grad(share * self.nll.sum(), (self.appearance, self.mask_logit), retain_graph=True),
            )
        )
        if "dzp" in wanted and self.pull_back is not None:
            of_rows = self.pull_back(torch.cat([found["dcomponents"], found["dmask"]], dim=2).flatten(0, 1))
            ends, starts = [self.rows, share * self.kl.sum()], [of_rows, None]
            (found["dzp"],) = torch.autograd.grad(ends, self.posterior.parameters, starts, retain_graph=True)
        return {name: value for name, value in found.items() if name in wanted}


def explain_pixels(
    appearance: Float[Tensor, "batch slots channels height width"],
    mask_logit: Float[Tensor, "batch slots 1 height width"],
    image: Float[Tensor, "batch channels height width"],
    density: Density,
    scale: float | Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """ln m, ln p(x_i | slot k) and ln p(x_i) for the pixels' means and the masks' logits."""
    log_mask = mask_logit.squeeze(2).log_softmax(dim=1)
    log_prob_slots = log_density(density, image, appearance, scale).sum(2)
    return log_mask, log_prob_slots, torch.logsumexp(log_mask + log_prob_slots, dim=1)


def responsibilities(
    log_prob_slots: Float[Tensor, "batch slots height width"], ratio: bool
) -> Float[Tensor, "batch slots height width"]:
    """Which slot explains a pixel, whatever the masks say: p_k / Σ_j p_j.

    Args:
        ratio: add 1e-6 to the sum, as the published code does: nothing explains a pixel of less density.
    """
    if not ratio:
        return log_prob_slots.softmax(dim=1)
    density = log_prob_slots.exp()
    return density / (density.sum(dim=1, keepdim=True) + NO_SLOT)


def counterfactual(
    log_mask: Float[Tensor, "batch slots height width"],
    log_prob_slots: Float[Tensor, "batch slots height width"],
    log_prob: Float[Tensor, "batch height width"],
) -> Float[Tensor, "batch slots height width"]:
    """ln p(x_i) minus what it would be without slot k, the others' masks sharing its pixels; 0 for a single slot.

    Sums over the others are made from sums over those before and those after, so nothing cancels.
    """
    if log_mask.shape[1] == 1:
        return torch.zeros_like(log_mask)
    without = _others(log_mask + log_prob_slots) - _others(log_mask)
    return log_prob.unsqueeze(1) - without


def _others(value: Float[Tensor, "batch slots height width"]) -> Float[Tensor, "batch slots height width"]:
    """ln Σ_{j≠k} exp(value_j) for every slot k, of two slots or more."""
    slots = value.unbind(1)
    up_to = list(itertools.accumulate(slots, torch.logaddexp))
    from_on = list(itertools.accumulate(reversed(slots), torch.logaddexp))[::-1]
    inner = [torch.logaddexp(before, after) for before, after in zip(up_to[:-2], from_on[2:])]
    return torch.stack([from_on[1], *inner, up_to[-2]], dim=1)
