"""COBRA (Watters et al. 2019): objects, a model of actions, curiosity, and tasks by search."""
