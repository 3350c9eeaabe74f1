"""A pipeline of seconds, for tests and for the processes that they kill."""

from __future__ import annotations

from dataclasses import replace

from percepts.agents.cobra.agent import CobraAgent, TrainedVision
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.planning import OneStepSearch
from percepts.agents.cobra.rewards import RewardModel, SumHead
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.transition_losses import TransitionLoss
from percepts.data.stream import StreamConfig
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.scenes import SpriteworldScenes
from percepts.nn.unet import UNet
from percepts.objects.monet import MONet
from percepts.objects.networks import component_decoder, component_encoder
from percepts.training.evaluation import Evaluation
from percepts.training.experiment import Data, Experiment
from percepts.training.settings import Training

TASK = "goal-finding-new-shape"


def small_pipeline(steps: int = 24) -> CobraAgent.Config:
    """Oracle slots: an exploration of 512 transitions and one task."""
    phase = TaskPhase.Config(
        steps=steps,
        warm_up=8,
        updates=1,
        batch_size=8,
        log_every=4,
        planner=OneStepSearch(candidates=8),
        reward=RewardModel.Config(heads=(SumHead.Config(hidden=(8,)),)),
    )
    return CobraAgent.Config(
        exploration=Curiosity.Config(
            transitions=512,
            arenas=16,
            updates=1,
            batch_size=32,
            log_every=4,
            probe_arenas=4,
            transition=SlotTransition.Config(hidden=(8,)),
        ),
        tasks={TASK: phase},
        curve=(12,),
        curve_episodes=4,
        episodes=4,
    )


def small_pixels() -> CobraAgent.Config:
    """A MONet that is trained for a few steps on pictures of 16 x 16, and everything that is built on it."""
    whole = small_pipeline()
    model = MONet.Config(
        slots=3,
        latent_size=4,
        attention=UNet.Config(channels=(4, 8)),
        encoder=component_encoder(channels=(4, 8), hidden=(16,)),
        decoder=component_decoder(channels=(4, 4)),
    )
    vision = Experiment(
        model=model,
        data=Data(dataset=SpriteworldScenes.Config(images=32, size=16, renderer="fast")),
        sampling=StreamConfig(batch_size=4),
        training=Training(steps=3, log_every=1, device="cpu"),
        evaluation=Evaluation(images=8, scenes=8),
    )
    exploration = replace(
        whole.exploration, transitions=64, batch_size=8, probe_arenas=2, loss=TransitionLoss(kind="pixel")
    )
    observer = Observer(renderer="fast", height=16, width=16)
    return replace(whole, encoder=TrainedVision(), vision=vision, exploration=exploration, observer=observer)
