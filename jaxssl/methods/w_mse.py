"""W-MSE: views agree after each batch of views has been whitened."""

from collections.abc import Callable

import flax.linen as nn
import jax

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import projection, two_view_method


def w_mse(
  net: nn.Module, views: Callable, *, sub_batch: int = 128, epsilon: float = 0.0
) -> Method:
  """W-MSE (Ermolov et al., arXiv 2007.06346, section 3).

  The batch is whitened in parts of `sub_batch` rows, as in the official code (which
  also shuffles the rows; the sampler has shuffled them here).

  Args:
    net: encoder and projector (no norm at its end).
    views: (key, example) -> two inputs.
    sub_batch: rows whitened together; at least twice the width of the projection.
    epsilon: share of the identity mixed into the covariance; 0 in the paper.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    rows = z_a.shape[0]
    if rows % sub_batch:
      raise InputError(
        f"W-MSE whitens parts of {sub_batch} rows, which do not divide the batch of "
        f"{rows}; pass a sub_batch that does."
      )
    cut = lambda z: z.reshape(-1, sub_batch, z.shape[1])
    whiten = lambda a, b: losses.w_mse(a, b, epsilon=epsilon)
    return jax.vmap(whiten)(cut(z_a), cut(z_b)).mean()

  return two_view_method(net, views, outputs=projection, loss=loss)
