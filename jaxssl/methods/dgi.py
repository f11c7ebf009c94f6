"""DGI: nodes of a graph go with its summary, nodes of a corrupted graph don't."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.augment.graph import shuffle_nodes
from jaxssl.core import Method
from jaxssl.methods.common import Extra
from jaxssl.models.gnn import Corrupted
from jaxssl.models.siamese import apply, draw_views, encode_alone, init


def dgi(
  net: nn.Module, views: Callable, *, corrupt: Callable = shuffle_nodes
) -> Method:
  """Deep graph infomax (Velickovic et al., arXiv 1809.10341, equation 1).

  Nodes are compared with the summary of their own graph: a row has its own loss, the
  mean over its real and corrupted nodes, and the batch has the mean over rows.

  Args:
    net: `models.InfoMax`.
    views: (key, graph) -> graphs, of which the first is used; the paper's is the graph
      as it is.
    corrupt: (key, graph) -> graph; the paper's gives each node the features of another.

  Returns:
    The method; its features are the encoder's.
  """

  def pair(batch, keys):
    graphs, keys = draw_views(views, keys, batch["input"])
    split = jax.vmap(jax.random.split)(keys)
    corrupted = jax.vmap(corrupt)(split[:, 0], graphs[0])
    return Corrupted(graphs[0], corrupted), split[:, 1]

  def start(key, batch):
    keys = jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
    shapes = jax.eval_shape(lambda: pair(batch, keys)[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    params, stats = init(net, key, zeros)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    graphs, net_keys = pair(batch, keys)
    scores, stats = apply(net, params, extra.stats, graphs, net_keys)
    return jax.vmap(losses.dgi)(*scores, graphs.graph.node_mask), Extra(stats)

  def objective(params, extra, rows, step):
    del params, step
    return rows.mean(), (extra, {})

  return Method(start, forward, objective, encode_alone(net.encoder))
