"""COBRA (Watters et al. 2019): objects, a model of actions, curiosity, and tasks by search."""

from percepts.agents.cobra.agent import CobraAgent, TrainedVision
from percepts.agents.cobra.presets import PIPELINES

__all__ = ["PIPELINES", "CobraAgent", "TrainedVision"]
