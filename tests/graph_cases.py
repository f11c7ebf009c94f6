"""Toy forms of the methods on graphs: many small ones, of different sizes."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import augment, methods, models
from jaxssl.augment import graph as graph_augment
from jaxssl.ops.graphs import Graph

NODES, FEATURES, EDGES, DIM = 8, 6, 24, 12


def toy_graph(rng, nodes):
  """A ring with some chords, each edge in both directions, padded."""
  ring = {(i, (i + 1) % nodes) for i in range(nodes)}
  chords = {(a, b) for a, b in rng.integers(0, nodes, (3, 2)).tolist() if a != b}
  both = ring | chords | {(b, a) for a, b in ring | chords}
  real = sorted(both, key=lambda e: (e[1], e[0]))
  edges = np.full((EDGES, 2), NODES - 1, np.int32)
  edges[: len(real)] = real
  mask = np.arange(NODES) < nodes
  features = rng.normal(size=(NODES, FEATURES)) + rng.normal(size=(1, FEATURES))
  return Graph(
    np.where(mask[:, None], features, 0).astype(np.float32),
    edges,
    np.arange(EDGES) < len(real),
    mask,
  )


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """A batch of graphs of 5 to 8 nodes."""
  rng = np.random.default_rng(seed)
  graphs = [toy_graph(rng, 5 + i % 4) for i in range(rows)]
  index = jnp.arange(rows, dtype=jnp.int32)
  inputs = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *graphs)
  return {"input": inputs, "index": index, "label": index % 4}


class Head(nn.Module):
  """Dense, tanh, dense."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return nn.Dense(DIM)(jnp.tanh(nn.Dense(32)(x)))


def gin(norm: str, axis_name: str | None) -> models.GIN:
  """An encoder of 32 features with masked batch norm."""
  return models.GIN(widths=(16, 16), pool="mean", norm=norm, axis_name=axis_name)


same = augment.many_views(augment.as_it_is)


def make_grace(norm: str = "batch", axis_name: str | None = None):
  """GRACE by a GIN."""
  view = graph_augment.grace_view(edges=0.2, features=0.2)
  net = models.NodeProjector(gin(norm, axis_name), Head())
  return methods.grace(net, augment.two_views(view), temperature=0.4)


def make_graphcl(norm: str = "batch", axis_name: str | None = None):
  """GraphCL by a GIN; one of its four augmentations a graph."""
  view = graph_augment.graphcl_view(rate=0.2, share=0.6)
  net = models.Siamese(gin(norm, axis_name), Head())
  views = augment.two_views(augment.as_it_is, view)
  return methods.graphcl(net, views, temperature=0.5)


def make_dgi(norm: str = "batch", axis_name: str | None = None):
  """DGI by a GCN, which has no norm."""
  del norm, axis_name
  return methods.dgi(models.InfoMax(models.GCN((32,))), same)


def make_graphmae(norm: str = "batch", axis_name: str | None = None):
  """GraphMAE by a GAT, which has no norm."""
  del norm, axis_name
  drops = {"feature_dropout": 0.1, "attention_dropout": 0.1}
  encoder = models.GAT((32, 32), heads=4, **drops)
  decoder = models.GAT((FEATURES,), heads=1, activation="none", **drops)
  net = models.GraphMAE(encoder, decoder)
  return methods.graphmae(net, same, ratio=0.5, replaced=0.3, gamma=2.0)


def _nothing(state):
  del state
  return ()


ROWS = tuple(
  (name, make, _nothing, batch)
  for name, make in (
    ("grace", make_grace),
    ("graphcl", make_graphcl),
    ("dgi", make_dgi),
    ("graphmae", make_graphmae),
  )
)
