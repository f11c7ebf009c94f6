"""GRACE: a node of one view of a graph finds itself in the other."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import apply_views, draw_views, encode_alone, init_on_views


def grace(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 0.4,
  block_size: int | None = None,
) -> Method:
  """GRACE (Zhu et al., arXiv 2006.04131, equation 1).

  Nodes meet within their graph alone: a row has its own loss, the mean over nodes that
  are in both views, and the batch has the mean over rows.

  Args:
    net: `models.NodeProjector`.
    views: (key, graph) -> two graphs, such as two of `augment.grace_view`.
    temperature: of the softmax; 0.4 for Cora, 0.9 for Citeseer in the official code.
    block_size: nodes whose similarities are held at a time; None holds all.

  Returns:
    The method; its features are the encoder's, before the projector.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    graphs, net_keys = draw_views(views, keys, batch["input"])
    z, stats = apply_views(net, params, extra.stats, graphs, net_keys)
    mask = graphs[0].node_mask & graphs[1].node_mask
    return jax.vmap(loss)(*z, mask), Extra(stats)

  def loss(z_a, z_b, mask):
    options = {"temperature": temperature, "block_size": block_size}
    each = losses.grace(z_a, z_b, mask, **options)
    return each.sum() / jnp.maximum(2.0 * jnp.sum(mask, dtype=jnp.float32), 1.0)

  def objective(params, extra, rows, step):
    del params, step
    return rows.mean(), (extra, {})

  return Method(init, forward, objective, encode_alone(net.encoder))
