"""LeJEPA: views predict the mean of the global ones; features are kept Gaussian."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import projection, two_view_method
from jaxssl.models.siamese import apply_multicrop
from jaxssl.ops import l2_normalize


def lejepa(
  net: nn.Module,
  views: Callable,
  *,
  global_views: int = 2,
  weight: float = 0.05,
  slices: int = 1024,
  t_max: float = 3.0,
  knots: int = 17,
) -> Method:
  """LeJEPA (Balestriero and LeCun, arXiv 2511.08544).

  `(1 - weight) * prediction + weight * SIGReg`: every view's squared distance to the
  mean projection of the global views, and the sketched test of each view's
  projections against an isotropic Gaussian. Its random directions are drawn anew
  every step, from the step alone, so that all devices take the same.

  Args:
    net: encoder and projector; there is no target, predictor or stop-gradient.
    views: (key, example) -> inputs, the global ones first; sizes may differ.
    global_views: how many of them are global.
    weight: of SIGReg, in [0, 1].
    slices: random directions of a step.
    t_max: end of the frequencies of the test.
    knots: number of frequencies.

  Returns:
    The method; its state is the net's batch statistics.
  """
  if not 0 <= weight <= 1:
    raise InputError(f"The weight of SIGReg is {weight}; it must be in [0, 1].")

  base = two_view_method(
    net, views, outputs=projection, loss=None, apply=apply_multicrop
  )

  def objective(params, extra, z, step):
    del params
    z = jnp.stack(z)
    centre = z[:global_views].mean(0, keepdims=True)
    prediction = jnp.mean(jnp.square(z - centre))
    key = jax.random.fold_in(jax.random.key(0), step)
    directions = l2_normalize(jax.random.normal(key, (z.shape[-1], slices)), axis=0)
    test = lambda z: losses.sigreg(z, directions, t_max=t_max, knots=knots)
    gaussian = jax.vmap(test)(z).mean()
    metrics = {"prediction": prediction, "sigreg": gaussian}
    return (1 - weight) * prediction + weight * gaussian, (extra, metrics)

  return base._replace(objective=objective)
