"""Losses that predict the cluster which another view was assigned to."""

import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl.losses._checks import check_paired, check_positive, check_rows


def swav(
  scores: jax.Array, codes: jax.Array, *, temperature: float | jax.Array
) -> jax.Array:
  """Cross-entropy of a view's prototype scores to the codes of another view.

  Caron et al. 2020, arXiv:2006.09882, eq. 2, for one assigning and one predicting
  crop; the paper averages over both. The codes are constants: no gradient reaches
  them. With one-hot codes this is DeepCluster-v2, with a Sinkhorn teacher's codes the
  class and patch losses of DINOv2.

  Args:
    scores: of the predicting crop, in float32 inside, [batch, prototypes].
    codes: of the assigning crop, each row sums to 1, [batch, prototypes]; a row of
      zeros (not assigned) gives 0.
    temperature: divides the scores, above 0.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, an empty batch or a bad option.
  """
  check_paired(scores=scores, codes=codes)
  check_rows(1, "an empty batch has no loss", scores=scores)
  check_positive(temperature=temperature)
  codes = stop_gradient(codes).astype(jnp.float32)
  logits = scores.astype(jnp.float32) / temperature
  return optax.losses.softmax_cross_entropy(logits, codes)
