import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def identity(rng: np.random.Generator) -> np.ndarray:
    """Ten factors with values 1 to 10, observed as they are: 10 000 samples."""
    return rng.integers(1, 11, size=(10000, 10))
