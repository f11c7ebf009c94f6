"""Sinkhorn-Knopp: soft assignments that use all prototypes alike."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

LOWEST = float(jnp.finfo(jnp.float32).min)  # finite: -inf - -inf would be NaN


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
  chex.assert_rank(scores, 2)
  _check(scores, epsilon, iterations)
  real = jnp.ones(len(scores), bool) if mask is None else mask.astype(bool)
  chex.assert_shape(real, (len(scores),))
  log_q = _shifted(scores.astype(jnp.float32), real[:, None]) / epsilon
  for _ in range(iterations):
    shares = jnp.where(real[:, None], log_q, LOWEST)
    log_q = log_q - jax.nn.logsumexp(shares, axis=0, keepdims=True)
    log_q = jax.nn.log_softmax(log_q, axis=1)
  return jnp.where(real[:, None], jnp.exp(log_q), 0.0)


def _shifted(scores, real):
  """Scores less their one maximum: rows' own maxima would change the assignments."""
  top = jnp.max(jnp.where(real, scores, LOWEST))
  return jnp.where(real, scores - jax.lax.stop_gradient(top), 0.0)


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
