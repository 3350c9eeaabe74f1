"""Agents that gather information: they choose what to try in order to find out a hidden rule (Ke et al. 2024)."""
