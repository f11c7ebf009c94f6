"""Barlow Twins: the views' cross-correlation matrix becomes the identity."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method


def barlow_twins(
  net: nn.Module, views: Callable, *, off_diagonal_weight: float = 0.0051
) -> Method:
  """Barlow Twins (Zbontar et al., arXiv 2103.03230, equation 1).

  The gradient is that of the global batch. The official code's is smaller by the
  number of its devices, because its all-reduce is not differentiated; the separate
  learning rate of biases and norms there (0.0048) was tuned with that factor.

  Args:
    net: encoder and projector (batch norm inside, none at the end).
    views: (key, example) -> two inputs.
    off_diagonal_weight: of the redundancy term; about 1 / dim of the projection.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    return losses.barlow_twins(z_a, z_b, off_diagonal_weight=off_diagonal_weight)

  return two_view_method(net, views, outputs=projection, loss=loss)
