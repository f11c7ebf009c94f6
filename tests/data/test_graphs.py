"""Graphs of all kinds of files, and what cannot be read."""

import jax
import numpy as np
import pytest

from jaxssl.data import graphs, skipped_message
from jaxssl.data.kinds import Sketch
from jaxssl.data.sources import Parts
from jaxssl.errors import InputError
from jaxssl.ops.graphs import Graph
from tests.graph_cases import batch

FEW = "too few to learn from some and to test others"
EDGES = np.array([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 5]])


def planetoid(path, **changes):
  """An .npz as Cora's: 8 nodes, of which 6 and 7 are isolated, 3 features in CSR."""
  x = np.eye(3, dtype=np.float32)[np.arange(8) % 3] * 2
  found = {
    "x_indptr": np.arange(9),
    "x_indices": np.arange(8) % 3,
    "x_data": x[x > 0],
    "x_shape": np.array([8, 3]),
    "edges": EDGES,
    "y": np.array([0, 1, 0, 1, 0, 1, 0, -1]),
    "train_idx": np.array([0, 1]),
    "test_idx": np.array([4, 5, 6, 7]),
  }
  np.savez(path, **{**found, **changes})
  return str(path)


def folder(path, **files):
  """A folder of text files."""
  for name, text in files.items():
    (path / f"{name}.csv").write_text(text)
  return str(path)


def test_one_graph_is_one_row_and_its_nodes_are_scored(tmp_path):
  data = graphs.open_graphs(planetoid(tmp_path / "g.npz"))
  graph = data.train.data["input"]
  assert len(data.train) == 1 and data.test is None
  assert graph.nodes.shape == (1, 8, 3) and graph.edges.shape == (1, 12, 2)
  data.kind.check(graph)
  train, test = data.scored.train, data.scored.test
  assert isinstance(train, Parts) and train.part.tolist() == [0, 1]
  assert test.part.tolist() == [4, 5, 6] and test.label.tolist() == [0, 1, 0]
  assert data.classes == ("0", "1")


def test_features_are_row_normalised_when_asked(tmp_path):
  data = graphs.open_graphs(planetoid(tmp_path / "g.npz"), normalize=True)
  np.testing.assert_allclose(data.train.data["input"].nodes.sum(-1), 1)


def test_dense_features_and_edges_in_columns_are_the_same(tmp_path):
  one = graphs.open_graphs(planetoid(tmp_path / "a.npz"))
  x = one.train.data["input"].nodes[0]
  np.savez(tmp_path / "b.npz", x=x, edges=np.r_[EDGES.T, EDGES.T[::-1]])
  two = graphs.open_graphs(str(tmp_path / "b.npz"))
  jax.tree.map(
    np.testing.assert_array_equal, one.train.data["input"], two.train.data["input"]
  )
  assert two.probe.train.part.tolist() == list(range(8))
  assert two.probe.train.label is None and two.probe.test is None


def test_a_folder_with_edges_features_and_labels(tmp_path):
  spec = folder(
    tmp_path,
    edges="from,to\n0,1\n1,2\n2,3\n",
    features="0.5,1\n1,2\n3,4\n5,6\n7,8\n",
    labels="cat\ndog\n\ncat\ndog\n",
  )
  data = graphs.open_graphs(spec)
  assert data.train.data["input"].nodes.shape == (1, 5, 2)
  assert data.classes == ("cat", "dog")
  assert len(data.probe.train) + len(data.probe.test) == 4


def test_the_path_of_the_edges_is_that_of_their_folder(tmp_path):
  spec = folder(tmp_path, edges="from,to\n0,1\n1,2\n", features="a,b\n1,2\n3,4\n5,6\n")
  made = graphs.open_graphs(f"{spec}/edges.csv")
  nodes = made.train.arrays()["input"].nodes
  np.testing.assert_array_equal(nodes[0], [[1, 2], [3, 4], [5, 6]])
  with pytest.raises(InputError, match="no graphs at .*features.csv"):
    graphs.open_graphs(f"{spec}/features.csv")


def test_without_features_a_node_has_its_degree(tmp_path):
  data = graphs.open_graphs(folder(tmp_path, edges="0 1\n0 2\n0 3\n"))
  found = data.train.data["input"].nodes[0].argmax(-1)
  assert found.tolist() == [3, 1, 1, 1]


def test_many_graphs_of_an_npz(tmp_path):
  path = tmp_path / "many.npz"
  graph, edges = np.repeat(np.arange(5), 3), [[3 * i, 3 * i + 1] for i in range(5)]
  x = np.arange(30, dtype=np.float32).reshape(15, 2)
  labels = np.arange(5) % 2
  np.savez(path, edges=np.array(edges), graph=graph, x=x, y=labels)
  data = graphs.open_graphs(str(path))
  assert (len(data.train), len(data.test)) == (4, 1)
  both = [s.data["input"].nodes for s in (data.train, data.test)]
  assert sorted(np.concatenate(both)[:, 0, 0].tolist()) == [0, 6, 12, 18, 24]
  np.savez(path, edges=np.array([[0, 5]]), graph=graph)
  with pytest.raises(InputError, match="from one graph to another"):
    graphs.open_graphs(str(path))


def test_a_folder_as_tudataset_has_them(tmp_path):
  texts = {
    "A": "1, 2\n2, 1\n3, 4\n4, 3\n4, 5\n5, 4\n",
    "graph_indicator": "1\n1\n2\n2\n2\n",
    "graph_labels": "-1\n1\n",
    "node_labels": "0\n3\n0\n3\n3\n",
  }
  for name, text in texts.items():
    (tmp_path / f"X_{name}.txt").write_text(text)
  data = graphs.open_graphs(str(tmp_path))
  graph = data.train.data["input"]
  assert graph.nodes.shape == (2, 3, 2) and graph.node_mask.sum() == 5
  assert graph.edge_mask.sum(1).tolist() == [2, 4]
  assert data.train.data["label"].tolist() == [0, 1] and data.classes == ("-1", "1")


COLLECTION = {
  "A": "1, 2\n2, 1\n3, 4\n4, 3\n4, 5\n5, 4\n",
  "graph_indicator": "1\n1\n2\n2\n2\n",
}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"A": "1, 2, 1\n2, 1, 1\n"}, "X_A.txt has 3 columns; an edge is two nodes"),
    ({"node_attributes": "0.5\n0.5\n"}, "node_attributes.txt has 2 lines .* 5 nodes"),
    ({"node_labels": "0\n" * 6}, "node_labels.txt has 6 lines .* 5 nodes"),
    ({"graph_labels": "1, 2\n1, 2\n"}, "graph_labels.txt has 2 columns"),
    ({"graph_labels": "1\n"}, "one label for each of 2"),
  ],
)
def test_bad_collections(tmp_path, changes, message):
  for name, text in {**COLLECTION, **changes}.items():
    (tmp_path / f"X_{name}.txt").write_text(text)
  with pytest.raises(InputError, match=message):
    graphs.open_graphs(str(tmp_path))


def test_embedded_graphs():
  one = graphs.open_graphs("digits_graph")
  one.kind.check(one.train.data["input"])
  assert len(one.probe.train) == 200 and len(one.probe.test) == 1000
  many = graphs.open_graphs("digit_graphs")
  many.kind.check(many.train.data["input"])
  assert (len(many.train), len(many.test)) == (1297, 500)


def test_floor_and_pictures(tmp_path):
  data = graphs.open_graphs(planetoid(tmp_path / "g.npz"))
  graph = data.train.data["input"]
  np.testing.assert_allclose(data.kind.raw(graph), graph.nodes.mean(1), atol=1e-6)
  nodes = np.asarray(data.kind.raw(graph, patches=True))
  matrix = np.eye(8)
  matrix[EDGES[0], EDGES[1]] = matrix[EDGES[1], EDGES[0]] = 1
  matrix /= matrix.sum(1, keepdims=True)
  np.testing.assert_allclose(nodes[0], matrix @ matrix @ graph.nodes[0], atol=1e-6)
  (tile,) = data.kind.tiles(graph)
  assert isinstance(tile, Sketch) and np.isfinite(tile.places).all()
  assert tile.edges.shape == (2, 6) and tile.colours.tolist()[:3] == [0, 1, 0]
  assert data.kind.raw_name(graph)


def test_like_opens_graphs_with_the_same_features(tmp_path):
  data = graphs.open_graphs(planetoid(tmp_path / "g.npz"))
  assert len(data.like(planetoid(tmp_path / "h.npz")).train) == 1
  with pytest.raises(InputError, match="features"):
    data.like(folder(tmp_path, edges="0,1\n"))


def test_a_split_may_be_of_masks(tmp_path):
  mask = np.arange(8) < 3
  path = planetoid(tmp_path / "g.npz", train_idx=mask, test_idx=~mask)
  scored = graphs.open_graphs(path).scored
  assert scored.train.part.tolist() == [0, 1, 2]
  assert scored.test.part.tolist() == [3, 4, 5, 6]  # 7 has no label


def test_masks_by_their_own_names_and_labels_of_bytes(tmp_path):
  mask, path = np.arange(6) < 3, tmp_path / "g.npz"
  y, x = np.array([0, 1, 0, 1, 0, 1], np.uint8), np.eye(6, dtype=np.float32)
  np.savez(path, edges=EDGES, x=x, y=y, train_mask=mask, test_mask=~mask)
  scored = graphs.open_graphs(str(path)).scored
  assert scored.train.part.tolist() == [0, 1, 2]
  assert scored.test.part.tolist() == [3, 4, 5]


def test_labels_without_a_dimension_are_refused(tmp_path):
  np.savez(tmp_path / "g.npz", edges=EDGES, y=np.array(3))
  with pytest.raises(InputError, match="one label a node"):
    graphs.open_graphs(str(tmp_path / "g.npz"))


def test_labels_far_apart_are_named_by_their_values(tmp_path):
  y = np.array([0, 10**6, 0, 10**6, 0, 2 * 10**6, 0, -1])
  data = graphs.open_graphs(planetoid(tmp_path / "g.npz", y=y))
  assert data.classes == ("0", "1000000", "2000000")
  assert data.scored.train.label.tolist() == [0, 1]
  assert data.scored.test.label.tolist() == [0, 2, 0]
  few = planetoid(tmp_path / "h.npz", y=np.array([5, 6, 5, 6, 5, 6, 5, 6]))
  assert graphs.open_graphs(few).scored.train.label.tolist() == [5, 6]


def many(path, **changes):
  """An .npz of ten graphs of three nodes."""
  found = {
    "graph": np.repeat(np.arange(10), 3),
    "edges": np.array([[3 * i, 3 * i + 1] for i in range(10)]),
    "x": np.arange(30, dtype=np.float32)[:, None],
  }
  np.savez(path, **{**found, **changes})
  return str(path)


def test_graphs_without_label_are_trained_on_and_not_scored(tmp_path):
  y = np.array([-1, 0, 1, 0, 1, -1, 1, 0, 1, 0])
  data = graphs.open_graphs(many(tmp_path / "g.npz", y=y))
  assert (len(data.train), len(data.test)) == (8, 2)
  assert "label" not in data.train.data and data.classes == ("0", "1")
  found = [s.data for s in (data.scored.train, data.scored.test)]
  first = np.concatenate([x["input"].nodes[:, 0, 0] for x in found]).astype(int) // 3
  assert sorted(first.tolist()) == [1, 2, 3, 4, 6, 7, 8, 9]
  assert np.concatenate([x["label"] for x in found]).tolist() == y[first].tolist()
  data = graphs.open_graphs(many(tmp_path / "g.npz", y=np.full(10, -1)))
  assert "label" not in data.scored.train.data
  y = np.where(np.arange(10) < 1, 0, -1)
  data = graphs.open_graphs(many(tmp_path / "g.npz", y=y))
  assert "label" not in data.scored.train.data and data.classes == ()
  assert skipped_message(data).endswith(f"skipped 1 label: {FEW}")


def test_many_graphs_have_the_split_and_the_names_of_their_file(tmp_path):
  split = {"train_idx": np.arange(6), "test_idx": np.arange(6, 9)}
  named = {"y": np.arange(10) % 2, "classes": np.array(["odd", "even"])}
  data = graphs.open_graphs(many(tmp_path / "g.npz", **split, **named))
  assert (len(data.train), len(data.test)) == (6, 3)
  assert data.classes == ("odd", "even")
  with pytest.raises(InputError, match="they are 0 to 9"):
    graphs.open_graphs(many(tmp_path / "g.npz", **split | {"test_idx": np.array([10])}))


def test_labels_of_classes_of_one_node_each_are_left_out(tmp_path):
  spec = folder(tmp_path, edges="0,1\n1,2\n", labels="a\nb\nc\n")
  data = graphs.open_graphs(spec)
  assert len(data.scored.train) == 3 and data.scored.train.label is None
  assert skipped_message(data).endswith(f"skipped 3 labels: {FEW}")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
  plain = {"edges": "0,1\n1,2\n2,3\n", "features": "1,2\n3,4\n5,6\n7,8\n"}
  spec = folder(tmp_path, **plain, labels="label\na\nb\na\nb\n")
  want = graphs.open_graphs(spec)
  for path in tmp_path.glob("*.csv"):
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
  found = graphs.open_graphs(spec)
  jax.tree.map(
    np.testing.assert_array_equal, found.train.data["input"], want.train.data["input"]
  )
  assert found.classes == ("a", "b")


BAD = {
  "missing nodes": {"edges": np.array([[0, 1], [1, 9]])},
  "negative": {"edges": np.array([[0, -1], [1, 2]])},
  "no edges": {"edges": np.zeros((2, 0), int)},
  "integers": {"edges": np.zeros((2, 3))},
  "one label": {"y": np.arange(3)},
  "split": {"test_idx": np.array([99])},
  "a split is integers": {"train_idx": np.array([0.0, 1.0])},
  "or a mask": {"train_idx": np.array([[0], [1]])},
  "share 1 position, such as 1": {"test_idx": np.array([1, 4])},
  "split in which nothing has a label": {"test_idx": np.array([7])},
  "2 class names but labels up to 2": {
    "y": np.arange(8) % 3,
    "classes": np.array(["a", "b"]),
  },
  "the label -5": {"y": np.arange(8) - 5},
  "features are numbers": {"x": np.array([["a"]] * 8)},
  "cannot read 'x'": {"x": np.array([None, 1], object)},
  "don't fit": {"x_indices": np.arange(8)},
}


@pytest.mark.parametrize("name", ["train_idx", "test_idx"])
def test_half_a_split_is_refused(tmp_path, name):
  np.savez(tmp_path / "g.npz", edges=EDGES, **{name: np.array([0])})
  with pytest.raises(InputError, match=f"has '{name}' but no"):
    graphs.open_graphs(str(tmp_path / "g.npz"))


@pytest.mark.parametrize("what", BAD)
def test_bad_npz(tmp_path, what):
  word = {"negative": "missing nodes"}.get(what, what)
  with pytest.raises(InputError, match=word):
    graphs.open_graphs(planetoid(tmp_path / "g.npz", **BAD[what]))


TEXTS = {
  "missing nodes": {"edges": "0,1\n1,7\n", "features": "1\n2\n3\n"},
  "ragged": {"edges": "0,1\n1,2,3\n"},
  "no number": {"edges": "0,1\n1,x\n"},
  "empty": {"edges": ""},
  "'nan' in line 1": {"edges": "0,1\n", "features": "nan,1\n2,3\n"},
  r"'\?' in line 1": {"edges": "0,1\n", "features": "?,1\n2,3\n"},
  "two nodes": {"edges": "0,1,1\n1,2,1\n"},
  "whole numbers": {"edges": "0,1.5\n"},
  "one label": {"edges": "0,1\n", "features": "1\n2\n", "labels": "a\n"},
  "no edges.csv": {"nodes": "0,1\n"},
  "edge to node 99999999999, but edges to 3": {"edges": "0,1\n1,99999999999\n"},
  "'bob' in line 5 is no number": {"edges": "# who\n\nfrom,to\n0,1\n1,bob\n"},
  "line 4 has 3 columns, line 2 has 2": {"edges": "from,to\n0,1\n\n1,2,3\n"},
}


@pytest.mark.parametrize("what", TEXTS)
def test_bad_folders(tmp_path, what):
  with pytest.raises(InputError, match=what):
    graphs.open_graphs(folder(tmp_path, **TEXTS[what]))


@pytest.mark.parametrize("name", ["edges", "features", "labels"])
def test_files_that_are_not_utf_8(tmp_path, name):
  spec = folder(tmp_path, edges="0,1\n", features="1\n2\n", labels="a\nb\n")
  (tmp_path / f"{name}.csv").write_bytes(b"\xff\xfe")
  with pytest.raises(InputError, match=rf"{name}\.csv is not text in UTF-8"):
    graphs.open_graphs(spec)


def test_nothing_there(tmp_path):
  with pytest.raises(InputError, match="no graphs at"):
    graphs.open_graphs(str(tmp_path / "none"))


def test_what_is_no_graph_is_refused():
  good = jax.tree.map(np.asarray, batch(rows=2)["input"])
  graphs.check_graphs(good)
  nan = good.nodes.copy()
  nan[0, 0] = np.nan
  for bad, word in (
    (good.nodes, "ops.Graph"),
    (good._replace(nodes=nan), "NaN"),
    (good._replace(nodes=good.nodes[0]), "shapes"),
    (good._replace(edges=good.edges + 3), "missing nodes"),
    (good._replace(edges=good.edges[:, ::-1]), "order"),
    (good._replace(node_mask=good.node_mask & False), "without any node"),
    (good._replace(edge_mask=good.edge_mask.astype(np.int32)), "bool"),
    (good._replace(node_mask=good.node_mask & (np.arange(8) != 0)), "leaves out"),
  ):
    with pytest.raises(InputError, match=word):
      graphs.check_graphs(bad)


def test_graphs_with_other_features_do_not_stack():
  empty = np.zeros((0, 2), int)
  parts = [Graph(np.zeros((2, n), np.float32), empty, None, None) for n in (2, 3)]
  with pytest.raises(InputError, match="features"):
    graphs.pad_graphs(parts)
