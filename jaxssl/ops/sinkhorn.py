"""Sinkhorn-Knopp: soft assignments that use all prototypes alike."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

LOWEST = float(jnp.finfo(jnp.float32).min)  # finite: -inf - -inf would be NaN


class Scaling(NamedTuple):
  """What Sinkhorn-Knopp adds to the logarithms of scores; see `assigned`.

  Attributes:
    rows: float32 [batch, 1].
    prototypes: float32 [1, prototypes].
    top: float32 [], the largest score, which is taken away first.
  """

  rows: jax.Array
  prototypes: jax.Array
  top: jax.Array


def sinkhorn(
  scores: jax.Array,
  *,
  epsilon: float | jax.Array,
  iterations: int,
  mask: jax.Array | None = None,
) -> jax.Array:
  """Assigns rows to prototypes so that each prototype gets the same share of rows.

  SwAV, Caron et al., arXiv 2006.09882, eq. 3-4, `distributed_sinkhorn` of the official
  code: every iteration scales the prototypes to equal mass, then the rows to sum 1.
  The official code exponentiates raw scores, which overflows in float32; here all is
  in the log domain, exact for any finite scores.

  Args:
    scores: similarities to the prototypes, [batch, prototypes].
    epsilon: divides the scores; SwAV 0.05, the teacher's temperature in DINOv2.
    iterations: of the two scalings; 3 in SwAV and DINOv2.
    mask: [batch], 1 (or True) where a row takes part; None: everywhere.

  Returns:
    Assignments, float32 [batch, prototypes]; rows sum to 1, masked rows are 0.

  Raises:
    InputError: if there are fewer than 2 prototypes, no iterations, or `epsilon` is
      not positive.
  """
  options = {"epsilon": epsilon, "mask": mask}
  scaling = sinkhorn_scaling(scores, iterations=iterations, **options)
  return assigned(scores, scaling, **options)


def sinkhorn_scaling(
  scores: jax.Array,
  *,
  epsilon: float | jax.Array,
  iterations: int,
  mask: jax.Array | None = None,
) -> Scaling:
  """Returns what gives the assignments of `sinkhorn` without holding them all.

  Args:
    scores: as there, and so the others.
    epsilon: of all scores.
    iterations: of the two scalings.
    mask: of the rows.
  """
  chex.assert_rank(scores, 2)
  _check(scores, epsilon, iterations)
  real = _real(scores, mask)
  chex.assert_shape(real, (len(scores), 1))
  top = jax.lax.stop_gradient(jnp.max(jnp.where(real, scores, LOWEST)))
  top = top.astype(jnp.float32)
  log_q = _shifted(scores, real, top) / epsilon
  rows = jnp.zeros((len(scores), 1))
  for _ in range(iterations):
    shares = jnp.where(real, log_q + rows, LOWEST)
    prototypes = -jax.nn.logsumexp(shares, axis=0, keepdims=True)
    rows = -jax.nn.logsumexp(log_q + prototypes, axis=1, keepdims=True)
  return Scaling(rows, prototypes, top)


def assigned(
  scores: jax.Array,
  scaling: Scaling,
  *,
  epsilon: float | jax.Array,
  mask: jax.Array | None = None,
) -> jax.Array:
  """Returns the assignments of some rows, float32 [batch, prototypes].

  Args:
    scores: of the rows, [batch, prototypes].
    scaling: its `rows` are those of these rows.
    epsilon: divides the scores.
    mask: [batch], 0 where a row takes no part.
  """
  real = _real(scores, mask)
  log_q = _shifted(scores, real, scaling.top) / epsilon
  scaled = jnp.exp(log_q + scaling.prototypes + scaling.rows)
  return jnp.where(real, scaled, 0.0)


def _real(scores, mask):
  """Which rows take part, bool [batch, 1]."""
  real = jnp.ones(len(scores), bool) if mask is None else mask.astype(bool)
  return real[:, None]


def _shifted(scores, real, top):
  """Scores less their one maximum: rows' own maxima would change the assignments."""
  return jnp.where(real, scores.astype(jnp.float32) - top, 0.0)


def _check(scores, epsilon, iterations):
  if scores.shape[1] < 2:
    raise InputError(
      f"sinkhorn needs at least 2 prototypes, not {scores.shape[1]}: the scores are "
      "[batch, prototypes]."
    )
  if iterations < 1:
    raise InputError(f"sinkhorn needs at least 1 iteration, not {iterations}.")
  if not isinstance(epsilon, jax.Array) and epsilon <= 0:
    raise InputError(f"sinkhorn needs a positive epsilon, not {epsilon}.")
