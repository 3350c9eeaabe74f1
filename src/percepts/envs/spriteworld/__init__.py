"""Spriteworld: simple shapes in the unit square that are clicked, dragged or carried (Watters et al. 2019)."""
