"""The colours that sRGB can show, as bins of L*a*b*: what colorization classifies.

Zhang, Isola and Efros, arXiv 1603.08511, section 2: the ab plane on a grid of 10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.lab import srgb_to_lab
from jaxssl.ops.numerics import to_float

GRID = 10
GREY = 5.0  # images whose a and b stay within it have no colour to learn from
FIRST_A = -90
EDGE = 12  # cells from 0 that no colour is beyond
# The lowest and the highest b of each a from -90 to 100, as in the authors' list of
# 313: the corners of all cells that an sRGB colour falls into, and four more.
RANGES = (
  *((50, 90), (20, 90), (0, 90), (-20, 90), (-30, 100), (-40, 100), (-50, 100)),
  *((-50, 100), (-60, 100), (-70, 100), (-80, 90), (-80, 90), (-90, 90), (-100, 90)),
  *((-100, 80), (-110, 80), (-110, 80), (-110, 70), (-110, 70), (-90, 0)),
)


class SoftBins(NamedTuple):
  """A colour as a few weighted bins.

  Attributes:
    index: int32 [..., nearest], the nearest bin first.
    weight: float32 [..., nearest], of sum 1.
  """

  index: jax.Array
  weight: jax.Array


def ab_bins() -> np.ndarray:
  """Returns the centres of the 313 bins, float32 [313, 2], sorted by a, then b."""
  points = [
    (FIRST_A + GRID * i, b)
    for i, (low, high) in enumerate(RANGES)
    for b in range(low, high + 1, GRID)
  ]
  return np.array(points, np.float32)


def soft_bins(ab: jax.Array, *, nearest: int = 10, sigma: float = 5.0) -> SoftBins:
  """Spreads each colour over its nearest bins, by a Gaussian of the distance.

  Section 2.2. The paper has 5 bins, its second release 10.

  Args:
    ab: [..., 2].
    nearest: number of bins that share a colour.
    sigma: standard deviation of the Gaussian.

  Returns:
    The bins of each colour.

  Raises:
    InputError: if `nearest` isn't 1 to 313 or `sigma` not positive.
  """
  bins = ab_bins()
  if not 1 <= nearest <= len(bins) or sigma <= 0:
    raise InputError(
      f"nearest={nearest} and sigma={sigma}; pass 1 to {len(bins)} bins and a "
      "positive sigma."
    )
  away = ab.astype(jnp.float32)[..., None, :] - _leading(bins, ab.ndim + 1)
  closeness, index = jax.lax.top_k(-jnp.sum(jnp.square(away), -1), nearest)
  weight = jax.nn.softmax(closeness / (2 * sigma**2), axis=-1)
  return SoftBins(index, weight)


def annealed_mean(logits: jax.Array, *, temperature: float = 0.38) -> jax.Array:
  """Returns one colour for a distribution over the bins (section 2.3).

  Args:
    logits: [..., 313].
    temperature: divides the logits; 1 is the mean, towards 0 the mode.

  Returns:
    float32 [..., 2], the mean of the bins' centres.

  Raises:
    InputError: if the temperature isn't positive.
  """
  if temperature <= 0:
    raise InputError(f"temperature is {temperature}; pass a number above 0.")
  share = jax.nn.softmax(logits.astype(jnp.float32) / temperature, axis=-1)
  return jnp.einsum("...q,qc->...c", share, ab_bins(), precision="highest")


def color_prior(images: np.ndarray, *, sigma: float = 5.0) -> np.ndarray:
  """How often each bin occurs in some images, smoothed by a Gaussian over the bins.

  Args:
    images: a sample, [batch, height, width, 3], uint8 or float in [0, 1].
    sigma: standard deviation of the smoothing in the ab plane.

  Returns:
    float64 [313] of sum 1.

  Raises:
    InputError: if the images aren't in colour, or `sigma` is not positive.
  """
  if sigma <= 0:
    raise InputError(f"sigma is {sigma}; pass a number above 0.")
  ab = _colors(images)
  bins = ab_bins().astype(np.float64)
  counts = _counts(ab)
  apart = np.square(bins[:, None] - bins[None]).sum(-1)
  kernel = np.exp(-apart / (2 * sigma**2))
  return (counts / counts.sum()) @ (kernel / kernel.sum(1, keepdims=True))


def check_colors(images: np.ndarray) -> None:
  """Checks that some images have colours to learn from.

  Args:
    images: a sample, [batch, height, width, channels], uint8 or float in [0, 1].

  Raises:
    InputError: if they have another number of channels than 3, or none of their pixels
      has an a or b beyond `GREY`: grey images that were saved with three channels.
  """
  _colors(images)


def _colors(images):
  """The a and b of images that `check_colors` does not refuse."""
  if images.ndim != 4 or images.shape[-1] != 3:
    raise InputError(
      f"Colorization needs colour images [batch, height, width, 3]; got shape "
      f"{images.shape}. Grey images have no colour to predict."
    )
  ab = srgb_to_lab(to_float(jnp.asarray(images)))[..., 1:]
  if jnp.abs(ab).max() <= GREY:
    raise InputError(
      f"None of {len(images)} images has a pixel whose a or b is beyond {GREY:g}. Grey "
      "images have no colour to predict, though they be saved with three channels."
    )
  return ab


def rebalancing(
  prior: np.ndarray, *, gamma: float = 0.5, alpha: float = 1.0
) -> np.ndarray:
  """Weights that let rare colours count as much as common ones (equation 4).

  `w = ((1 - gamma) * prior + gamma * uniform) ** -alpha`, scaled so that the mean of
  `w` under the prior is 1; uniform over the bins that occur. A bin that doesn't occur
  gets the largest weight of those that do.

  Args:
    prior: [313], not negative; scaled to sum 1 here.
    gamma: share of the uniform distribution, 0 to 1.
    alpha: exponent; 0 weighs all bins alike.

  Returns:
    float32 [313].

  Raises:
    InputError: for another shape, negative numbers, an empty prior, or `gamma`
      outside 0 to 1.
  """
  prior = np.asarray(prior, np.float64)
  if prior.shape != (len(ab_bins()),) or prior.min() < 0 or not prior.sum() > 0:
    raise InputError(
      f"A prior is {len(ab_bins())} numbers of 0 or more, not all 0; got shape "
      f"{prior.shape}."
    )
  if not 0 <= gamma <= 1:
    raise InputError(f"gamma is {gamma}; pass a share from 0 to 1.")
  prior = prior / prior.sum()
  occurs = prior > 0
  mixed = (1 - gamma) * prior + gamma * occurs / occurs.sum()
  weights = np.where(occurs, mixed, mixed[occurs].min()) ** -alpha
  return (weights / (prior @ weights)).astype(np.float32)


def _counts(ab):
  """The pixels in each bin: every colour of a screen rounds to a bin."""
  number = np.full((2 * EDGE,) * 2, -1)
  number[_cells(ab_bins())] = np.arange(len(ab_bins()))
  found = number[_cells(np.asarray(ab).reshape(-1, 2))]
  return np.bincount(found, minlength=len(ab_bins()))


def _cells(ab):
  return tuple(np.rint(ab / GRID).astype(int).T + EDGE)


def _leading(table, ndim):
  """`table` with axes of 1 in front."""
  return table.reshape((1,) * (ndim - table.ndim) + table.shape)
