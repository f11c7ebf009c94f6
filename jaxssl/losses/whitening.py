"""Losses of whitened embeddings: no negatives, and nothing to collapse to."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_paired
from jaxssl.losses.siamese import byol

RIDGE = 1e-10


def w_mse(
  z_a: jax.Array, z_b: jax.Array, *, epsilon: float | jax.Array = 0.0
) -> jax.Array:
  """Squared distance of the unit vectors of two whitened views.

  Ermolov et al. 2020, arXiv:2007.06346, section 3: each view is centred and
  multiplied by the inverse of the Cholesky factor of its own unbiased covariance,
  then the mean over rows of 2 - 2 cos. Gradients reach both views. The whitening is
  over the rows given: cut a batch into sub-batches (of 2 * dim rows or more) before.

  The factor comes from a QR decomposition of the centred rows, whose error grows with
  the condition number of the rows and not, as a Cholesky decomposition's, with its
  square. A ridge of 1e-10 of each dimension's variance keeps value and gradient finite
  where the covariance has not full rank.

  Args:
    z_a: projections of the first views, [batch, dim], batch above dim.
    z_b: projections of the second views, [batch, dim].
    epsilon: mixes the covariance with the identity, (1 - epsilon) C + epsilon I;
      in [0, 1).

  Returns:
    The loss of the batch, [].

  Raises:
    InputError: on other ranks, unequal shapes, too few rows or a bad epsilon.
  """
  check_paired(z_a=z_a, z_b=z_b)
  _check_enough_rows(z_a)
  _check_share(epsilon)
  return jnp.mean(byol(_whiten(z_a, epsilon), _whiten(z_b, epsilon)))


def _whiten(z, epsilon):
  """Whitened rows up to one common factor, [batch, dim].

  With X = [sqrt(1 - epsilon) Z / sqrt(n - 1); sqrt(epsilon) I] the mixed covariance
  is X'X = R'R, so Z inv(R) is proportional to the first rows of Q. Q does not depend
  on the lengths of the columns, which are scaled to 1 for the ridge to suit them all.
  """
  rows = z.shape[0]
  z = z.astype(jnp.float32)
  z = (z - jnp.mean(z, axis=0, keepdims=True)) / jnp.sqrt(jnp.float32(rows - 1))
  epsilon = jnp.asarray(epsilon, jnp.float32)
  lengths = _lengths(z)
  below = jnp.diag(jnp.sqrt(epsilon / jnp.square(lengths) + RIDGE))
  above = jnp.sqrt(1.0 - epsilon) * z / lengths[None, :]
  q, r = jnp.linalg.qr(jnp.concatenate([above, below]))
  signs = jnp.where(jnp.diagonal(r) < 0.0, -1.0, 1.0)  # a Cholesky factor has none
  return q[:rows] * signs[None, :]


def _lengths(z):
  """Length of each column, [dim]; 1 for a column of zeros."""
  square = jnp.sum(jnp.square(jax.lax.stop_gradient(z)), axis=0)
  return jnp.sqrt(jnp.where(square > 1e-24, square, 1.0))


def _check_enough_rows(z):
  rows, dim = z.shape
  if rows <= dim:
    raise InputError(
      f"`z_a` has {rows} rows of {dim} dimensions; pass more rows than dimensions "
      "(twice as many, say): a covariance of fewer cannot be inverted."
    )


def _check_share(epsilon):
  if isinstance(epsilon, int | float) and not 0 <= epsilon < 1:
    raise InputError(f"`epsilon` is {epsilon}; pass a number in [0, 1).")
