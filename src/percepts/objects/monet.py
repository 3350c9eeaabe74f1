"""MONet (Burgess et al. 2019, "MONet: Unsupervised Scene Decomposition and Representation").

An attention network cuts the image into K masks, one after the other, out of what is still unexplained (the scope s):

    s_0 = 1,   m_k = s_{k−1} α(x, s_{k−1}),   s_k = s_{k−1} (1 − α(x, s_{k−1})),   m_K = s_{K−1}

One VAE, shared by all slots, sees the image with each mask and draws what is there, and the mask again (m̃):

    minimise  −Σ_i ln Σ_k m_{k,i} p(x_i | z_k) + β Σ_k KL(q(z_k | x, m_k) ‖ N(0, I)) + γ Σ_i KL(m_i ‖ m̃_i)

with sums over pixels i and latents, and means over the batch only. The networks of attention (`nn.unet`), encoder and
spatial-broadcast decoder are those of the paper's appendix B as re-implementations quote it; no code was published.

What differs from the paper: where it is silent (mixture over pixels or channels, sigmoid of the means, input in [0, 1],
channels of the U-Net) the settings here follow re-implementations and can be switched; logits of the attention are
limited to ±1000, beyond which nothing changes in float32. `recon = "weighted"` (Jensen's bound, in two
re-implementations), `even_start` and GECO are not the paper's. The paper reports no segmentation scores; its authors'
runs reach ARI-FG 0.904 ± 0.008 on Multi-dSprites and 0.962 ± 0.006 on CLEVR6 (quoted by later papers), others' 0.54 on
CLEVR with up to ten objects (unverified).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.checks import Shape, known_shape
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.slots import Decomposition, Slots, labels
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvEncoder
from percepts.nn.distributions import DiagonalGaussian
from percepts.nn.layers import full_precision
from percepts.nn.mixture import MixtureOver, log_density, mask_kl, mixture_nll, weighted_nll
from percepts.nn.unet import UNet
from percepts.objects import checks, symptoms
from percepts.objects.geco import Geco
from percepts.objects.masks import GIVEN_FLOOR, MaskSource, hard_log_masks, in_regime
from percepts.objects.memory import in_chunks, recomputed
from percepts.objects.networks import component_decoder, component_encoder, truncated_normal
from percepts.objects.terms import SlotTerms

LOGIT_LIMIT = 1000.0


class MONet(nn.Module, Configurable):
    """Recurrent attention and one VAE for all slots.

    Raises:
        ConfigError: the config lacks `image_shape`, which comes from the data, or does not fit together.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings of a MONet; the defaults are the paper's for 64×64 images where it gives any.

        Attributes:
            image_shape: (C, H, W); None until it is taken from the data.
            slots: K in training; inference can have others.
            latent_size: D of a slot.
            attention: the network that cuts; its input is the image and the log-scope.
            encoder: image and log-mask → mean and ln σ of a slot.
            decoder: a slot → image means and the logit of its mask.
            beta, gamma: weights of the latents' KL and of the masks' KL.
            background_scale, foreground_scale: standard deviation of a pixel in the first slot, and in the others.
            mixture_over: one mixture a pixel, or one for each of its channels as in most re-implementations.
            recon: the paper's "mixture", or "weighted", the bound that gives every slot a gradient of its own.
            pixel_bound: "sigmoid" keeps the means in [0, 1]; "none" takes the decoder's output as it is.
            masks: "attention" learns them. The others train the VAE alone (the paper's section 2.2) with the masks of
                `segmentation`: "given", the same of another scene ("wrong"), or the first slot has all ("all_in_one").
            even_start: logits get offsets so that undecided attention shares the image evenly, instead of giving half
                of the rest to every next slot.
            geco: find the weight of both KLs in training so that the NLL reaches a goal; None keeps it at 1.
            log_variance_range: the posterior's log-variances are clamped to it (the paper's are not).
            initialisation: "truncated_normal" draws all weights within two deviations of 1/√fan_in and zeroes biases
                (unverified for the paper); "torch" keeps PyTorch's.
            checkpoint_attention: forget the attention's activations and compute them again going backward.
            slot_chunk: encode and draw so many slots at a time, and again going backward; None: all at once.
        """

        image_shape: Shape | None = None
        slots: int = 5
        latent_size: int = 16
        attention: UNet.Config = field(default_factory=UNet.Config)
        encoder: ConvEncoder.Config = field(default_factory=component_encoder)
        decoder: SpatialBroadcastDecoder.Config = field(default_factory=component_decoder)
        beta: float = 0.5
        gamma: float = 0.5
        background_scale: float = 0.09
        foreground_scale: float = 0.11
        mixture_over: MixtureOver = "pixel"
        recon: Literal["mixture", "weighted"] = "mixture"
        pixel_bound: Literal["sigmoid", "none"] = "sigmoid"
        masks: MaskSource = "attention"
        even_start: bool = False
        geco: Geco.Config | None = None
        log_variance_range: tuple[float, float] | None = (-12.0, 6.0)
        initialisation: Literal["torch", "truncated_normal"] = "torch"
        checkpoint_attention: bool = False
        slot_chunk: int | None = None

        def __post_init__(self) -> None:
            checks.check_counts(self, "slots", "latent_size")
            checks.check_weights(self, "beta", "gamma")
            checks.check_positive(self, "background_scale", "foreground_scale")
            if self.slot_chunk is not None:
                checks.check_counts(self, "slot_chunk")
            if self.decoder.extra_channels != 1:
                raise ConfigError(f"decoder.extra_channels = {self.decoder.extra_channels}", "1, the logit of the mask")
            if self.log_variance_range is not None and not self.log_variance_range[0] < self.log_variance_range[1]:
                raise ConfigError(f"log_variance_range = {self.log_variance_range}", "the lower end, then the upper")

    config: Config
    memory_options = ("--model.slot-chunk 1", "--model.checkpoint-attention True")
    """Settings that need less memory, and more time."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image_shape = known_shape(config.image_shape)
        channels, height, width = self.image_shape
        with_mask = (channels + 1, height, width)
        self.attention: UNet | None = None
        if config.masks == "attention" and config.slots > 1:
            self.attention = config.attention.build(image_shape=with_mask)
        self.encoder: ConvEncoder = config.encoder.build(image_shape=with_mask, latent_size=config.latent_size)
        self.decoder: SpatialBroadcastDecoder = config.decoder.build(
            image_shape=self.image_shape, latent_size=config.latent_size
        )
        self.geco: Geco | None = config.geco.build(image_shape=self.image_shape) if config.geco else None
        self.couples_batch = self.geco is not None
        self.needs_segmentation = config.masks in ("given", "wrong")
        if config.initialisation == "truncated_normal":
            truncated_normal(self)

    def losses(self, batch: Batch, step: Step) -> Losses:
        """What MONet minimises over `batch["image"]` [B,C,H,W], for one sample of the latents.

        Without attention, "given" and "wrong" masks also need `batch["segmentation"]` [B,H,W].
        """
        terms = self.terms(batch, step)
        cost = self.config.beta * terms.kl + self.config.gamma * terms.kl_mask
        if self.geco is None:
            loss, more = terms.reconstruction + cost, {}
        else:
            weight = self.geco.weight(terms.reconstruction, step)
            loss, more = terms.reconstruction + weight * cost, {"kl_weight": weight}
        return Losses({"model": loss}, {**terms.log(), **more})

    def terms(self, batch: Batch, step: Step) -> SlotTerms:
        """The terms of the loss and what the slots made of the batch."""
        image = checks.check_images(batch["image"], self.image_shape)
        log_mask, seen = self.log_masks(image, segmentation=batch.get("segmentation"))
        posterior = self.infer(image, seen)
        noise = step.normal(posterior.mean.unflatten(0, (len(image), -1))).flatten(0, 1)
        latents = posterior.sample(noise).unflatten(0, (len(image), -1))
        appearance, log_decoded = self.draw(latents)
        return SlotTerms(
            image=image,
            appearance=appearance,
            log_mask=log_mask,
            nll=self.nll(image, appearance, log_mask),
            kl_per_slot=posterior.kl_to_standard().sum(1).unflatten(0, (len(image), -1)),
            mask_divergence=mask_kl(log_mask, log_decoded),
        )

    def attend(
        self, image: Float[Tensor, "batch channels height width"], slots: int
    ) -> Float[Tensor, "batch slots height width"]:
        """ln m: cut `slots` masks out of the image by stick-breaking in logarithms; the last one takes the rest."""
        log_scope = full_precision(image.new_zeros(len(image), 1, *image.shape[2:]))
        log_masks = []
        for cut in range(slots - 1):
            logit = full_precision(self.attention_logit(image, log_scope)) + self._offset(cut)
            logit = logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            log_masks.append(log_scope + F.logsigmoid(logit))
            log_scope = log_scope + F.logsigmoid(-logit)
        return torch.cat([*log_masks, log_scope], dim=1)

    def attention_logit(self, image: Tensor, log_scope: Tensor) -> Tensor:
        """How much of the scope at every pixel the next mask takes, before the sigmoid."""
        if self.attention is None:
            raise CapabilityError(
                f"a MONet of slots = {self.config.slots} and masks = '{self.config.masks}' cannot cut images",
                "a segmentation, or a model trained with masks = 'attention' and two slots or more",
            )
        seen = torch.cat([image, log_scope.to(image.dtype)], dim=1)
        return recomputed(self.attention, seen) if self.config.checkpoint_attention else self.attention(seen)

    def log_masks(
        self, image: Tensor, slots: int | None = None, segmentation: Int[Tensor, "batch height width"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """ln m [B,K,H,W] of the image's masks, and as the encoder sees them: hard ones are nowhere −∞ for it.

        Args:
            slots: K; None: that of training.
            segmentation: with which a model without attention makes its masks.
        """
        slots = checks.check_slots(self.config.slots if slots is None else slots)
        if self.config.masks == "attention":
            log_mask = self.attend(image, slots)
            return log_mask, log_mask
        log_mask = hard_log_masks(in_regime(self.config.masks, segmentation, image), slots)
        return log_mask, log_mask.clamp(min=GIVEN_FLOOR)

    def infer(
        self,
        image: Float[Tensor, "batch channels height width"],
        log_mask: Float[Tensor, "batch slots height width"],
    ) -> DiagonalGaussian:
        """The posterior of every slot of every image, [B·K, D]."""

        def parameters(log_mask: Tensor) -> tuple[Tensor]:
            shared = image.unsqueeze(1).expand(-1, log_mask.shape[1], -1, -1, -1)
            seen = torch.cat([shared, log_mask.unsqueeze(2).to(image.dtype)], dim=2)
            return (self.encoder(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]),)

        (found,) = in_chunks(parameters, self.config.slot_chunk, log_mask)
        mean, log_std = full_precision(found.flatten(0, 1)).chunk(2, dim=1)
        return DiagonalGaussian.from_parameters(torch.cat([mean, 2 * log_std], dim=1), self.config.log_variance_range)

    def draw(
        self, latents: Float[Tensor, "batch slots latents"]
    ) -> tuple[Float[Tensor, "batch slots channels height width"], Float[Tensor, "batch slots height width"]]:
        """The pixel means of every slot, and ln m̃."""

        def drawn(latents: Tensor) -> tuple[Tensor]:
            return (self.decoder(latents.flatten(0, 1)).unflatten(0, latents.shape[:2]),)

        (output,) = in_chunks(drawn, self.config.slot_chunk, latents)
        output = full_precision(output)
        mean = output[:, :, :-1]
        return mean.sigmoid() if self.config.pixel_bound == "sigmoid" else mean, output[:, :, -1].log_softmax(dim=1)

    def nll(self, image: Tensor, appearance: Tensor, log_mask: Tensor) -> Float[Tensor, " batch"]:
        """−ln p(x) of every image in nats, or its bound."""
        scale = appearance.new_full((appearance.shape[1],), self.config.foreground_scale)
        scale[0] = self.config.background_scale
        log_prob = log_density("normal", image, appearance, scale)
        if self.config.recon == "weighted" or self.config.masks != "attention":  # equal where masks are hard
            return weighted_nll(log_mask, log_prob)
        return mixture_nll(log_mask, log_prob, self.config.mixture_over)

    def encode(self, image: Tensor, slots: int | None = None, segmentation: Tensor | None = None) -> Slots:
        """The slots of every image; for the arguments see `decompose`."""
        image = checks.check_images(image, self.image_shape)
        log_mask, seen = self.log_masks(image, slots, segmentation)
        posterior, shape = self.infer(image, seen), log_mask.shape[:2]
        return Slots(posterior.mean.unflatten(0, shape), posterior.variance.unflatten(0, shape), log_mask.exp())

    def decompose(self, image: Tensor, slots: int | None = None, segmentation: Tensor | None = None) -> Decomposition:
        """Take images [B,C,H,W] in [0,1] apart, with the posterior means.

        Args:
            slots: K; None: as many as in training.
            segmentation: int64 [B,H,W], for a model without attention; used as in training ("wrong": another image's).
        """
        found = self.encode(image, slots, segmentation)
        return Decomposition(found, *self.components(found.mean))

    def components(
        self, latents: Float[Tensor, "batch slots latents"]
    ) -> tuple[Float[Tensor, "batch slots channels height width"], Float[Tensor, "batch slots height width"]]:
        """What every slot looks like, in [0, 1], and the masks that the latents give (m̃)."""
        appearance, log_decoded = self.draw(latents)
        return appearance.clamp(0, 1), log_decoded.exp()

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch channels height width"]:
        """The image that the latents alone give, mixed with m̃, in [0, 1]."""
        appearance, mask = self.components(latents)
        return (mask.unsqueeze(2) * appearance).sum(1).clamp(0, 1)

    def reconstruct(self, image: Float[Tensor, "batch channels height width"]) -> Tensor:
        """The image mixed with the masks of the attention, from the posterior means, in [0, 1]."""
        return self.decompose(image).reconstruction

    def segment(self, image: Float[Tensor, "batch channels height width"], slots: int | None = None) -> Tensor:
        """The slot of every pixel, int64 [B,H,W]."""
        return labels(self.log_masks(checks.check_images(image, self.image_shape), slots)[0])

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` images for slots from the prior. Expect incoherent scenes: the slots do not know of each other, and
        the masks m̃ were never trained to make an image."""
        drawn_on = torch.device("cpu") if generator is None else generator.device
        shape = (count, self.config.slots, self.config.latent_size)
        latents = torch.randn(shape, generator=generator, device=drawn_on)
        return self.decode(latents.to(next(self.parameters()).device))

    def diagnose(self, entries: symptoms.Entries) -> dict[str, str]:
        """Signs in the training log that the slots do not bind."""
        scale = max(self.config.background_scale, self.config.foreground_scale)
        return symptoms.binding(entries, self.config.slots, scale)

    def _offset(self, cut: int) -> float:
        left = self.config.slots - 1 - cut
        return -math.log(left) if self.config.even_start and left > 1 else 0.0
