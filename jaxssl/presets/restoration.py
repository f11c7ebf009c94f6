"""What experiments with colorization and inpainting share: nets, views, the prior."""

import math
from functools import partial

import flax.linen as nn
import numpy as np

from jaxssl import models, ops
from jaxssl.augment import compose, crop_view, many_views, random_flip
from jaxssl.augment.random_image import random_resized_crop
from jaxssl.augment.views import Views
from jaxssl.data import Source
from jaxssl.errors import InputError

SAMPLE = 512  # images that the prior of the colours is counted on
SIDE = 32  # rows and columns of them, at least


def color_weights(source: Source, *, gamma: float, alpha: float) -> np.ndarray:
  """Weights of the 313 colours from how often they occur in a sample of the data.

  Counted anew whenever the experiment is built, on `SAMPLE` images at even steps
  through the source and some 32 rows and columns of each, so that the same data give
  the same weights.

  Args:
    source: the training images, in colour.
    gamma: share of the uniform distribution.
    alpha: exponent; 0 weighs all colours alike.

  Returns:
    float32 [313].

  Raises:
    InputError: for grey images.
  """
  prior = ops.color_prior(sample_of(source))
  return ops.rebalancing(prior, gamma=gamma, alpha=alpha)


def sample_of(source: Source) -> np.ndarray:
  """Returns `SAMPLE` images at even steps, some 32 rows and columns of each."""
  sample = np.linspace(0, len(source) - 1, min(SAMPLE, len(source))).astype(np.int64)
  images = source[sample]["input"]
  step = max(min(images.shape[1:3]) // SIDE, 1)
  return images[:, ::step, ::step]


def color_net(encoder: nn.Module, *, out: int, factor: int, width: int) -> nn.Module:
  """Returns any encoder that has a map, and a head `factor` times as fine as that."""
  return models.Restorer(encoder, models.ResizeDecoder(out, factor, width))


def paper_color_net(*, width: int, out: int) -> nn.Module:
  """Returns the net of arXiv 1603.08511; `width` is 64 there."""
  decoder = models.ColorDecoder(out, width=4 * width)
  return models.Restorer(models.ColorEncoder(width), decoder)


def fixed_crops(size: int, *, share: float) -> Views:
  """Squares of one size from anywhere in the image, and their mirror images.

  Args:
    size: side of the result in pixels.
    share: side of the squares, as a share of the image's.
  """
  options = {"scale": (share**2, share**2), "ratio": (1.0, 1.0)}
  return many_views(
    compose(partial(random_resized_crop, size=size, **options), random_flip)
  )


def light_crops(size: int, *, least: float) -> Views:
  """Crops of an area of `least` or more, and their mirror images."""
  return many_views(crop_view(size, scale=(least, 1.0)))


def context_net(size: int, *, width: int, bottleneck: int) -> nn.Module:
  """Returns the net of arXiv 1604.07379 for images of a power of 2, in colour.

  Args:
    size: side of the images in pixels, 128 there; the hole has half of it.
    width: channels of the first convolution, 64 there.
    bottleneck: dimensions of the code, 4,000 there.

  Returns:
    The net.

  Raises:
    InputError: for another size.
  """
  halvings = math.log2(size / 4) if size > 0 else 0
  if size < 16 or halvings % 1:
    raise InputError(
      f"size is {size}; the context encoder needs 16, 32, 64, 128 or 256."
    )
  widths = (width, *(width * 2**i for i in range(int(halvings) - 1)))
  return models.Restorer(
    models.ContextEncoder(widths, bottleneck), models.HoleDecoder(widths[:0:-1])
  )


def hole_critic(side: int, *, width: int) -> nn.Module:
  """Returns DCGAN's critic for squares of a power of 2: halved until 4 pixels."""
  halvings = max(int(math.log2(side / 4)), 1)
  return models.HoleCritic(tuple(width * 2**i for i in range(halvings)))
