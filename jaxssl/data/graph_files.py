"""Graphs in files: an .npz, a folder with a list of edges, a folder of many graphs."""

import pathlib
from typing import NamedTuple

import numpy as np

from jaxssl.data.sources import _open_npz as open_npz
from jaxssl.data.sources import _read as read_array
from jaxssl.data.sources import counted
from jaxssl.errors import InputError, nearest
from jaxssl.ops.graphs import Graph

ENDINGS = (".csv", ".txt", ".tsv")
DEGREES = 32  # one-hot degrees, where nodes have no features
SPLIT = ("train_idx", "test_idx")
MOST_CLASSES = 1000  # where labels are larger, those that occur are numbered anew
MOST_GAPS = 100_000  # nodes that may go without an edge, where only edges name nodes
CSR = ("x_indptr", "x_indices", "x_data", "x_shape")


class Listed(NamedTuple):
  """Graphs as they were read.

  Attributes:
    graphs: each with `nodes` [nodes, features] and `edges` int [edges, 2]; no masks.
    labels: int, of the nodes of the one graph or of each graph; -1: none. Or None.
    split: positions of train and test nodes (or graphs), or None.
    classes: their names, or ().
    of_nodes: whether this is one graph whose nodes are labelled.
  """

  graphs: list[Graph]
  labels: np.ndarray | None
  split: tuple[np.ndarray, np.ndarray] | None
  classes: tuple[str, ...]
  of_nodes: bool


def read_graphs(path: str) -> Listed:
  """Reads graphs from the user's files.

  - An .npz with `edges` [2, edges] or [edges, 2], each undirected edge once or twice;
    features as `x` [nodes, features] or in CSR form (`x_indptr`, `x_indices`, `x_data`,
    `x_shape`); if known, `y` [nodes] (integers from 0, -1: no label), the names of its
    `classes`, and `train_idx` with `test_idx`, positions or masks of nodes. With
    `graph`, the number of each node's graph, it holds many; `y` and the split are then
    of the graphs.
  - A folder with `edges.csv` (or .txt, .tsv), two numbers a line; if known,
    `features.csv`, a line of numbers a node, and `labels.csv`, a label a node (empty:
    none). The path of edges.csv is that of its folder.
  - A folder of many graphs as TUDataset has them: `NAME_A.txt` (edges from 1),
    `NAME_graph_indicator.txt`, and if known `NAME_graph_labels.txt`,
    `NAME_node_labels.txt`, `NAME_node_attributes.txt`.

  Nodes are numbered from 0. Where they have no features, they get their degree,
  one-hot.

  Args:
    path: the .npz, the folder, or its edges.csv.

  Raises:
    InputError: if it is none of these, a line is ragged or no number, there is no edge,
      an edge goes to a missing node, or labels or split are not as said here.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix == ".npz":
    return _from_npz(path)
  if path.is_file() and path == _file(path.parent, "edges"):
    path = path.parent
  if not path.is_dir():
    raise InputError(
      f"There are no graphs at {path}. Pass an .npz, a folder with edges.csv, "
      "digits_graph or digit_graphs."
    )
  indicator = sorted(path.glob("*_graph_indicator.txt"))
  return _from_collection(path, indicator[0]) if indicator else _from_folder(path)


def _from_npz(path):
  with open_npz(path) as archive:
    found = {name: read_array(archive, name, path) for name in archive.files}
  if "edges" not in found:
    hint = "".join(nearest(name, ("edges",)) for name in found)
    raise InputError(f"{path} has no 'edges' but {', '.join(found)}.{hint}")
  edges, features = _pairs(found["edges"], path), _features(found, path)
  given = found.get("y", found.get("labels"))
  if given is not None and given.ndim != 1:
    raise InputError(f"'y' of {path} is {given.shape}; pass one label a node or graph.")
  if "graph" in found:
    listed = _many(path, edges, found["graph"], features)
    nodes = len(listed.graphs)
  else:
    nodes = _count(features, given, edges, path)
    check_edges(edges, nodes, path)
    listed = Listed([_graph(features, edges, nodes)], None, None, (), True)
  _check_length("y", given, nodes, path)
  names = tuple(map(str, found.get("classes", found.get("class_names", ()))))
  labels, classes = _named(given, names, path)
  split = _split(found, labels, nodes, path)
  return listed._replace(labels=labels, classes=classes, split=split)


def _pairs(edges, path):
  if edges.ndim != 2 or 2 not in edges.shape or edges.dtype.kind not in "iu":
    raise InputError(
      f"'edges' of {path} is {edges.dtype} {edges.shape}; pass integers [2, edges]."
    )
  if not edges.size:
    raise InputError(f"{path} has no edges.")
  return edges.T if edges.shape[0] == 2 else edges


def _features(found, path):
  if "x" in found or "features" in found:
    x = found.get("x", found.get("features"))
    if x.ndim != 2:
      raise InputError(f"'x' of {path} is {x.shape}; features are [nodes, features].")
    if x.dtype.kind not in "biuf":
      raise InputError(f"'x' of {path} is {x.dtype}; features are numbers.")
    return np.asarray(x, np.float32)
  if not set(CSR) <= found.keys():
    return None
  start, columns, values, shape = (found[name] for name in CSR)
  try:
    x = np.zeros(shape, np.float32)
    x[np.repeat(np.arange(shape[0]), np.diff(start)), columns] = values
  except (ValueError, IndexError, TypeError) as error:
    raise InputError(f"{', '.join(CSR)} of {path} don't fit: {error}.") from error
  return x


def _count(features, labels, edges, path):
  """How many nodes there are, by what says it."""
  for known in (features, labels):
    if known is not None:
      return len(known)
  nodes, joined = int(edges.max()) + 1, len(np.unique(edges))
  if nodes > MOST_GAPS + 10 * joined:
    raise InputError(
      f"{path} has an edge to node {nodes - 1}, but edges to {joined} nodes in all; "
      "number nodes from 0 without gaps, or give all of them features."
    )
  return nodes


def check_edges(edges: np.ndarray, nodes: int, path: object) -> None:
  """Raises InputError unless edges, int [edges, 2], join nodes 0 ... nodes - 1."""
  wrong = np.flatnonzero((edges < 0).any(axis=1) | (edges >= nodes).any(axis=1))
  if len(wrong):
    a, b = edges[wrong[0]]
    raise InputError(
      f"{path} has {len(wrong)} edge(s) to missing nodes, such as {a} - {b}: there are "
      f"{nodes} nodes, numbered from 0."
    )


def _check_length(what, values, count, path):
  if values is None:
    return
  if np.shape(values) != (count,):
    raise InputError(
      f"{what} of {path} has the shape {np.shape(values)}; pass one label for each of "
      f"{count}."
    )
  if values.dtype.kind not in "iu":
    raise InputError(f"{what} of {path} is {values.dtype}; labels are integers from 0.")


def _named(labels, names, path):
  """Labels (-1: none) and the names of the classes: given, or their values."""
  if labels is None:
    return None, names
  labels = labels.astype(np.int64)
  if labels.min(initial=0) < -1:
    raise InputError(
      f"{path} has the label {labels.min()}; labels are integers from 0, -1 for none."
    )
  if names and labels.max(initial=-1) >= len(names):
    raise InputError(
      f"{path} has {len(names)} class names but labels up to {labels.max()}."
    )
  if names or labels.max(initial=-1) < MOST_CLASSES:
    return labels, names
  known = labels >= 0
  values, places = np.unique(labels[known], return_inverse=True)
  numbered = np.full(len(labels), -1, np.int64)
  numbered[known] = places
  return numbered, tuple(map(str, values))


def _split(found, labels, count, path):
  """Positions of train and test, or None where the file names none."""
  masks = {name: name.replace("_idx", "_mask") for name in SPLIT}
  found = {n: found[m] for n, m in masks.items() if m in found} | found
  there = [name for name in SPLIT if name in found]
  if not there:
    return None
  if len(there) < len(SPLIT):
    (missing,) = set(SPLIT) - set(there)
    raise InputError(f"{path} has '{there[0]}' but no '{missing}'; pass both or none.")
  train, test = (_positions(found[n], count, f"'{n}' of {path}") for n in SPLIT)
  if len(both := np.intersect1d(train, test)):
    raise InputError(
      f"'train_idx' and 'test_idx' of {path} share {counted(len(both), 'position')}, "
      f"such as {both[0]}; what is tested is not trained on."
    )
  for name, rows in zip(SPLIT, (train, test), strict=True):
    if labels is not None and labels.max(initial=-1) >= 0 > labels[rows].max():
      raise InputError(f"'{name}' of {path} is a split in which nothing has a label.")
  return train, test


def _positions(rows, count, what):
  """Integers [n] of a split, which may be given as a mask, bool [count]."""
  if rows.shape == (count,) and rows.dtype == bool:
    rows = np.flatnonzero(rows)
  if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
    raise InputError(
      f"{what} is {rows.dtype} {rows.shape}; a split is integers [n], one at least, or "
      f"a mask, bool ({count},)."
    )
  if rows.min() < 0 or rows.max() >= count:
    raise InputError(
      f"{what} is a split with positions from {rows.min()} to {rows.max()}; they are 0 "
      f"to {count - 1}."
    )
  return rows.astype(np.int64)


def _graph(features, edges, nodes):
  if features is None:
    features = degree_features(edges, nodes)
  return Graph(features, edges, None, None)


def degree_features(edges: np.ndarray, nodes: int) -> np.ndarray:
  """The degree of each node one-hot, float32 [nodes, 32]; the last is 31 and more."""
  degree = np.bincount(edges.ravel(), minlength=nodes)
  return np.eye(DEGREES, dtype=np.float32)[np.minimum(degree, DEGREES - 1)]


def _from_folder(folder):
  path = _file(folder, "edges")
  if path is None:
    raise InputError(
      f"{folder} has no edges.csv (or .txt, .tsv) and no NAME_graph_indicator.txt; it "
      f"has {', '.join(sorted(p.name for p in folder.iterdir())[:5]) or 'nothing'}."
    )
  edges = _read_edges(path)
  features, labels, classes = _file(folder, "features"), None, ()
  features = None if features is None else read_numbers(features)
  if named := _file(folder, "labels"):
    labels, classes = _labels(named)
  nodes = _count(features, labels, edges, path)
  check_edges(edges, nodes, path)
  _check_length("labels", labels, nodes, folder)
  return Listed([_graph(features, edges, nodes)], labels, None, classes, True)


def _read_edges(path):
  edges = _whole(read_numbers(path), path)
  if edges.shape[1] != 2:
    raise InputError(f"{path} has {edges.shape[1]} columns; an edge is two nodes.")
  return edges


def _file(folder, stem):
  paths = [folder / f"{stem}{ending}" for ending in ENDINGS]
  return next((path for path in paths if path.is_file()), None)


def read_numbers(path: pathlib.Path) -> np.ndarray:
  """Reads lines of numbers; commas, semicolons, tabs or spaces are between.

  A first line that holds no number is the names of the columns; "nan" and "inf" are
  numbers there, which are refused.

  Returns:
    float32 [lines, columns], or float64 where float32 would round.

  Raises:
    InputError: for ragged lines, what is no number, or an empty file.
  """
  lines = _lines(path)
  if lines and not any(map(_reads_as_number, lines[0][1])):
    lines = lines[1:]
  if not lines:
    raise InputError(f"{path} is empty.")
  first, columns = lines[0][0], len(lines[0][1])
  for number, line in lines:
    if len(line) != columns:
      raise InputError(
        f"{path} is ragged: line {number} has {len(line)} columns, line {first} has "
        f"{columns}."
      )
    if wrong := [word for word in line if not _is_number(word)]:
      raise InputError(f"{path}: '{wrong[0]}' in line {number} is no number.")
  return np.asarray([line for _, line in lines], np.float64)


def _read(path):
  try:
    return path.read_text(encoding="utf-8-sig")
  except UnicodeDecodeError as error:
    raise InputError(f"{path} is not text in UTF-8: {error}.") from error


def _lines(path):
  """(line number, words) of the lines that hold some, but those that start with "#"."""
  text = _read(path)
  for mark in ",;\t":
    text = text.replace(mark, " ")
  lines = enumerate((line.split() for line in text.split("\n")), 1)
  return [(i, line) for i, line in lines if line and not line[0].startswith("#")]


def _is_number(word):
  return _reads_as_number(word) and np.isfinite(float(word))


def _reads_as_number(word):
  """Whether a word is a number, or stands for none or for an infinite one."""
  try:
    float(word)
  except ValueError:
    return False
  return True


def _whole(numbers, path):
  if (numbers != np.round(numbers)).any():
    raise InputError(f"{path}: nodes are whole numbers, from 0.")
  return numbers.astype(np.int64)


def _labels(path):
  """Labels of any words as integers; an empty line or -1 is no label."""
  words = [line.strip() for line in _read(path).split("\n")]
  words = words[:-1] if words and not words[-1] else words
  if words and words[0] in ("label", "labels", "y"):
    words = words[1:]
  classes = sorted(
    set(words) - {"", "-1"}, key=lambda w: (not _is_number(w), _order(w))
  )
  number = {name: i for i, name in enumerate(classes)} | {"": -1, "-1": -1}
  return np.asarray([number[word] for word in words], np.int64), tuple(classes)


def _order(word):
  return (float(word), "") if _is_number(word) else (0.0, word)


def _from_collection(folder, indicator):
  name = indicator.name.removesuffix("_graph_indicator.txt")
  file = lambda what: folder / f"{name}_{what}.txt"
  if not file("A").is_file():
    raise InputError(f"{folder} has {indicator.name} but no {name}_A.txt, the edges.")
  graph = _whole(_read_column(indicator), indicator) - 1
  features = _collected(file, len(graph))
  listed = _many(folder, _read_edges(file("A")) - 1, graph, features)
  if not file("graph_labels").is_file():
    return listed
  values, labels = np.unique(_read_column(file("graph_labels")), return_inverse=True)
  _check_length("graph labels", labels, len(listed.graphs), folder)
  return listed._replace(labels=labels, classes=tuple(f"{x:.17g}" for x in values))


def _read_column(path):
  """A number a line, float64 [lines]."""
  numbers = read_numbers(path)
  if numbers.shape[1] != 1:
    raise InputError(f"{path} has {numbers.shape[1]} columns; it is one number a line.")
  return numbers[:, 0]


def _collected(file, nodes):
  """Features of the nodes of a collection, float32 [nodes, features], or None."""
  parts = []
  for path in (file("node_labels"), file("node_attributes")):
    if not path.is_file():
      continue
    values = read_numbers(path)
    if len(values) != nodes:
      raise InputError(f"{path} has {len(values)} lines of numbers for {nodes} nodes.")
    if path == file("node_labels"):
      kinds = np.unique(values[:, 0], return_inverse=True)[1]
      values = np.eye(kinds.max() + 1)[kinds]
    parts.append(values)
  return np.concatenate(parts, axis=1).astype(np.float32) if parts else None


def _many(path, edges, graph, features):
  """Cuts a list of edges between the nodes of many graphs into the graphs."""
  graph = np.asarray(graph)
  if graph.ndim != 1 or graph.dtype.kind not in "iu" or graph.min(initial=0) < 0:
    raise InputError(f"{path}: the graph of each node is an integer from 0.")
  check_edges(edges, len(graph), path)
  if (graph[edges[:, 0]] != graph[edges[:, 1]]).any():
    raise InputError(f"{path} has edges from one graph to another.")
  if features is None:
    features = degree_features(edges, len(graph))
  if len(features) != len(graph):
    raise InputError(
      f"{path}: features of {len(features)} nodes, but {len(graph)} nodes."
    )
  graph = graph.astype(np.int64)
  count = int(graph.max(initial=-1)) + 1
  if empty := count - len(np.unique(graph)):
    raise InputError(f"{path}: {empty} of {count} graphs have no nodes.")
  return Listed(_cut(edges, graph, features, count), None, None, (), False)


def _cut(edges, graph, features, count):
  order = np.argsort(graph, kind="stable")
  starts = np.searchsorted(graph[order], np.arange(count + 1))
  place = np.empty(len(graph), np.int64)
  place[order] = np.arange(len(graph)) - starts[graph[order]]
  by_graph = np.argsort(graph[edges[:, 0]], kind="stable")
  bounds = np.searchsorted(graph[edges[by_graph, 0]], np.arange(count + 1))
  return [
    Graph(
      features[order[starts[i] : starts[i + 1]]],
      place[edges[by_graph[bounds[i] : bounds[i + 1]]]],
      None,
      None,
    )
    for i in range(count)
  ]
