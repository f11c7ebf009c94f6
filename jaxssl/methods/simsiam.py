"""SimSiam: predict the other view's projection, whose gradient is stopped."""

from collections.abc import Callable

import flax.linen as nn
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import two_view_method


def simsiam(net: nn.Module, views: Callable) -> Method:
  """SimSiam (Chen and He, arXiv 2011.10566, equation 3).

  The official recipe keeps the learning rate of the predictor constant
  (`optim.by_part` does that) and ends the projector with a batch norm without
  scale and offset; without either the features collapse easily.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(first, second):
    (z_a, p_a), (z_b, p_b) = first, second
    forth = losses.negative_cosine(p_a, stop_gradient(z_b))
    back = losses.negative_cosine(p_b, stop_gradient(z_a))
    return (forth.mean() + back.mean()) / 2

  return two_view_method(
    net, views, outputs=lambda e: (e.projection, e.prediction), loss=loss
  )
