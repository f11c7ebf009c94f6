"""GraphMAE: predict the features of hidden nodes from the rest of the graph."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, PatchErrors, mean_over_patches
from jaxssl.models.gnn import HiddenNodes
from jaxssl.models.siamese import apply, draw_views, encode_alone, init
from jaxssl.ops.graphs import node_ranks, share_of


def graphmae(
  net: nn.Module,
  views: Callable,
  *,
  ratio: float = 0.5,
  replaced: float = 0.05,
  gamma: float = 3.0,
) -> Method:
  """GraphMAE (Hou et al., arXiv 2205.10803, section 3).

  The loss is the mean over all hidden nodes of the batch, those that got the features
  of another node included.

  Args:
    net: `models.GraphMAE`.
    views: (key, graph) -> graphs, of which the first is used; the paper's is the graph
      as it is.
    ratio: share of the nodes whose features are hidden.
    replaced: share of these that get the features of another node; the others get a
      learned token.
    gamma: power of the scaled cosine error; 3 for Cora, 1 for Citeseer in the paper.

  Returns:
    The method; its features are the encoder's, of the whole graph.

  Raises:
    InputError: if `ratio` is not between 0 and 1, or `replaced` not from 0 to 1.
  """
  if not 0.0 < ratio < 1.0 or not 0.0 <= replaced <= 1.0:
    raise InputError(
      f"ratio {ratio} and replaced {replaced}; pass the share of nodes to hide, above "
      "0 and below 1, and the share of these to replace, from 0 to 1."
    )

  def ask(batch, keys):
    graphs, keys = draw_views(views, keys, batch["input"])
    split = jax.vmap(jax.random.split)(keys)
    hide = lambda key, x: hide_nodes(key, x, ratio=ratio, replaced=replaced)
    return graphs[0], jax.vmap(hide)(split[:, 0], graphs[0]), split[:, 1]

  def start(key, batch):
    keys = jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
    shapes = jax.eval_shape(lambda: ask(batch, keys)[1])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    params, stats = init(net, key, zeros)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    graph, asked, net_keys = ask(batch, keys)
    prediction, stats = apply(net, params, extra.stats, asked, net_keys)
    each = losses.scaled_cosine_error(prediction, graph.nodes, gamma=gamma)
    error = jnp.sum(jnp.where(asked.hidden, each, 0.0), axis=1)
    count = jnp.sum(asked.hidden, axis=1, dtype=jnp.float32)
    return PatchErrors(error, count), Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    loss = mean_over_patches(*outputs)
    return loss, (extra, {"hidden_nodes": outputs.count.mean()})

  return Method(start, forward, objective, encode_alone(net.encoder))


def hide_nodes(key: jax.Array, graph, *, ratio: float, replaced: float) -> HiddenNodes:
  """Hides the features of a share of the nodes, whole numbers of them.

  Args:
    key: a PRNG key.
    graph: `ops.Graph`.
    ratio: share of the nodes to hide.
    replaced: share of the hidden nodes that get another node's features.

  Returns:
    A `HiddenNodes`.
  """
  key_hidden, key_given = jax.random.split(key)
  ranks = node_ranks(key_hidden, graph.node_mask)
  hidden = (ranks < share_of(graph.node_mask, ratio)) & graph.node_mask
  swapped = (ranks < share_of(hidden, replaced)) & hidden
  order = jnp.argsort(node_ranks(key_given, graph.node_mask))
  given = graph.nodes[order[ranks]]
  nodes = jnp.where(swapped[:, None], given, graph.nodes)
  token = hidden & ~swapped
  nodes = jnp.where(token[:, None], 0.0, nodes)
  return HiddenNodes(graph._replace(nodes=nodes), hidden, token)
