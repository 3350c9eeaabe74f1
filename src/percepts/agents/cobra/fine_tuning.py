"""Vision that goes on learning while the agent explores; COBRA's own is frozen (Watters et al. 2019).

    tuning = FineTuning(encoder, rate=1e-5, updates=400, seed=0)
    slots = tuning.encoder.see(image)
    step_together(error_of(slots) + tuning.loss(image), transition_learner, tuning.learner)

The error of a predicted picture then reaches the decoder that drew it and the encoder that gave the slots. The model's
own loss is added with weight 1 (proposed): without it slots may become whatever is easy to predict.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.cobra.learner import Learner
from percepts.agents.cobra.slot_models import LearnedSlots
from percepts.agents.cobra.slots import SlotEncoder, SlotState, as_images
from percepts.core.capabilities import HasParameterGroups, Trainable, require
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.random import derive_seed
from percepts.training.checkpoint import load_weights
from percepts.training.optimizers import Optimizer
from percepts.training.step import TrainingStep


class FineTuning:
    """A copy of a learned encoder, whose model can be moved. It stays in evaluation mode.

    Args:
        encoder: is left as it is.
        rate: learning rate.
        updates: of the whole training.
        seed: of the model's noise.

    Raises:
        ConfigError: the encoder has nothing that was learned.
        CapabilityError: the model has no loss, or one for every one of several groups of parameters.
    """

    def __init__(self, encoder: SlotEncoder, rate: float, updates: int, seed: int) -> None:
        if not isinstance(encoder, LearnedSlots):
            raise ConfigError(
                f"fine_tune = {rate} with {type(encoder).__name__}, in which nothing was learned",
                "an encoder around a trained model",
                "fine_tune = 0, or a vision that is trained",
            )
        require(encoder.model, Trainable, "fine-tuning")
        if isinstance(encoder.model, HasParameterGroups):
            raise CapabilityError(
                f"{type(encoder.model).__name__} has several optimisers, fine-tuning has one", fix="fine_tune = 0"
            )
        self.encoder = copy.deepcopy(encoder)
        self.learner = Learner(self.encoder.model.requires_grad_(True), Optimizer(lr=rate), updates, "vision")
        self.seed = derive_seed(seed, "fine-tuning")

    def see(self, image: Tensor) -> SlotState:
        """The slots of pictures, with gradients.

        Raises:
            CapabilityError: there are none: the model finds its slots in a way that cannot be differentiated.
        """
        slots = self.encoder.see(image)
        if torch.is_grad_enabled() and not slots.latents.requires_grad:
            raise CapabilityError(
                f"the slots of {type(self.encoder.model).__name__} have no gradients",
                "a vision that gives slots in one pass, such as MONet",
                "fine_tune = 0",
            )
        return slots

    def loss(self, image: Tensor) -> Float[Tensor, ""]:
        """What the model minimised in its own training, of these pictures, as in the next step of that training."""
        step = TrainingStep(self.encoder.trained + self.learner.done, self.seed)
        (loss,) = self.encoder.model.losses({"image": as_images(image).to(self.encoder.device)}, step).minimise.values()
        return loss

    def weights(self) -> dict[str, Tensor]:
        """Of the model, for `with_vision`."""
        return dict(self.encoder.model.state_dict())


def with_vision(encoder: SlotEncoder, weights: dict[str, Tensor], where: str) -> SlotEncoder:
    """The encoder with a fine-tuned model's weights in place of its own.

    Args:
        encoder: the one that was fine-tuned, or one like it; it is changed.
        weights: of the model.
        where: they come from, for errors.

    Raises:
        CheckpointError: they are of another model.
    """
    assert isinstance(encoder, LearnedSlots)
    load_weights(encoder.model, weights, where)
    return encoder
