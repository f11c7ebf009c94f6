"""Losses of batch statistics: views agree, dimensions do not repeat each other.

All take un-normalised projections [batch, dim] and return one scalar for the batch,
with statistics and full-precision products in float32. Gradients reach both views.
"""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_paired, check_rows
from jaxssl.ops.numerics import l2_normalize


def barlow_twins(
  z_a: jax.Array, z_b: jax.Array, *, off_diagonal_weight: float | jax.Array = 0.0051
) -> jax.Array:
  """Cross-correlation of two views driven to the identity.

  Zbontar et al. 2021, arXiv:2103.03230, eq. 1, as in the official code: each view is
  standardised over its own batch with the biased variance and 1e-5 inside the root,
  and the terms are sums over dimensions. (The official training script also scales
  the loss; scale it where you call it.) A constant dimension correlates with nothing.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    off_diagonal_weight: weight of the redundancy term; should fall with dim.

  Returns:
    The loss of the batch, [].

  Raises:
    InputError: on other ranks, unequal shapes or a single row.
  """
  _check_views(z_a, z_b)
  correlation = _second_moment(_standardize(z_a), _standardize(z_b), z_a.shape[0])
  invariance = jnp.sum(jnp.square(1.0 - jnp.diagonal(correlation)))
  return invariance + off_diagonal_weight * _off_diagonal_energy(correlation)


def vicreg(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  invariance_weight: float | jax.Array = 25.0,
  variance_weight: float | jax.Array = 25.0,
  covariance_weight: float | jax.Array = 1.0,
) -> jax.Array:
  """Variance, invariance and covariance regularisation.

  Bardes et al. 2021, arXiv:2105.04906, eq. 6, as in the official code: the squared
  error is a mean over rows and dimensions, the variance term is halved for each view
  (the paper does not halve it), the covariance term is not; variance and covariance
  are unbiased, with 1e-4 inside the root.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    invariance_weight: weight of the squared error between the views.
    variance_weight: weight of the hinge on each dimension's standard deviation.
    covariance_weight: weight of the squared covariances between dimensions.

  Returns:
    The loss of the batch, [].

  Raises:
    InputError: on other ranks, unequal shapes or a single row.
  """
  _check_views(z_a, z_b)
  z_a, z_b = z_a.astype(jnp.float32), z_b.astype(jnp.float32)
  invariance = jnp.mean(jnp.square(z_a - z_b))
  variance = (_variance_hinge(z_a) + _variance_hinge(z_b)) / 2.0
  covariance = _covariance_energy(z_a) + _covariance_energy(z_b)
  return (
    invariance_weight * invariance
    + variance_weight * variance
    + covariance_weight * covariance
  )


def tico(
  z_a: jax.Array,
  z_b: jax.Array,
  covariance: jax.Array,
  *,
  beta: float | jax.Array,
  rho: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Transformation invariance and covariance contrast.

  Zhu et al. 2022, arXiv:2206.10698, section 3: one minus the cosine of the views, plus
  `rho` times the energy of the first view in the running second moment of all unit
  projections so far, this batch's included. That moment is a constant for the
  gradient; start it with zeros and hand the returned one to the next step.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim]; from the moving average of
      the network in the paper, not stopped here.
    covariance: the running second moment, float32, [dim, dim].
    beta: share of the old moment, in [0, 1].
    rho: weight of the contrast term.

  Returns:
    The loss of the batch [], and the updated moment [dim, dim].

  Raises:
    InputError: on other ranks, unequal shapes or a single row.
  """
  _check_views(z_a, z_b)
  _check_moment(covariance, z_a)
  z_a, z_b = (l2_normalize(z.astype(jnp.float32)) for z in (z_a, z_b))
  fresh = _second_moment(z_a, z_a, z_a.shape[0])
  covariance = covariance.astype(jnp.float32)
  covariance = jax.lax.stop_gradient(beta * covariance + (1.0 - beta) * fresh)
  seen = jnp.matmul(z_a, covariance, precision=jax.lax.Precision.HIGHEST)
  invariance = 1.0 - jnp.mean(jnp.sum(z_a * z_b, axis=1))
  return invariance + rho * jnp.mean(jnp.sum(seen * z_a, axis=1)), covariance


def _standardize(z):
  z = _center(z.astype(jnp.float32))
  variance = jnp.mean(jnp.square(z), axis=0, keepdims=True)
  return z * jax.lax.rsqrt(variance + 1e-5)


def _variance_hinge(z):
  deviation = jnp.sqrt(jnp.var(z, axis=0, ddof=1) + 1e-4)
  return jnp.mean(jax.nn.relu(1.0 - deviation))


def _covariance_energy(z):
  z = _center(z)
  return _off_diagonal_energy(_second_moment(z, z, z.shape[0] - 1)) / z.shape[1]


def _center(z):
  return z - jnp.mean(z, axis=0, keepdims=True)


def _second_moment(a, b, count):
  """`a.T @ b / count`, [dim, dim], at full float32 precision on every device."""
  return jnp.matmul(a.T, b, precision=jax.lax.Precision.HIGHEST) / count


def _off_diagonal_energy(matrix):
  diagonal = jnp.eye(matrix.shape[0], dtype=bool)
  return jnp.sum(jnp.square(jnp.where(diagonal, 0.0, matrix)))


def _check_views(z_a, z_b):
  check_paired(z_a=z_a, z_b=z_b)
  check_rows(2, "the statistics are over the batch", z_a=z_a)


def _check_moment(covariance, z):
  if covariance.shape != (z.shape[1], z.shape[1]):
    raise InputError(
      f"`covariance` is {list(covariance.shape)} for `z_a` of {list(z.shape)}; pass "
      "[dim, dim]."
    )
