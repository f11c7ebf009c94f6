import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data import ArraySource, DataSet
from jaxssl.data.kinds import raw_values
from jaxssl.errors import InputError
from jaxssl.evals import Table, as_markdown, as_text, evaluate, evaluate_row
from jaxssl.evals.knn import nearest_accuracy
from jaxssl.evals.table import unusable


def source(pixels, labels):
  images = np.rint(255 * pixels).astype(np.uint8).reshape(-1, 8, 8, 1)
  return ArraySource({"input": images, "label": labels})


@pytest.fixture(scope="module")
def data(digits):
  train, test = source(*digits[:2]), source(*digits[2:])
  return DataSet("digits", train, test, tuple("0123456789"))


@jax.jit
def pixels(images):
  return images.astype(jnp.float32).reshape(len(images), -1) / 255


@jax.jit
def brightness(images):
  return pixels(images).mean(1, keepdims=True) * jnp.ones((1, 4))


@pytest.fixture(scope="module")
def table(data):
  return evaluate(pixels, brightness, data)


def test_three_rows_with_every_protocol(table):
  names = [row["features"] for row in table.rows]
  assert names == ["raw pixels", "untrained encoder", "trained encoder"]
  for row in table.rows:
    assert list(row) == ["features", "knn", "linear", "few_label", "clusters"]
    assert list(row["few_label"]) == ["1", "5", "10"]
  assert table.reason == ""


def test_the_values_of_raw_pixels(table):
  row = table.rows[0]
  assert row["knn"] == pytest.approx(97.8, abs=0.3)
  assert row["linear"] == pytest.approx(97.0, abs=1.0)
  means = [mean for mean, _ in row["few_label"].values()]
  np.testing.assert_allclose(means, [66.3, 85.8, 89.9], atol=0.3)


def test_rows_differ_by_their_features_alone(table):
  raw, untrained, trained = table.rows
  assert {**trained, "features": "raw pixels"} == raw  # this encoder returns pixels
  assert untrained["linear"] < 40


def test_the_table_survives_json(table):
  again = Table(**json.loads(json.dumps(table._asdict())))
  assert again == table
  assert as_text(again) == as_text(table)


def test_as_text_is_aligned_and_says_the_protocols(table):
  lines = as_text(table).splitlines()
  counts = ["1 label", "5 labels", "10 labels"]
  columns = ["features", "kNN", "linear", "clusters", *counts]
  assert lines[0].split() == " ".join(columns).split()
  assert len({len(line) for line in lines[:4]}) == 1
  assert "66.3 ± 3.3" in lines[1] and lines[1].startswith("raw pixels ")
  assert "20 nearest neighbours" in as_text(table)


def test_as_markdown(table):
  lines = as_markdown(table).splitlines()
  counts = "1 label | 5 labels | 10 labels"
  assert lines[0] == f"| features | kNN | linear | clusters | {counts} |"
  assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
  assert lines[2].startswith("| raw pixels | 97.")
  assert all(line.count("|") == 8 for line in lines[:5])


def test_only_the_protocols_asked_for(data):
  table = evaluate(pixels, brightness, data, protocols=("knn",))
  assert [list(row) for row in table.rows] == [["features", "knn"]] * 3
  assert len(table.protocols) == 1
  assert as_text(table).splitlines()[0].split() == ["features", "kNN"]
  with pytest.raises(InputError, match="Did you mean 'few-label'"):
    evaluate(pixels, brightness, data, protocols=("few_label",))


def test_the_nearest_neighbour_is_scored_on_request(data):
  from sklearn.neighbors import KNeighborsClassifier

  found = evaluate(pixels, brightness, data, protocols=["nearest"])
  (x, y), (test, labels) = (
    (np.asarray(pixels(part.arrays()["input"])), part.arrays()["label"])
    for part in (data.train, data.test)
  )
  reference = KNeighborsClassifier(1).fit(x, y)  # Euclidean, by a tree
  expected = 100 * reference.score(test, labels)
  assert found.rows[0]["nearest"] == pytest.approx(expected, abs=0.3)
  assert "1-NN" in as_text(found) and "kNN" not in as_markdown(found)


def test_the_nearest_neighbour_is_nearest_by_euclidean_distance():
  """By cosine the second row of the bank would be the nearest."""
  bank, query = np.array([[1.0, 0.0], [10.0, 10.0]]), np.array([[2.0, 1.5]])
  found = nearest_accuracy(bank, np.arange(2), query, np.zeros(1, int), classes=2)
  assert found == 100.0
  with pytest.raises(InputError, match="test features must be"):
    nearest_accuracy(bank, np.arange(2), query[:, :1], np.zeros(1, int), classes=2)


def test_small_sets_are_scored_as_far_as_they_go(digits):
  rows = [np.flatnonzero(digits.labels == c)[:6] for c in range(3)]
  part = source(digits.train[np.concatenate(rows)], np.repeat(np.arange(3), 6))
  row = evaluate_row("pixels", pixels, DataSet("small", part, part, ()))
  assert list(row["few_label"]) == ["1", "5"]
  assert row["linear"] == 100.0


def test_data_that_cannot_be_scored_is_explained(data):
  unlabelled = ArraySource({"input": data.train.arrays()["input"]})
  for part, words in (
    (data._replace(test=None), "digits has no test split"),
    (data._replace(test=source(np.ones((0, 64)), np.ones(0))), "no test split"),
    (data._replace(train=unlabelled), "digits has no labels"),
    (data._replace(test=unlabelled), "digits has no labels"),
  ):
    table = evaluate(pixels, brightness, part)
    assert table.rows == [] and words in table.reason
    assert as_text(table) == as_markdown(table) == table.reason


def test_where_a_test_split_goes_is_said_of_images_alone(data):
  other = data._replace(test=None, kind=data.kind._replace(name="graphs"))
  assert "put test/ beside train/" in unusable(data._replace(test=None))
  assert unusable(other) == "digits has no test split, so there is nothing to score."


def test_raw_values_of_images_and_of_anything_else():
  image = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
  np.testing.assert_allclose(raw_values(image), image.reshape(2, -1) / 255, rtol=1e-6)
  tree = {"a": np.ones((2, 3), np.float32), "b": np.array([4, 5])}
  expected = [[1, 1, 1, 4], [1, 1, 1, 5]]
  np.testing.assert_array_equal(raw_values(tree), expected)


def test_large_images_are_shrunk_before_they_count_as_features(digits):
  large = np.full((20, 96, 40, 1), 51, np.uint8)
  features = raw_values(large)
  assert features.shape == (20, 32 * 32)
  np.testing.assert_allclose(features, 0.2, rtol=1e-5)
  part = ArraySource({"input": large, "label": np.arange(20) % 2})
  table = evaluate(
    brightness, brightness, DataSet("x", part, part, ()), protocols=["knn"]
  )
  assert table.rows[0]["features"] == "raw pixels at most 32x32"
