"""One story a paper: presets, training, measurement, claims. Importing this room is cheap; `load_studies` is not."""

from percepts.studies.study import load_studies, reproduce

__all__ = ["load_studies", "reproduce"]
