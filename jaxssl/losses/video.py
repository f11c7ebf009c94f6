"""Losses of clips: frames that come next, and frames of one moment."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_matrices, check_positive
from jaxssl.ops.cubes import Cube, cube_moments, cut_cubes
from jaxssl.ops.numerics import l2_normalize


def absolute_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """L1 distance, summed over all frames, pixels and channels of an example.

  Mathieu et al. 2015, arXiv:1511.05440, equation 5 with p = 1.

  Args:
    prediction: [batch, ...].
    target: of the same shape.

  Returns:
    float32 [batch].

  Raises:
    InputError: on unequal shapes.
  """
  chex.assert_equal_shape([prediction, target], exception_type=InputError)
  apart = prediction.astype(jnp.float32) - target.astype(jnp.float32)
  return jnp.sum(jnp.abs(apart), axis=tuple(range(1, apart.ndim)))


def gradient_difference(
  prediction: jax.Array, target: jax.Array, *, alpha: float = 1.0
) -> jax.Array:
  """How much the edges of two images or clips differ, summed over an example.

  Mathieu et al. 2015, arXiv:1511.05440, equation 6: the sum over all neighbouring
  pixels, along rows and along columns, of `||change in the target| - |change in the
  prediction|| ** alpha`.

  Args:
    prediction: [batch, ..., height, width, channels].
    target: of the same shape.
    alpha: exponent, 1 or more.

  Returns:
    float32 [batch].

  Raises:
    InputError: on unequal shapes, fewer axes, or an exponent below 1.
  """
  chex.assert_equal_shape([prediction, target], exception_type=InputError)
  if prediction.ndim < 4 or alpha < 1:
    raise InputError(
      f"shape {prediction.shape}, alpha {alpha}; pass [batch, ..., height, width, "
      "channels] and an exponent of 1 or more"
    )
  total = jnp.zeros(prediction.shape[0], jnp.float32)
  for axis in (-3, -2):
    edges = [
      jnp.abs(jnp.diff(x.astype(jnp.float32), axis=axis)) for x in (prediction, target)
    ]
    apart = jnp.abs(edges[1] - edges[0])
    apart = apart if alpha == 1 else apart**alpha
    total = total + jnp.sum(apart, axis=tuple(range(1, apart.ndim)))
  return total


def triplet_semi_hard(
  z: jax.Array, positive: jax.Array, negative: jax.Array, *, margin: float = 0.2
) -> jax.Array:
  """Triplets whose negative is the nearest that is farther than the positive.

  Schroff et al. 2015, arXiv:1503.03832, section 3.2, as time-contrastive networks use
  it (arXiv:1704.06888): with squared distances d of unit vectors, the mean over all
  positive pairs (a, p) of `max(margin + d(a, p) - d(a, n), 0)`. n is the negative of
  a with the smallest d(a, n) above d(a, p), and the farthest one where none is above.
  A pair whose anchor has no negative counts 0. O(n ** 2) memory.

  Args:
    z: un-normalised embeddings, [n, dim].
    positive: bool [n, n], whether the second is a positive of the first.
    negative: bool [n, n].
    margin: above 0.

  Returns:
    A float32 scalar; 0 if there are no positives.

  Raises:
    InputError: on other shapes or types, or a margin that isn't positive.
  """
  _check_relations(z, positive, negative)
  check_positive(margin=margin)
  unit = l2_normalize(z.astype(jnp.float32))
  # unit vectors: |a - b|^2 = 2 - 2 a.b
  distance = 2.0 - 2.0 * jnp.matmul(unit, unit.T, precision="highest")
  order, count = _nearest_first(distance, negative)
  ranked = jnp.take_along_axis(distance, order, axis=1)
  known = jnp.where(jnp.arange(len(z))[None] < count[:, None], ranked, jnp.inf)
  farther = jax.vmap(lambda row, d: jnp.searchsorted(row, d, side="right"))
  rank = farther(jax.lax.stop_gradient(known), jax.lax.stop_gradient(distance))
  rank = jnp.clip(jnp.minimum(rank, count[:, None] - 1), 0, None)
  apart = jnp.take_along_axis(ranked, rank, axis=1)
  counted = positive & (count[:, None] > 0)
  error = jnp.where(counted, jax.nn.relu(margin + distance - apart), 0.0)
  return jnp.sum(error) / jnp.maximum(jnp.sum(positive, dtype=jnp.float32), 1.0)


def n_pairs(
  z: jax.Array,
  positive: jax.Array,
  negative: jax.Array,
  *,
  regularization: float = 0.002,
) -> jax.Array:
  """Cross-entropy of a positive against all negatives, by the inner product.

  Sohn 2016, "Improved deep metric learning with multi-class N-pair loss objective",
  equation 6, for every positive pair (a, p): the mean of
  `log(1 + sum over negatives n of exp(a.n - a.p))`, and `regularization / 4` times
  twice the mean squared norm, as in TensorFlow. Embeddings are not normalised.

  Args:
    z: embeddings, [n, dim].
    positive: bool [n, n], whether the second is a positive of the first.
    negative: bool [n, n].
    regularization: of the norms.

  Returns:
    A float32 scalar.

  Raises:
    InputError: on other shapes or types.
  """
  _check_relations(z, positive, negative)
  z = z.astype(jnp.float32)
  product = jnp.matmul(z, z.T, precision="highest")
  others = jnp.where(negative, product, jnp.finfo(jnp.float32).min)
  crowd = jax.nn.logsumexp(others, axis=1)
  crowd = jnp.where(jnp.any(negative, axis=1), crowd, jnp.finfo(jnp.float32).min)
  error = jnp.where(positive, jax.nn.softplus(crowd[:, None] - product), 0.0)
  mean = jnp.sum(error) / jnp.maximum(jnp.sum(positive, dtype=jnp.float32), 1.0)
  return mean + 0.5 * regularization * jnp.mean(jnp.sum(jnp.square(z), axis=1))


def cube_targets(clips: jax.Array, cube: Cube, *, normalize: bool) -> jax.Array:
  """The pixels that VideoMAE predicts, cube by cube.

  Tong et al. 2022, arXiv:2203.12602, section 3.2, and the official code: with
  `normalize`, each channel of each cube minus its mean, over the root of its unbiased
  variance plus 1e-6.

  Args:
    clips: [batch, frames, height, width, channels].
    cube: frames, rows and columns of a cube.
    normalize: whether each cube is standardised.

  Returns:
    float32 [batch, cubes, values], without gradient, as `ops.cut_cubes` orders them.

  Raises:
    InputError: if the cubes don't fill the clips.
  """
  cubes = jax.lax.stop_gradient(cut_cubes(clips, cube).astype(jnp.float32))
  if not normalize:
    return cubes
  mean, deviation = cube_moments(cubes, cube)
  return (cubes - mean) / deviation


def _nearest_first(distance, negative):
  """Every anchor's candidates, negatives first and the nearest first; how many."""
  far = jnp.where(negative, jax.lax.stop_gradient(distance), jnp.inf)
  return jnp.argsort(far, axis=1), jnp.sum(negative, axis=1, dtype=jnp.int32)


def _check_relations(z, positive, negative):
  check_matrices(z=z)
  wanted = (len(z), len(z))
  for name, mask in (("positive", positive), ("negative", negative)):
    if mask.shape != wanted or mask.dtype != jnp.bool_:
      raise InputError(
        f"`{name}` must be bool {list(wanted)}, one entry for each pair of rows of z; "
        f"got {mask.dtype} {list(mask.shape)}."
      )
