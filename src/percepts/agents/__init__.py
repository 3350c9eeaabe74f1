"""Agents: policies and how they learn, over any environment with batched observations."""
