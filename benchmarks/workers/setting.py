"""What all competitors of `peers.py` are given: net, sizes, images, optimiser."""

from typing import NamedTuple

import numpy as np

WIDTHS, POOLS = (32, 64, 128, 256), (1, 2, 2, 1)  # of the small ConvNet
PROJECTION, TEMPERATURE = 128, 0.5
SGD = {"rate": 0.03, "momentum": 0.9, "weight_decay": 5e-4}


class Setting(NamedTuple):
  """One comparison.

  Attributes:
    task: "resnet18" or "convnet" (training), or "views" (augmentation alone).
    batch: images a step, each in two views.
    examples: images in the data set.
    side: of images and views, in pixels.
  """

  task: str
  batch: int
  examples: int
  side: int


def setting(task: str, *, quick: bool) -> Setting:
  """Returns the sizes of a comparison."""
  return Setting(task, 16, 64, 16) if quick else Setting(task, 256, 10_000, 32)


def images(given: Setting) -> np.ndarray:
  """Returns uint8 images of noise, [examples, side, side, 3]."""
  shape = (given.examples, given.side, given.side, 3)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
