"""Augmentations of one graph: edges, nodes and features that are left out.

Each is `(key, graph, *, option) -> graph` and keeps the shapes: what is left out is
masked. `functools.partial` sets the options.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.graphs import (
  Graph,
  node_ranks,
  random_walk,
  share_of,
  without_nodes,
)


def drop_edges(key: jax.Array, graph: Graph, *, rate: float) -> Graph:
  """Leaves out each edge with probability `rate`; the two directions of one alone."""
  _check_rate(rate)
  kept = jax.random.bernoulli(key, 1 - rate, graph.edge_mask.shape)
  return graph._replace(edge_mask=graph.edge_mask & kept)


def mask_features(key: jax.Array, graph: Graph, *, rate: float) -> Graph:
  """Sets each feature to 0 with probability `rate`, the same ones for all nodes."""
  _check_rate(rate)
  kept = jax.random.bernoulli(key, 1 - rate, graph.nodes.shape[-1:])
  return graph._replace(nodes=jnp.where(kept[None], graph.nodes, 0.0))


def mask_nodes(key: jax.Array, graph: Graph, *, rate: float) -> Graph:
  """Leaves out a share of the nodes, and their edges; at least one node stays."""
  _check_rate(rate)
  dropped = share_of(graph.node_mask, rate)
  return without_nodes(graph, node_ranks(key, graph.node_mask) >= dropped)


def noise_features(key: jax.Array, graph: Graph, *, rate: float) -> Graph:
  """Replaces all features of a share of the nodes by a normal of mean and sigma 0.5."""
  _check_rate(rate)
  key_nodes, key_noise = jax.random.split(key)
  ranks = node_ranks(key_nodes, graph.node_mask)
  changed = (ranks < share_of(graph.node_mask, rate)) & graph.node_mask
  noise = 0.5 + 0.5 * jax.random.normal(key_noise, graph.nodes.shape)
  return graph._replace(nodes=jnp.where(changed[:, None], noise, graph.nodes))


def subgraph(key: jax.Array, graph: Graph, *, share: float) -> Graph:
  """Keeps what a walk from a random node visits, a share of the nodes.

  Each step enters a neighbour of any node visited so far (`ops.random_walk`). The
  released code of GraphCL never adds the neighbours of new nodes. Where the node's
  component is smaller, less is kept.
  """
  _check_rate(share)
  size = jnp.maximum(share_of(graph.node_mask, share), 1)
  most = max(int(share * graph.node_mask.shape[0] + 1e-4), 1)
  return without_nodes(graph, random_walk(key, graph, size=size, most=most))


def shuffle_nodes(key: jax.Array, graph: Graph) -> Graph:
  """Gives every node the features of another, at random; the edges stay (DGI)."""
  there = jnp.argsort(~graph.node_mask, stable=True)
  given = jnp.argsort(node_ranks(key, graph.node_mask))
  nodes = jnp.zeros_like(graph.nodes).at[there].set(graph.nodes[given])
  return graph._replace(nodes=nodes)


def grace_view(*, edges: float, features: float) -> Callable:
  """A view of GRACE (arXiv 2006.04131): edges and features are left out.

  Args:
    edges: probability that an edge is left out.
    features: probability that a feature is 0 for all nodes.

  Returns:
    (key, graph) -> graph.
  """
  _check_rate(edges)
  _check_rate(features)

  def view(key, graph):
    key_edges, key_features = jax.random.split(key)
    graph = drop_edges(key_edges, graph, rate=edges)
    return mask_features(key_features, graph, rate=features)

  return view


def graphcl_view(*, rate: float = 0.1, share: float = 0.2) -> Callable:
  """The augmented view of GraphCL (arXiv 2010.13902): one of four, at random.

  Args:
    rate: share of nodes or edges left out, or of nodes whose features are noise.
    share: of the nodes that a subgraph keeps.

  Returns:
    (key, graph) -> graph.
  """
  options = (
    partial(mask_nodes, rate=rate),
    partial(drop_edges, rate=rate),
    partial(noise_features, rate=rate),
    partial(subgraph, share=share),
  )

  def view(key, graph):
    key_which, key = jax.random.split(key)
    which = jax.random.randint(key_which, (), 0, len(options))
    return jax.lax.switch(which, options, key, graph)

  return view


def _check_rate(rate):
  if not 0 <= rate < 1:
    raise InputError(f"The share {rate} is not from 0 to below 1.")
