"""Graphs: one large one whose nodes have labels, or many small ones.

An example is an `ops.Graph`, padded. One graph is one row, trained on whole and scored
by its nodes; of many graphs each is a row. What files may hold is in `graph_files`.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.graph_files import Listed, read_graphs
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind, Sketch
from jaxssl.data.sources import ArraySource, DataSet, Left, Parts, digits
from jaxssl.errors import InputError
from jaxssl.ops.graphs import Graph, neighbour_mean

DIGITS_GRAPH, DIGIT_GRAPHS = "digits_graph", "digit_graphs"
NEIGHBOURS = 5  # of each image in the graph of the digits
LABELLED, HELD_OUT = 20, 1000  # nodes a class to train on, and nodes to test, as Cora's
MOST_DRAWN = 200  # nodes of a picture
SPRINGS = 60  # rounds of its layout


def open_graphs(spec: str, *, normalize: bool = False) -> DataSet:
  """Opens graphs by what a user would type.

  Args:
    spec: "digits_graph", one graph that joins similar images of digits; "digit_graphs",
      many whose nodes are the pixels of a digit; an .npz; or a folder (see
      `graph_files.read_graphs`).
    normalize: whether the features of each node are divided by their sum, as the papers
      on Cora and Citeseer do.

  Returns:
    The data set. Of one graph `train` is one row, and `probe` has its labelled nodes;
    all of its nodes, without labels, where there are fewer than two classes, or no
    class has two nodes. Of many of which some have no label `probe` has the others.

  Raises:
    InputError: if there is no such data, or it is no graph.
  """
  if is_kept(spec):
    kept = read_kept(spec)
    like = partial(_open_like, kept.leaves[0][0][-1], normalize)
    return kept.data_set(graph_kind(), Graph, like)
  embedded = {DIGITS_GRAPH: _digits_graph, DIGIT_GRAPHS: _digit_graphs}
  listed = embedded[spec]() if spec in embedded else read_graphs(spec)
  if normalize:
    listed = listed._replace(graphs=[*map(_row_normalized, listed.graphs)])
  return data_set(spec, listed, normalize=normalize)


def data_set(name: str, listed: Listed, *, normalize: bool = False) -> DataSet:
  """Returns the data set of graphs that were read: of one, or of many.

  Args:
    name: of the data set.
    listed: the graphs, their labels and splits.
    normalize: as in `open_graphs`, for what `like` opens.
  """
  inputs = pad_graphs(listed.graphs)
  like = partial(_open_like, listed.graphs[0].nodes.shape[1], normalize)
  made = _one_graph if listed.of_nodes else _many_graphs
  return made(name, inputs, listed)._replace(like=like)


def pad_graphs(graphs: Sequence[Graph]) -> Graph:
  """Stacks graphs of any size, padded to the largest: leaves [graphs, ...].

  Args:
    graphs: their `edges` hold each undirected edge once or twice, in any order; loops
      and repetitions are left out.

  Raises:
    InputError: if they have different numbers of features.
  """
  widths = {g.nodes.shape[1] for g in graphs}
  if len(widths) > 1:
    raise InputError(f"Graphs with {sorted(widths)} features a node: they need one.")
  nodes = max(len(g.nodes) for g in graphs)
  both = [both_directions(g.edges) for g in graphs]
  edges = max(1, *map(len, both))
  padded = [_pad(g.nodes, e, nodes, edges) for g, e in zip(graphs, both, strict=True)]
  return jax.tree.map(lambda *x: np.stack(x), *padded)


def both_directions(edges: np.ndarray) -> np.ndarray:
  """Each edge of an undirected graph in both directions, once, by receiver.

  Args:
    edges: int [edges, 2].

  Returns:
    (sender, receiver), int32 [at most 2 * edges, 2]; without loops.
  """
  edges = np.asarray(edges, np.int32).reshape(-1, 2)
  edges = edges[edges[:, 0] != edges[:, 1]]
  both = np.unique(np.concatenate([edges, edges[:, ::-1]])[:, ::-1], axis=0)
  return np.ascontiguousarray(both[:, ::-1])


def _pad(features, both, nodes, edges):
  room = nodes - len(features)
  padding = np.full((edges - len(both), 2), nodes - 1, np.int32)
  return Graph(
    np.pad(np.asarray(features, np.float32), [(0, room), (0, 0)]),
    np.concatenate([both, padding]).astype(np.int32),
    np.arange(edges) < len(both),
    np.arange(nodes) < len(features),
  )


def _row_normalized(graph):
  total = np.abs(graph.nodes).sum(1, keepdims=True)
  return graph._replace(nodes=graph.nodes / np.maximum(total, 1e-12))


def _one_graph(name, inputs, listed):
  whole, labels = ArraySource({"input": inputs}), listed.labels
  kind = graph_kind(labels)
  if labels is None or len({*labels.tolist()} - {-1}) < 2:
    return _unlabelled(name, whole, kind)
  labels = labels.astype(np.int32)
  train, test = listed.split or public_split(labels)
  if not len(train):
    whole = ArraySource(whole.data, skipped=(_too_few(labels),))
    return _unlabelled(name, whole, kind)
  parts = [_nodes(whole, rows, labels) for rows in (train, test)]
  classes = _classes(listed)
  probe = DataSet(f"nodes of {name}", *parts, classes, kind)
  return DataSet(name, whole, None, classes, kind, probe=probe)


def _unlabelled(name, whole, kind):
  every = np.arange(whole.data["input"].nodes.shape[1], dtype=np.int32)
  nodes = Parts(whole, np.zeros_like(every), every, None)
  probe = DataSet(f"nodes of {name}", nodes, None, (), kind)
  return DataSet(name, whole, None, (), kind, probe=probe)


def _too_few(labels):
  """A line on labels that leave nothing to train on, or nothing to test."""
  line = "too few to learn from some and to test others"
  return Left(line, what="label", count=int((labels >= 0).sum()))


def _classes(listed):
  """Names of the classes, their numbers where none are given."""
  if listed.labels is None or listed.classes:
    return listed.classes
  return tuple(map(str, range(listed.labels.max() + 1)))


def _nodes(whole, rows, labels):
  rows = rows[labels[rows] >= 0].astype(np.int32)
  return Parts(whole, np.zeros_like(rows), rows, labels[rows])


def _many_graphs(name, inputs, listed):
  rows = np.random.default_rng(0).permutation(len(listed.graphs))
  held = len(rows) // 5
  train, test = listed.split or (np.sort(rows[held:]), np.sort(rows[:held]))
  labels, kind = listed.labels, graph_kind()
  if labels is None or (labels >= 0).all():
    splits = [_some(inputs, labels, rows) for rows in (train, test)]
    return DataSet(name, *splits, _classes(listed), kind)
  splits = [_some(inputs, None, rows) for rows in (train, test)]
  known = [rows[labels[rows] >= 0] for rows in (train, test)]
  if not all(map(len, known)):
    skipped = (_too_few(labels),) if (labels >= 0).any() else ()
    splits[0] = ArraySource(splits[0].data, skipped)
    return DataSet(name, *splits, (), kind)
  scored = [_some(inputs, labels, rows) for rows in known]
  probe = DataSet(f"labelled graphs of {name}", *scored, _classes(listed), kind)
  return DataSet(name, *splits, _classes(listed), kind, probe=probe)


def _some(inputs, labels, rows):
  if not len(rows):
    return None
  data = {"input": jax.tree.map(lambda x: x[rows], inputs)}
  if labels is not None:
    data["label"] = labels[rows].astype(np.int32)
  return ArraySource(data)


def public_split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """A split like Planetoid's: 20 nodes a class to train on, 1,000 others to test.

  Args:
    labels: int [nodes]; -1 for nodes without label.

  Returns:
    Train and test nodes; at most half of a class is for training. Always the same.
  """
  order = np.random.default_rng(0).permutation(len(labels))
  order = order[labels[order] >= 0]
  first = [order[labels[order] == c] for c in np.unique(labels[order])]
  train = np.concatenate([rows[: min(LABELLED, len(rows) // 2)] for rows in first])
  test = order[~np.isin(order, train)][:HELD_OUT]
  return np.sort(train), np.sort(test)


def _open_like(features, normalize, spec):
  opened = open_graphs(spec, normalize=normalize)
  found = opened.train.data["input"].nodes.shape[-1]
  if found != features:
    raise InputError(
      f"The nodes of {spec} have {found} features; this run's encoder was trained on "
      f"nodes of {features}."
    )
  return opened


# The embedded graphs.


def _digits_graph():
  """scikit-learn's digits; an edge joins an image to each of its 5 nearest."""
  whole = [source.data for source in digits()[1:3]]
  pixels = np.concatenate([d["input"] for d in whole]).reshape(-1, 64) / np.float32(255)
  labels = np.concatenate([d["label"] for d in whole])
  square = np.sum(pixels**2, axis=1)
  apart = square[:, None] + square[None] - 2 * pixels @ pixels.T
  np.fill_diagonal(apart, np.inf)
  near = np.argpartition(apart, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
  edges = np.stack([np.repeat(np.arange(len(near)), NEIGHBOURS), near.ravel()], axis=1)
  graph = Graph(pixels, edges, None, None)
  return Listed([graph], labels, None, tuple("0123456789"), True)


def _digit_graphs():
  """A graph of each of scikit-learn's digits: its inked pixels, joined to neighbours.

  A node's features are the ink, and its row and column, one-hot.
  """
  train, test = (source.data for source in digits()[1:3])
  images = np.concatenate([train["input"], test["input"]])[..., 0]
  labels = np.concatenate([train["label"], test["label"]])
  count = len(train["label"])
  split = np.arange(count), np.arange(count, len(labels))
  graphs = [_pixel_graph(image / np.float32(255)) for image in images]
  return Listed(graphs, labels, split, tuple("0123456789"), False)


def _pixel_graph(image):
  places = np.argwhere(image > 0.25)
  place = np.eye(8, dtype=np.float32)[places].reshape(len(places), -1)
  nodes = np.concatenate([image[tuple(places.T)][:, None], place], axis=1)
  steps = np.abs(places[:, None] - places[None]).max(-1)
  return Graph(nodes, np.argwhere(steps == 1), None, None)


# What graphs are.


def check_graphs(inputs: Graph, *, name: str = "input") -> None:
  """Checks a batch of graphs before anything is computed from it.

  Args:
    inputs: a `Graph`, leaves [batch, ...].
    name: what the message calls it.

  Raises:
    InputError: for something else, other shapes, no nodes, features that are not
      finite, edges to missing nodes or out of order.
  """
  if not isinstance(inputs, Graph):
    raise InputError(
      f"{name} is {type(inputs).__name__}; pass an ops.Graph, rows first."
    )
  nodes, edges, edge_mask, node_mask = map(np.asarray, inputs)
  _check_shapes(name, nodes, edges, edge_mask, node_mask)
  if not node_mask.any(axis=1).all():
    raise InputError(f"{name} has a graph without any node.")
  if not np.isfinite(nodes).all():
    raise InputError(f"{name} has features that are NaN or infinite.")
  if edges.min(initial=0) < 0 or edges.max(initial=0) >= nodes.shape[1]:
    raise InputError(f"{name} has edges to missing nodes: there are {nodes.shape[1]}.")
  if (np.diff(edges[..., 1], axis=1) < 0).any():
    raise InputError(f"{name} has edges that are not in the order of their receivers.")
  there = np.take_along_axis(node_mask, edges.reshape(len(edges), -1), axis=1)
  if (edge_mask & ~there.reshape(edges.shape).all(-1)).any():
    raise InputError(f"{name} has edges to nodes that its node_mask leaves out.")


def _check_shapes(name, nodes, edges, edge_mask, node_mask):
  fits = nodes.ndim == 3 and edges.ndim == 3 and edges.shape[-1] == 2
  fits = fits and (node_mask.shape, edge_mask.shape) == (
    nodes.shape[:2],
    edges.shape[:2],
  )
  if not fits:
    shapes = ", ".join(str(x.shape) for x in (nodes, edges, edge_mask, node_mask))
    raise InputError(
      f"{name} has the shapes {shapes}; graphs are nodes [batch, nodes, features], "
      "edges [batch, edges, 2], edge_mask [batch, edges] and node_mask [batch, nodes]."
    )
  kinds = nodes.dtype.kind, edges.dtype.kind, edge_mask.dtype.kind, node_mask.dtype.kind
  if kinds != ("f", "i", "b", "b"):
    raise InputError(f"{name}: nodes are float, edges int32, masks bool; got {kinds}.")


@partial(jax.jit, static_argnames="patches")
def raw_graphs(inputs: Graph, patches: bool = False) -> jax.Array:
  """Features of graphs that need no net.

  Args:
    inputs: graphs, rows first.
    patches: features of nodes: the mean of a node and its neighbours, twice.

  Returns:
    float32 [batch, nodes, features]; without `patches` the mean of the nodes' own
    features, [batch, features].
  """
  nodes, mask = inputs.nodes.astype(jnp.float32), inputs.node_mask[..., None]
  if patches:
    mean = jax.vmap(neighbour_mean)
    return jnp.where(mask, mean(mean(nodes, inputs), inputs), 0.0)
  total = jnp.sum(jnp.where(mask, nodes, 0.0), axis=1)
  return total / jnp.maximum(jnp.sum(mask, axis=1, dtype=jnp.float32), 1.0)


def graph_kind(labels: np.ndarray | None = None) -> Kind:
  """Returns the kind of graphs.

  Args:
    labels: of the nodes of the one graph of a data set, for its pictures' colours.
  """

  def name(inputs):
    del inputs
    return "neighbours' features" if labels is not None else "nodes' features"

  return Kind("graphs", check_graphs, raw_graphs, name, partial(_sketches, labels))


class _Piece(NamedTuple):
  """Which nodes of a graph a picture shows, and the edges among them."""

  nodes: np.ndarray
  edges: np.ndarray


def _sketches(labels, inputs):
  check_graphs(inputs)
  arrays = [np.asarray(x) for x in inputs[1:]]
  return [_sketch(labels, *row) for row in zip(*arrays, strict=True)]


def _sketch(labels, edges, edge_mask, node_mask):
  piece = _piece(edges[edge_mask], node_mask)
  known = labels is not None and len(labels) == len(node_mask)
  colours = labels[piece.nodes] if known else np.full(len(piece.nodes), -1)
  return Sketch(_layout(len(piece.nodes), piece.edges), piece.edges.T, colours)


def _piece(edges, node_mask):
  """Up to 200 nodes, breadth first from the one with most edges."""
  degree = np.bincount(edges[:, 1], minlength=len(node_mask))
  waiting = np.argsort(-np.where(node_mask, degree, -1), kind="stable")
  shown = np.zeros(len(node_mask), bool)
  shown[waiting[0]] = True
  goal = min(MOST_DRAWN, int(node_mask.sum()))
  while shown.sum() < goal:
    ahead = np.unique(edges[shown[edges[:, 0]] & ~shown[edges[:, 1]], 1])
    ahead = ahead if len(ahead) else waiting[~shown[waiting]][:1]
    shown[ahead[: goal - shown.sum()]] = True
  nodes = np.flatnonzero(shown)
  number = np.cumsum(shown) - 1
  inside = edges[shown[edges].all(axis=1) & (edges[:, 0] < edges[:, 1])]
  return _Piece(nodes, number[inside])


def _layout(nodes, edges):
  """Places by springs (Fruchterman and Reingold 1991), always the same."""
  places = np.random.default_rng(0).normal(size=(nodes, 2))
  joined = np.zeros((nodes, nodes, 1))
  joined[edges[:, 0], edges[:, 1]] = joined[edges[:, 1], edges[:, 0]] = 1
  rest = 1 / np.sqrt(max(nodes, 1))
  for i in range(SPRINGS):
    apart = places[:, None] - places[None]
    far = np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-3)
    push = np.sum(apart * (rest**2 / far**2 - joined * far / rest), axis=1)
    push -= 0.1 * places / rest  # keeps separate parts on the page
    length = np.maximum(np.linalg.norm(push, axis=1, keepdims=True), 1e-9)
    places = places + push / length * np.minimum(length, 0.3 * (1 - i / SPRINGS))
  return places
