"""GraphCL: a graph finds its augmented form among those of all other graphs."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method


def graphcl(net: nn.Module, views: Callable, *, temperature: float = 0.2) -> Method:
  """GraphCL (You et al., arXiv 2010.13902, equation 3).

  As in the official code for sets of small graphs, the first view is the graph as it
  is, and there is one direction.

  Args:
    net: encoder of graphs and projector; returns an `Embedding`.
    views: (key, graph) -> two graphs, such as
      `augment.two_views(augment.as_it_is, augment.graphcl_view())`.
    temperature: of the softmax.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z, z_augmented):
    return losses.graphcl(z, z_augmented, temperature=temperature).mean()

  return two_view_method(net, views, outputs=projection, loss=loss)
