"""Losses of sequences of items: the one that came next against one that didn't."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


def next_item(
  positive: jax.Array, negative: jax.Array, counted: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Binary cross-entropy of SASRec; 2 ln 2 for a place whose scores are 0.

  Kang and McAuley 2018, arXiv:1808.09781, equation 6:
  `-log sigmoid(positive) - log(1 - sigmoid(negative))`, summed over a sequence. The
  official code divides the sum over the batch by the number of places, and so does
  `error.sum() / count.sum()`.

  Args:
    positive: scores of the items that came next, [batch, places].
    negative: scores of items that didn't, [batch, places].
    counted: bool [batch, places], False where nothing came next.

  Returns:
    float32 [batch] errors, and float32 [batch] counts.

  Raises:
    InputError: on other ranks, shapes that don't fit, or a mask that isn't bool.
  """
  chex.assert_rank(
    [positive, negative, counted],
    2,
    custom_message="Pass `positive`, `negative` and `counted` as [batch, places]",
    exception_type=InputError,
  )
  chex.assert_equal_shape(
    [positive, negative, counted],
    custom_message="Pass `positive`, `negative` and `counted` of one shape",
    exception_type=InputError,
  )
  if counted.dtype != jnp.bool_:
    raise InputError(f"`counted` must be bool; got {counted.dtype}.")
  positive, negative = (x.astype(jnp.float32) for x in (positive, negative))
  each = jax.nn.softplus(-positive) + jax.nn.softplus(negative)
  error = jnp.sum(jnp.where(counted, each, 0.0), axis=1)
  return error, jnp.sum(counted, axis=1, dtype=jnp.float32)
