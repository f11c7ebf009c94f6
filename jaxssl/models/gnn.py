"""Nets of graphs: GCN, GIN and GAT on padded lists of edges, and nets around them.

Encoders are called `net(graph, *, train, keys=None)` on an `ops.Graph` with rows first
and give features of graphs, [batch, dim]; `encoder.nodes(...)` gives those of nodes,
[batch, nodes, dim], which are sown as "patches". Nodes that are masked have features 0
and count nowhere.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError, nearest
from jaxssl.models.layers import BatchNorm, LayerNorm, RowDropout, torch_linear_init
from jaxssl.ops.graphs import Graph, propagate, sum_at, symmetric_weights

PyTree = Any
xavier_init = nn.initializers.xavier_uniform()
xavier_relu_init = nn.initializers.variance_scaling(2.0, "fan_avg", "normal")
POOLS = ("mean", "sum")
ACTIVATIONS = {
  "none": lambda: lambda x: x,
  "relu": lambda: nn.relu,
  "prelu": lambda: nn.PReLU(negative_slope_init=0.25),  # torch's default
}


def activation(name: str) -> Callable:
  """Returns "relu", "prelu" (one learned slope, from 0.25) or "none".

  Raises:
    InputError: for another name.
  """
  if name not in ACTIVATIONS:
    raise InputError(
      f"There is no activation '{name}'.{nearest(name, ACTIVATIONS)} There are: "
      f"{', '.join(ACTIVATIONS)}."
    )
  return ACTIVATIONS[name]()


def pool_nodes(nodes: jax.Array, mask: jax.Array, pool: str) -> jax.Array:
  """The features of graphs: mean or sum over their nodes.

  Args:
    nodes: [batch, nodes, dim].
    mask: bool [batch, nodes].
    pool: "mean" or "sum".

  Returns:
    float32 [batch, dim].

  Raises:
    InputError: for another pool.
  """
  if pool not in POOLS:
    raise InputError(f"There is no pool '{pool}'. There are: {', '.join(POOLS)}.")
  total = jnp.sum(jnp.where(mask[..., None], nodes, 0.0), axis=1)
  if pool == "sum":
    return total
  return total / jnp.maximum(jnp.sum(mask, 1, dtype=jnp.float32), 1.0)[:, None]


class NodeEncoder(nn.Module):
  """What graph encoders have in common; each has `nodes`, `widths` and `pool`.

  An InputError refuses widths of no layer, or of one without channels.
  """

  def __post_init__(self):
    """Checks the widths before anything is made of them."""
    if min(self.widths, default=0) < 1:
      raise InputError(
        f"{type(self).__name__} has layers of the widths {tuple(self.widths)}; there "
        "is one at least, and each is 1 or more."
      )
    super().__post_init__()

  def __call__(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to features [batch, dim]; sows those of nodes."""
    nodes = self.nodes(x, train=train, keys=keys)
    self.sow("intermediates", "patches", nodes)
    return pool_nodes(nodes, x.node_mask, self.pool)

  def nodes(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to features of their nodes [batch, nodes, dim]."""
    raise NotImplementedError


class GCN(NodeEncoder):
  """Graph convolutions (Kipf and Welling, arXiv 1609.02907).

  A layer is the activation of D^-1/2 (A + I) D^-1/2 x W + b. x W comes first.

  Attributes:
    widths: of the layers.
    activation: after each layer; see `activation`.
    pool: how nodes become the features of a graph, "mean" or "sum".
  """

  widths: tuple[int, ...] = (512,)
  activation: str = "prelu"
  pool: str = "mean"

  @nn.compact
  def nodes(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to features of their nodes [batch, nodes, dim]."""
    del train, keys
    h, weights = x.nodes, jax.vmap(symmetric_weights)(x)
    for i, width in enumerate(self.widths):
      dense = nn.Dense(width, use_bias=False, kernel_init=xavier_init, name=f"dense{i}")
      h = jax.vmap(_convolve)(dense(h), x.edges, *weights)
      bias = self.param(f"bias{i}", nn.initializers.zeros, (width,))
      h = activation(self.activation)(h + bias[None, None])
    return _where_nodes(h, x)


def _convolve(h, edges, weights, own):
  around = propagate(h[:, None], weights[:, None], edges)[:, 0]
  return around + own[:, None] * h


def _where_nodes(h, x):
  return jnp.where(x.node_mask[..., None], h, 0.0)


class NodeBatchNorm(BatchNorm):
  """Batch norm over the nodes that are there, of all graphs of the batch.

  Attributes:
    mask: bool [batch, nodes], or None for all.
  """

  mask: jax.Array | None = None

  def _moments(self, x):
    if self.mask is None:
      return super()._moments(x)
    x = jnp.where(self.mask[..., None], x, 0.0)
    count = jnp.broadcast_to(jnp.sum(self.mask, dtype=jnp.float32), x.shape[-1:])
    sums = jnp.stack([jnp.sum(x, (0, 1)), jnp.sum(x**2, (0, 1)), count])
    if self.axis_name is not None and not self.is_initializing():
      sums = jax.lax.psum(sums, self.axis_name)
    first, second = sums[:2] / jnp.maximum(sums[2:], 1.0)
    return first, jnp.maximum(second - first**2, 0.0)


class GIN(NodeEncoder):
  """Graph isomorphism network (Xu et al., arXiv 1810.00826), as GraphCL has it.

  A layer is a two-layer MLP of a node's features plus the sum of its neighbours', then
  ReLU and norm. The nodes' features are those of all layers together.

  Attributes:
    widths: of the layers.
    norm: "batch" (over the nodes that are there) or "layer".
    pool: how nodes become the features of a graph, "mean" or "sum".
    axis_name: the pmap axis for batch norm; None outside pmap.
  """

  widths: tuple[int, ...] = (32, 32, 32)
  norm: str = "batch"
  pool: str = "sum"
  axis_name: str | None = None

  @nn.compact
  def nodes(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to features of their nodes [batch, nodes, sum]."""
    del keys
    h, found = x.nodes, []
    for i, width in enumerate(self.widths):
      h = jax.vmap(_with_neighbours)(h, x.edges, x.edge_mask)
      for part in ("first", "second"):
        name = f"{part}{i}"
        h = nn.relu(nn.Dense(width, kernel_init=xavier_init, name=name)(h))
      h = _where_nodes(self._norm(i, x.node_mask)(h, train=train), x)
      found.append(h)
    return jnp.concatenate(found, axis=-1)

  def _norm(self, i, mask):
    if self.norm == "layer":
      return LayerNorm(name=f"norm{i}")
    if self.norm != "batch":
      raise InputError(f"There is no norm '{self.norm}'. There are: batch, layer.")
    return NodeBatchNorm(mask=mask, axis_name=self.axis_name, name=f"norm{i}")


def _with_neighbours(h, edges, mask):
  weights = mask.astype(h.dtype)[:, None]
  return h + propagate(h[:, None], weights, edges)[:, 0]


class GAT(NodeEncoder):
  """Graph attention (Velickovic et al., arXiv 1710.10903); heads are concatenated.

  Every node attends to itself too. Dropout draws from the keys of the rows.

  Attributes:
    widths: of the layers, all heads together.
    heads: of each layer; divides the widths.
    activation: after each layer; see `activation`.
    feature_dropout: of a layer's input.
    attention_dropout: of the attention.
    pool: how nodes become the features of a graph, "mean" or "sum".
  """

  widths: tuple[int, ...] = (512, 512)
  heads: int = 4
  activation: str = "prelu"
  feature_dropout: float = 0.0
  attention_dropout: float = 0.0
  pool: str = "mean"

  @nn.compact
  def nodes(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to features of their nodes [batch, nodes, dim]."""
    h = x.nodes
    for i, width in enumerate(self.widths):
      drop = RowDropout(self.feature_dropout, name=f"drop{i}")
      layer = GATLayer(width, self.heads, self.attention_dropout, name=f"layer{i}")
      h = layer(drop(h, train=train, keys=keys), x, train=train, keys=keys)
      h = activation(self.activation)(h)
    return _where_nodes(h, x)


class GATLayer(nn.Module):
  """A layer of `GAT`, without what goes before and comes after it.

  What attention sums is x W, or x where that is narrower than W of a head: sum and
  product change places. Weights start as in DGL's layer: Xavier-normal with the gain of
  a ReLU, the attention's vectors as one tensor [1, heads, width / heads].

  Attributes:
    width: of the output, all heads together.
    heads: of the attention; divides `width`.
    dropout: of the attention.
  """

  width: int
  heads: int
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self, h: jax.Array, x: Graph, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps node features [batch, nodes, in] to [batch, nodes, width]."""
    if self.heads < 1 or self.width % self.heads:
      raise InputError(f"{self.width} features do not split into {self.heads} heads.")
    kernel, bias, vectors = self._weights(h.shape[-1])
    weights, own = jax.vmap(_attention)(_scores(h, kernel, vectors), x)
    if self.dropout:
      drop = RowDropout(self.dropout, name="drop")
      both = drop(jnp.concatenate([weights, own], axis=1), train=train, keys=keys)
      weights, own = jnp.split(both, [weights.shape[1]], axis=1)
    attend = jax.vmap(_attend)
    if h.shape[-1] <= kernel.shape[-1]:
      wide = jnp.broadcast_to(h[:, :, None], (*h.shape[:2], self.heads, h.shape[-1]))
      out = jnp.einsum("bnhi,iho->bnho", attend(wide, weights, own, x.edges), kernel)
    else:
      out = attend(_heads(h, kernel), weights, own, x.edges)
    return out.reshape(*h.shape[:2], self.width) + bias[None, None]

  def _weights(self, inputs):
    each = self.width // self.heads
    flat = self.param("kernel", xavier_relu_init, (inputs, self.width))
    bias = self.param("bias", nn.initializers.zeros, (self.width,))
    names = ("sender", "receiver")
    spread = 2.0 / (each * (self.heads + 1)) ** 0.5  # Xavier's of [1, heads, each]
    init = nn.initializers.normal(spread)
    vectors = [self.param(n, init, (self.heads, each)) for n in names]
    return flat.reshape(inputs, self.heads, each), bias, jnp.stack(vectors)


def _heads(h, kernel):
  inputs, heads, each = kernel.shape
  return (h @ kernel.reshape(inputs, -1)).reshape(*h.shape[:2], heads, each)


def _scores(h, kernel, vectors):
  """What each node says as sender and as receiver, [batch, nodes, 2, heads]."""
  into = jnp.einsum("iho,kho->ikh", kernel, vectors)
  flat = h @ into.reshape(into.shape[0], -1)
  return flat.reshape(*h.shape[:2], *into.shape[1:])


def _attention(scores, graph):
  """Softmax over a node's edges and its loop: [edges, heads] and [nodes, heads]."""
  (sender, receiver), nodes = graph.edges.T, scores.shape[0]
  sent, received = scores[:, 0], scores[:, 1]
  mask = graph.edge_mask[:, None]
  logits = nn.leaky_relu(sent[sender] + received[receiver], 0.2)
  loops = nn.leaky_relu(sent + received, 0.2)
  lowest = jnp.where(mask, logits, -jnp.inf)
  peak = jax.ops.segment_max(lowest, receiver, nodes, indices_are_sorted=True)
  peak = jax.lax.stop_gradient(jnp.maximum(peak, loops))
  # Padding may lie above the peak, whose exponential would be infinite.
  apart = jnp.where(mask, logits - peak[receiver], 0.0)
  edges = jnp.where(mask, jnp.exp(apart), 0.0)
  own = jnp.exp(loops - peak)
  total = sum_at(edges, receiver, nodes) + own
  return edges / total[receiver], own / total


def _attend(values, weights, own, edges):
  return propagate(values, weights, edges) + own[..., None] * values


class NodeProjector(nn.Module):
  """A graph encoder and a head on each node: the net of GRACE.

  Attributes:
    encoder: graphs -> features; `encoder.nodes` are projected.
    projector: features of nodes -> projections.
  """

  encoder: nn.Module
  projector: nn.Module

  @nn.compact
  def __call__(self, x: Graph, *, train: bool, keys: jax.Array | None = None):
    """Maps graphs, rows first, to projections of their nodes [batch, nodes, dim]."""
    nodes = self.encoder.nodes(x, train=train, keys=keys)
    return self.projector(nodes, train=train, keys=keys)


class Corrupted(NamedTuple):
  """A graph and a corrupted form of it.

  Attributes:
    graph: as it is.
    corrupted: with features that belong to other nodes.
  """

  graph: Graph
  corrupted: Graph


class InfoMax(nn.Module):
  """DGI's net: how well does each node go with the summary of its graph?

  Velickovic et al., arXiv 1809.10341: the summary s is the sigmoid of the mean of the
  nodes, the score of a node h is h W s + b.

  Attributes:
    encoder: graphs -> features; `encoder.nodes` are scored.
  """

  encoder: nn.Module

  @nn.compact
  def __call__(self, x: Corrupted, *, train: bool, keys: jax.Array | None = None):
    """Maps a `Corrupted` to the scores of both its nodes, 2 times [batch, nodes]."""
    both = [self.encoder.nodes(graph, train=train, keys=keys) for graph in x]
    summary = nn.sigmoid(pool_nodes(both[0], x.graph.node_mask, "mean"))
    dim = summary.shape[-1]
    weights = self.param("bilinear", xavier_init, (dim, dim))
    bias = self.param("bias", nn.initializers.zeros, ())
    asked = (summary @ weights.T)[..., None]
    return tuple((h @ asked)[..., 0] + bias for h in both)


class HiddenNodes(NamedTuple):
  """A graph of which some nodes' features are hidden.

  Attributes:
    graph: with the features that the net may see.
    hidden: bool [nodes], True where the features are to be predicted.
    token: bool [nodes], True where a learned token takes their place.
  """

  graph: Graph
  hidden: jax.Array
  token: jax.Array


class GraphMAE(nn.Module):
  """GraphMAE's net: hide features, encode, hide the codes again, decode.

  Hou et al., arXiv 2205.10803, section 3.

  Attributes:
    encoder: graphs -> features; `encoder.nodes` are the codes.
    decoder: an encoder of graphs again, its last width that of the features, such as
      `GAT((features,), heads=1, activation="none")`.
    remask: whether the decoder sees 0 for the codes of hidden nodes.
  """

  encoder: nn.Module
  decoder: nn.Module
  remask: bool = True

  @nn.compact
  def __call__(self, x: HiddenNodes, *, train: bool, keys: jax.Array | None = None):
    """Maps a `HiddenNodes` to predicted features [batch, nodes, features]."""
    graph = x.graph
    token = self.param("token", nn.initializers.zeros, graph.nodes.shape[-1:])
    nodes = jnp.where(x.token[..., None], token[None, None], graph.nodes)
    seen = graph._replace(nodes=nodes)
    codes = self.encoder.nodes(seen, train=train, keys=keys)
    init = {"kernel_init": torch_linear_init, "name": "between"}
    between = nn.Dense(codes.shape[-1], use_bias=False, **init)
    codes = between(codes)
    if self.remask:
      codes = jnp.where(x.hidden[..., None], 0.0, codes)
    return self.decoder.nodes(graph._replace(nodes=codes), train=train, keys=keys)
