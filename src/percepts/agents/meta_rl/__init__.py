"""Agents that learn to act at the table of Alchemy: what they see, cores with memory, learners, trainings."""
