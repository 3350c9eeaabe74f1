"""Agents that learn to act at the table of Alchemy: what they see, cores with memory, learners, trainings."""

from percepts.agents.meta_rl.presets import TRAININGS
from percepts.agents.meta_rl.training import AlchemyTraining, open_agent, train

__all__ = ["TRAININGS", "AlchemyTraining", "open_agent", "train"]
