"""Losses of the pretexts that put back what was taken: colours, a part of an image."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.gamut import SoftBins


def color_cross_entropy(logits: jax.Array, target: SoftBins) -> jax.Array:
  """Cross-entropy with softly encoded colours (arXiv 1603.08511, equation 2).

  Args:
    logits: [..., bins], in any float dtype; computed in float32.
    target: bins and weights, [..., nearest] each.

  Returns:
    float32 [...], ln 313 = 5.746 for a uniform prediction of 313 bins.
  """
  chex.assert_equal_shape([target.index, target.weight], exception_type=InputError)
  chex.assert_equal_shape_prefix(
    [logits, target.index],
    target.index.ndim - 1,
    custom_message="Pass `logits` [..., bins] for the positions of `target`",
    exception_type=InputError,
  )
  log_share = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
  chosen = jnp.take_along_axis(log_share, target.index, axis=-1)
  return -jnp.sum(target.weight * chosen, axis=-1)


def ring_weights(side: int, ring: int, *, weight: float) -> np.ndarray:
  """Weights of the pixels of a square whose outer ring counts more than the rest.

  Args:
    side: of the square.
    ring: width of the ring in pixels.
    weight: of the ring; the rest has 1.

  Returns:
    float32 [side, side].
  """
  weights = np.full((side, side), weight, np.float32)
  inner = slice(ring, side - ring)
  weights[inner, inner] = 1.0
  return weights


def weighted_squared_error(
  prediction: jax.Array, target: jax.Array, weights: jax.Array | np.ndarray
) -> jax.Array:
  """Squared error with a weight for each pixel (arXiv 1604.07379, equation 1).

  Args:
    prediction: [batch, height, width, channels].
    target: of the same shape.
    weights: [height, width].

  Returns:
    float32 [batch], the mean over all pixels and channels of weight times square.

  Raises:
    InputError: on other shapes.
  """
  chex.assert_rank(prediction, 4, exception_type=InputError)
  chex.assert_equal_shape([prediction, target], exception_type=InputError)
  chex.assert_shape(weights, prediction.shape[1:3], exception_type=InputError)
  error = prediction.astype(jnp.float32) - target.astype(jnp.float32)
  return jnp.mean(jnp.square(error) * weights[None, :, :, None], axis=(1, 2, 3))
