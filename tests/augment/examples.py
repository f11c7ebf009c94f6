"""Small images for the tests."""

import numpy as np


def noise(seed, *shape):
  """Uniform noise in [0, 1], float32."""
  return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


COLOR = noise(0, 12, 10, 3)
GRAY = noise(1, 9, 11, 1)
