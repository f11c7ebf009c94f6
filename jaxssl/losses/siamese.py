"""Losses of paired predictions and targets, without negatives.

Both inputs are un-normalised [batch, dim]; the loss is in their cosine, taken in
float32. Nothing is detached: stop the gradient of the target where the method does.
"""

import jax
import jax.numpy as jnp

from jaxssl.losses._checks import check_paired
from jaxssl.ops.numerics import l2_normalize


def byol(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Squared distance of the unit vectors, 2 - 2 cos, one direction.

  Grill et al. 2020, arXiv:2006.07733, eq. 2. BYOL trains on the sum of both
  directions. A zero vector has cosine 0 with everything.

  Args:
    prediction: of the online network, [batch, dim].
    target: of the target network, [batch, dim].

  Returns:
    One value per row, [batch], in [0, 4].

  Raises:
    InputError: on other ranks or unequal shapes.
  """
  return 2.0 - 2.0 * _cosine(prediction, target)


def negative_cosine(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Minus the cosine, one direction.

  Chen and He 2020, arXiv:2011.10566, eq. 1. SimSiam trains on the mean of both
  directions. A zero vector has cosine 0 with everything.

  Args:
    prediction: of the predictor, [batch, dim].
    target: projection of the other view, [batch, dim].

  Returns:
    One value per row, [batch], in [-1, 1].

  Raises:
    InputError: on other ranks or unequal shapes.
  """
  return -_cosine(prediction, target)


def _cosine(prediction, target):
  check_paired(prediction=prediction, target=target)
  prediction = l2_normalize(prediction.astype(jnp.float32))
  return jnp.sum(prediction * l2_normalize(target.astype(jnp.float32)), axis=1)
