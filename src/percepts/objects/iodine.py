"""IODINE (Greff et al. 2019, "Multi-Object Representation Learning with Iterative Variational Inference").

An image is a mixture, pixel by pixel, of K slots that one spatial-broadcast decoder draws from one latent each:

    p(x | z) = Π_i Σ_k m_{k,i} p(x_i | μ_{k,i}),    (μ_k, m̂_k) = decoder(z_k),   m = softmax_k m̂

The posterior q(z_k) = N(mean_k, variance_k) starts from the same learned λ⁰ for every slot; the slots' samples alone
tell them apart. A recurrent network then improves all slots T times, each from what the present belief draws, how well
that explains the image, and the gradients of the ELBO:

    L_t = −ln p(x | z) + Σ_k KL(q(z_k; λ_t) ‖ p(z)),   z ~ q(z; λ_t);    λ_{t+1} = λ_t + f(h_t),  L_t's gradients in h_t
    minimise  Σ_{t=0}^{T} (t/T) L_t,   means over the batch, sums over pixels and latents

Nothing orders the slots, so K and T can be others after training than in it. For video one frame is seen a step, and
step t predicts frame t from those before.

What differs: settings that the published code chose otherwise than the paper are switches (`density`, `scale`,
`prior_std`; see `iodine_presets`). The gradients that the network sees are those of one image's L, where the code has
those of the batch's mean (`inner`): what is inferred then does not depend on the batch. KL warm-up, GECO and a first
scale are not the paper's. Published: ARI-FG 0.988 ± 0.000 on CLEVR6, 0.767 ± 0.056 on Multi-dSprites, 0.992 ± 0.004 on
Tetrominoes (5 seeds, quoted by later papers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import Shape, known_shape
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.core.slots import Decomposition, Slots, labels
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.layers import full_precision
from percepts.nn.mixture import Density
from percepts.objects import checks, symptoms
from percepts.objects.explanation import Belief, Explanation, explain_pixels
from percepts.objects.geco import Geco
from percepts.objects.iodine_steps import (
    Draw,
    LossWeights,
    check_loss_weights,
    frames_of,
    loss_weights,
    seen_frames,
    still_noise,
)
from percepts.objects.networks import truncated_normal
from percepts.objects.recomputation import plain, recalled, without_gradients
from percepts.objects.refinement import RefinementNetwork
from percepts.objects.slot_posterior import SlotPosterior
from percepts.objects.terms import SlotTerms

DECODER_CAPACITY = 5.0
"""The constant that the published code appends to the latents."""
FIRST_LEARNED_SCALE = 0.1


class IODINE(nn.Module, Configurable):
    """A decoder for all slots and a network that refines their posteriors.

    Raises:
        ConfigError: the config lacks `image_shape`, which comes from the data, or does not fit together.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings of an IODINE; the defaults are the paper's for CLEVR6 as far as known (see `iodine_presets`).

        Attributes:
            image_shape: (C, H, W); None until it is taken from the data.
            slots: K in training; inference can have others. One slot makes a VAE with iterative inference.
            steps: T in training; inference can take others. Videos bring their own: one less than frames.
            latent_size: D of a slot.
            decoder: a slot → image means and the logit of its mask.
            capacity_channel: append a constant to the latents before they are drawn, as the published code does.
            refinement: the network that improves posteriors.
            density: of a channel of a pixel given its slot.
            scale: of the density; None learns one, from 0.1 on.
            first_scale, first_scale_steps: another scale for the first steps of training; None: none.
            prior_std: of every latent; the published code has √ln 2 = 0.8326.
            loss_weights: of L_0 … L_T: "linear" t/T, "constant" 1, or a list of T + 1.
            beta: weight of the KL in the objective; the network always sees gradients for weight 1.
            kl_warm_up: steps over which that weight rises to `beta`.
            geco: find the weight of the KL so that the last NLL reaches a goal; None keeps it.
            sequential: learn from `video`, a frame a step, instead of `image`.
            inner: gradients that the network sees: of every image's own L ("sum" over the batch), or of the batch's
                mean as in the published code.
            noise_seed: of the noise with which images are taken apart outside of training.
            initialisation: "truncated_normal" draws all weights within two deviations of 1/√fan_in and zeroes biases
                (the published framework's default, from memory); "torch" keeps PyTorch's.
            checkpoint: forget the activations of decoder and convolutions and compute them again going backward.
            slot_chunk: draw so many slots at a time and forget as `checkpoint` does, at the price of one more decoding.
        """

        image_shape: Shape | None = None
        slots: int = 7
        steps: int = 5
        latent_size: int = 64
        decoder: SpatialBroadcastDecoder.Config = field(default_factory=lambda: slot_decoder())
        capacity_channel: bool = False
        refinement: RefinementNetwork.Config = field(default_factory=RefinementNetwork.Config)
        density: Density = "normal"
        scale: float | None = 0.1
        first_scale: float | None = None
        first_scale_steps: int = 0
        prior_std: float = 1.0
        loss_weights: LossWeights = "linear"
        beta: float = 1.0
        kl_warm_up: int = 0
        geco: Geco.Config | None = None
        sequential: bool = False
        inner: Literal["sum", "mean"] = "sum"
        noise_seed: int = 0
        initialisation: Literal["torch", "truncated_normal"] = "truncated_normal"
        checkpoint: bool = False
        slot_chunk: int | None = None

        def __post_init__(self) -> None:
            checks.check_counts(self, "slots", "steps", "latent_size")
            checks.check_weights(self, "beta", "kl_warm_up", "first_scale_steps")
            checks.check_positive(self, "prior_std", *(() if self.scale is None else ("scale",)))
            if self.first_scale is not None:
                checks.check_positive(self, "first_scale")
            if self.slot_chunk is not None:
                checks.check_counts(self, "slot_chunk")
            if self.decoder.extra_channels != 1:
                raise ConfigError(f"decoder.extra_channels = {self.decoder.extra_channels}", "1, the logit of the mask")
            if isinstance(self.loss_weights, tuple) and not self.sequential:
                check_loss_weights(self.loss_weights, self.steps)

    config: Config
    memory_options = ("--model.checkpoint True", "--model.slot-chunk 1")
    """Settings that need less memory, and more time."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image_shape = known_shape(config.image_shape)
        latents = config.latent_size + config.capacity_channel
        self.decoder: SpatialBroadcastDecoder = config.decoder.build(image_shape=self.image_shape, latent_size=latents)
        self.refinement: RefinementNetwork = config.refinement.build(
            image_shape=self.image_shape, latent_size=config.latent_size
        )
        if config.initialisation == "truncated_normal":
            truncated_normal(self)
        for layer in self.modules():
            if isinstance(layer, nn.ELU):
                layer.inplace = True  # Its backward pass reads the output alone, which the next layer keeps anyway.
        bound = math.sqrt(6 / (4 * config.latent_size))
        self.first = nn.Parameter(torch.empty(2 * config.latent_size).uniform_(-bound, bound))
        learned = config.scale is None
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_LEARNED_SCALE))) if learned else None
        self.geco: Geco | None = config.geco.build(image_shape=self.image_shape) if config.geco else None
        self.couples_batch = self.geco is not None

    def losses(self, batch: Batch, step: Step) -> Losses:
        """Σ_t w_t L_t over `batch["image"]` [B,C,H,W], or over `batch["video"]` [B,T+1,C,H,W]."""
        terms, nll, kl = self._unrolled(batch, step)
        weight = self._kl_weight(nll[-1], step)
        weights = loss_weights(self.config.loss_weights, len(nll) - 1)
        # Terms of weight 0 are left out: a gradient of zeros would cost as much as any other.
        loss = sum((w * (n + weight * k) for w, n, k in zip(weights, nll, kl) if w), start=nll[0].new_zeros(()))
        more = {"nll_per_step": torch.stack(nll).detach(), "kl_per_step": torch.stack(kl).detach()}
        if self.log_scale is not None:
            more["scale"] = self.log_scale.detach().exp()
        if self.geco is not None:
            more["kl_weight"] = weight
        log = {name: value for name, value in terms.log().items() if name != "kl_mask"}
        return Losses({"model": loss}, {**log, **more})

    def terms(self, batch: Batch, step: Step) -> SlotTerms:
        """What the last belief costs and how it takes the batch apart."""
        return self._unrolled(batch, step)[0]

    def _unrolled(self, batch: Batch, step: Step) -> tuple[SlotTerms, list[Tensor], list[Tensor]]:
        """The last belief's terms, and the batch means of all beliefs' NLL and KL."""
        frames = frames_of(batch["video" if self.config.sequential else "image"], self.config.steps, self.image_shape)
        start = self.start(len(frames[0]), self.config.slots)
        nll, kl = [], []
        for explanation in self.iterate(frames, start, step.normal, self.scale(step.index), keep=True):
            nll.append(explanation.nll.mean())
            kl.append(explanation.kl.sum((1, 2)).mean())
        return explanation.terms(frames[-1]), nll, kl

    def iterate(
        self,
        frames: Sequence[Float[Tensor, "batch channels height width"]],
        belief: Belief,
        draw: Draw,
        scale: float | Tensor,
        keep: bool,
    ) -> Iterator[Explanation]:
        """What is believed before the first frame was looked at, and after each one but the last.

        Args:
            frames: an image a step; the same one again and again unless it is a video.
            belief: to begin with.
            keep: keep the graph for training. Otherwise nothing is differentiable afterwards, and memory does not grow
                with the steps.
        """
        for number, frame in enumerate(frames):
            last = number == len(frames) - 1
            explanation = self.explain(frame, belief, draw, scale, keep, refines=not last)
            yield explanation
            if not last:
                belief = self.improve(frame, belief, explanation, keep)

    def start(self, batch: int, slots: int) -> Belief:
        """The belief before anything was seen: λ⁰ for every slot of every image."""
        parameters = self.first.expand(batch, checks.check_slots(slots), -1)
        return Belief(parameters, self.refinement.start(batch * slots))

    def explain(
        self, image: Tensor, belief: Belief, draw: Draw, scale: float | Tensor, keep: bool, refines: bool
    ) -> Explanation:
        """Sample the slots, draw them, and see how well they explain `image`.

        Args:
            refines: whether the belief will be improved from here, for which gradients may be needed.
        """
        pulls = refines and "dzp" in self.config.refinement.inputs
        differentiates = keep or (refines and self.refinement.differentiates)
        with torch.inference_mode(False), torch.set_grad_enabled(differentiates):
            parameters = belief.parameters
            if not (keep and parameters.requires_grad):
                parameters = parameters.detach().requires_grad_(differentiates)
            posterior = SlotPosterior(parameters)
            latents = posterior.sample(draw(posterior.mean.detach()))
            rows = self._rows(latents)
            output, pull_back = self._decode(rows, keep, pulls, len(image))
            if not output.requires_grad:
                output.requires_grad_(differentiates)
            appearance, mask_logit = output.unflatten(0, latents.shape[:2]).split((len(image[0]), 1), dim=2)
            pixels = explain_pixels(appearance, mask_logit, image, self.config.density, scale)
            kl = posterior.kl(self.config.prior_std)
            return Explanation(posterior, kl, rows, pull_back, appearance, mask_logit, *pixels)

    def improve(self, image: Tensor, belief: Belief, explanation: Explanation, keep: bool) -> Belief:
        """Show the refinement network what `explanation` says about `image`."""
        with torch.inference_mode(False), torch.enable_grad():
            share = 1 / len(image) if self.config.inner == "mean" else 1.0
            explanation.raw = explanation.inputs(image, self.config.refinement, share)
        with torch.inference_mode(False), torch.set_grad_enabled(keep):
            recompute = self.config.checkpoint or self.config.slot_chunk is not None
            parameters, memory = self.refinement(belief.parameters, explanation.raw, belief.memory, recompute)
            better = Belief(parameters, memory)
        return better if keep else better.detached()

    def infer(
        self,
        image: Tensor,
        steps: int | None = None,
        slots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Explanation]:
        """The beliefs before the first step and after each one, in full; the arguments are those of `refine`."""
        slots = self.config.slots if slots is None else slots
        frames = seen_frames(image, steps, self.config.steps, self.image_shape)
        draw = still_noise(len(frames) - 1, self.config.noise_seed, generator)
        return self.iterate(frames, self.start(len(frames[0]), slots), draw, self.scale(), keep=False)

    def refine(
        self,
        image: Tensor,
        steps: int | None = None,
        slots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Decomposition]:
        """What the model believes before the first step and after each one; works without gradients, too.

        Beliefs are shown by the sample that inference went on from, the last one by its mean.

        Args:
            image: [B,C,H,W] in [0,1], or a video [B,F,C,H,W]: then there is one belief for every frame, formed from the
                frames before it.
            steps: T; None: as in training.
            slots: K; None: as in training.
            generator: of the noise; None: that of `noise_seed`, the same for every image.

        Raises:
            DataError: images of another shape.
            NonFiniteError: a pixel is NaN or infinite.
        """
        return [seen.decomposition(self.config.prior_std) for seen in self.infer(image, steps, slots, generator)]

    def decompose(self, image: Tensor, slots: int | None = None, steps: int | None = None) -> Decomposition:
        """Take images [B,C,H,W] in [0,1] apart: the last belief of `refine`."""
        for explanation in self.infer(image, steps, slots):
            last = explanation
        return last.decomposition(self.config.prior_std)

    def track(self, video: Tensor, slots: int | None = None) -> list[Decomposition]:
        """What is believed of every frame of a video [B,F,C,H,W] from those before it; slots keep their objects."""
        return self.refine(video, None, slots)

    def encode(self, image: Tensor, slots: int | None = None, steps: int | None = None) -> Slots:
        """The slots of every image after the last step."""
        return self.decompose(image, slots, steps).slots

    def inputs(
        self, image: Tensor, steps: int | None = None, slots: int | None = None
    ) -> list[dict[str, Float[Tensor, "batch slots *rest"]]]:
        """What the refinement network is shown at every step, by name, as it sees it: normalised where it is."""
        names = (*self.refinement.spatial, *self.refinement.flat)
        explanations = list(self.infer(image, steps, slots))[:-1]
        with torch.no_grad():
            prepared = [self.refinement.prepare(one.raw, one.slots, names) for one in explanations]
        return [{name: value.detach() for name, value in shown.items()} for shown in prepared]

    def components(
        self, latents: Float[Tensor, "batch slots latents"]
    ) -> tuple[Float[Tensor, "batch slots channels height width"], Float[Tensor, "batch slots height width"]]:
        """What every slot looks like, in [0, 1], and its mask."""
        output = full_precision(self.decoder(self._rows(latents))).unflatten(0, latents.shape[:2])
        return output[:, :, :-1].clamp(0, 1), output[:, :, -1].softmax(dim=1)

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch channels height width"]:
        """The mixture's mean image, in [0, 1]."""
        appearance, mask = self.components(latents)
        return (mask.unsqueeze(2) * appearance).sum(1).clamp(0, 1)

    def reconstruct(self, image: Float[Tensor, "batch channels height width"]) -> Tensor:
        """The mean image for the last belief's means."""
        return self.decompose(image).reconstruction

    def segment(self, image: Tensor, slots: int | None = None, steps: int | None = None) -> Tensor:
        """The slot of every pixel, int64 [B,H,W]; of a video [B,F,H,W], each frame as the frames before it tell."""
        if image.dim() == 5:
            return torch.stack([labels(belief.mask) for belief in self.refine(image, None, slots)], dim=1)
        return labels(self.decompose(image, slots, steps).mask)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` images for slots from the prior. Slots do not know of each other, so scenes need not make sense."""
        drawn_on = torch.device("cpu") if generator is None else generator.device
        shape = (count, self.config.slots, self.config.latent_size)
        latents = torch.randn(shape, generator=generator, device=drawn_on).to(self.first.device)
        return self.decode(self.config.prior_std * latents)

    def scale(self, step: int | None = None) -> float | Tensor:
        """The density's scale, at a step of training where one is given."""
        if step is not None and self.config.first_scale is not None and step < self.config.first_scale_steps:
            return self.config.first_scale
        if self.log_scale is not None:
            return self.log_scale.exp()
        assert self.config.scale is not None
        return self.config.scale

    def diagnose(self, entries: symptoms.Entries) -> dict[str, str]:
        """Signs in the training log that the slots do not bind."""
        scale = self.scale()
        scale = float(scale.detach()) if isinstance(scale, Tensor) else scale
        deviation = scale * math.pi / math.sqrt(3) if self.config.density == "logistic" else scale
        return symptoms.binding(entries, self.config.slots, deviation)

    def _rows(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "rows latents"]:
        """The slots as the decoder takes them."""
        rows = latents.flatten(0, 1)
        if not self.config.capacity_channel:
            return rows
        return torch.cat([rows, rows.new_full((len(rows), 1), DECODER_CAPACITY)], dim=1)

    def _decode(
        self, rows: Tensor, keep: bool, pulls: bool, batch: int
    ) -> tuple[Tensor, Callable[[Tensor], Tensor] | None]:
        """The decoder's output in full precision, and its pull-back."""
        chunk = None if self.config.slot_chunk is None else self.config.slot_chunk * batch
        if not keep and not pulls:
            return full_precision(without_gradients(self.decoder, rows, chunk)), None
        if self.config.checkpoint or chunk is not None:
            decoded = recalled(self.decoder, rows, keep, chunk)
        else:
            decoded = plain(self.decoder, rows, keep)
        return full_precision(decoded.output), decoded.pull_back

    def _kl_weight(self, nll: Tensor, step: Step) -> Tensor:
        beta = self.config.beta * min(1.0, (step.index + 1) / max(1.0, self.config.kl_warm_up))
        return beta * (nll.new_ones(()) if self.geco is None else self.geco.weight(nll, step))


def slot_decoder(
    channels: tuple[int, ...] = (64, 64, 64, 64), kernel: Literal[3, 5] = 3
) -> SpatialBroadcastDecoder.Config:
    """The published decoder: a broadcast at the image's size, padded convolutions with ELU."""
    return SpatialBroadcastDecoder.Config(channels=channels, kernel=kernel, activation="elu", extra_channels=1)
