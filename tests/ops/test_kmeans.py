"""K-means against scikit-learn, and what it must survive."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sklearn.cluster import KMeans

from jaxssl import ops
from jaxssl.errors import InputError

KEY = jax.random.key(0)
module = importlib.import_module("jaxssl.ops.kmeans")  # ops.kmeans is the function


def blobs(n=64, dim=3, centers=4, spread=0.3, seed=0):
  rng = np.random.default_rng(seed)
  means = rng.normal(size=(centers, dim)) * 3
  rows = means[np.arange(n) % centers] + spread * rng.normal(size=(n, dim))
  return rows.astype(np.float32)


def loop_spherical(x, centroids, iterations):
  """DeepCluster-v2's loop: unit sums, empty clusters keep their centroid."""
  x, centroids = x / np.linalg.norm(x, axis=1, keepdims=True), np.array(centroids)
  for _ in range(iterations):
    labels = np.argmax(x @ centroids.T, axis=1)
    for c in set(labels):
      total = x[labels == c].sum(axis=0)
      centroids[c] = total / np.linalg.norm(total)
  return centroids, np.argmax(x @ centroids.T, axis=1)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_it_is_scikit_learns_from_the_same_start(offset):
  x = blobs() + np.float32(offset)
  start = ops.kmeans(KEY, jnp.asarray(x), clusters=4, iterations=0).centroids
  got = ops.kmeans(KEY, jnp.asarray(x), clusters=4, iterations=20)
  reference = KMeans(4, init=np.asarray(start), n_init=1, tol=0, algorithm="lloyd")
  reference.fit(x.astype(np.float64))
  np.testing.assert_array_equal(got.labels, reference.labels_)
  np.testing.assert_allclose(got.centroids, reference.cluster_centers_, atol=2e-4)


def test_it_starts_from_distinct_rows():
  x = jnp.arange(20.0)[:, None]
  start = ops.kmeans(KEY, x, clusters=20, iterations=0)
  np.testing.assert_allclose(np.sort(start.centroids, axis=0), x, atol=1e-5)
  assert sorted(start.labels.tolist()) == list(range(20))


def test_it_is_a_function_of_its_key():
  x = jnp.asarray(blobs(spread=3.0))
  one, same = (ops.kmeans(KEY, x, clusters=4, iterations=4) for _ in range(2))
  other = ops.kmeans(jax.random.key(1), x, clusters=4, iterations=4)
  np.testing.assert_array_equal(one.centroids, same.centroids)
  assert np.abs(one.centroids - other.centroids).max() > 0.01


def test_labels_are_by_the_final_centroids():
  x = blobs(spread=2.0)
  got = ops.kmeans(KEY, jnp.asarray(x), clusters=4, iterations=4)
  distances = np.linalg.norm(x[:, None] - got.centroids[None], axis=2)
  assert got.labels.dtype == jnp.int32
  np.testing.assert_array_equal(got.labels, distances.argmin(axis=1))


def test_an_empty_cluster_splits_the_largest():
  x = np.concatenate([np.zeros((6, 2)), 9 + blobs(30, 2, 1, spread=1.0)])
  x = jnp.asarray(x, jnp.float32)
  doubled = 0
  for seed in range(40):
    start = ops.kmeans(jax.random.key(seed), x, clusters=4, iterations=0).centroids
    if (np.abs(start).sum(axis=1) < 1e-5).sum() > 1:  # one of them will be empty
      got = ops.kmeans(jax.random.key(seed), x, clusters=4, iterations=10)
      sizes, doubled = np.bincount(got.labels, minlength=4), doubled + 1
      assert sizes.min() > 0 and sizes[got.labels[0]] == 6
  assert doubled > 3


def test_splitting_shares_out_one_cluster():
  counts = jnp.asarray([100.0, 0.0, 3.0, 0.0, 0.0])
  centroids = jnp.arange(10.0).reshape(5, 2)
  got = module._split(KEY, centroids, counts, jnp.float32(1.0))
  np.testing.assert_array_equal(got[jnp.array([0, 2])], centroids[jnp.array([0, 2])])
  near = np.abs(got[jnp.array([1, 3, 4])] - centroids[jnp.array([0, 2, 0])])
  assert near.min() > 0 and near.max() < 0.01
  assert np.abs(got[1] - got[4]).min() > 0


def test_equal_rows_give_finite_centroids():
  got = ops.kmeans(KEY, jnp.ones((5, 2)), clusters=3, iterations=4)
  np.testing.assert_allclose(got.centroids, 1.0)
  np.testing.assert_array_equal(got.labels, got.labels[0])


def test_spherical_is_deepcluster_v2s():
  x = blobs(spread=2.0)
  start = ops.spherical_kmeans(KEY, jnp.asarray(x), clusters=4, iterations=0)
  got = ops.spherical_kmeans(KEY, jnp.asarray(x), clusters=4, iterations=4)
  centroids, labels = loop_spherical(x, start.centroids, 4)
  np.testing.assert_allclose(got.centroids, centroids, atol=1e-5)
  np.testing.assert_array_equal(got.labels, labels)


def test_spherical_sees_directions_only():
  x = blobs(spread=1.0)
  lengths = np.random.default_rng(1).uniform(0.1, 9.0, (64, 1)).astype(np.float32)
  got = ops.spherical_kmeans(KEY, jnp.asarray(x), clusters=4, iterations=4)
  scaled = ops.spherical_kmeans(KEY, jnp.asarray(x * lengths), clusters=4, iterations=4)
  np.testing.assert_array_equal(got.labels, scaled.labels)
  np.testing.assert_allclose(np.linalg.norm(got.centroids, axis=1), 1.0, rtol=1e-5)


def test_spherical_keeps_the_centroid_of_an_empty_cluster():
  x = jnp.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  got = ops.spherical_kmeans(KEY, x, clusters=3, iterations=3)
  assert sorted(got.centroids.tolist()) == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]


def test_spherical_moves_empty_clusters_on_request():
  upwards = [[side / 10, 1.0] for side in range(-3, 3)]
  x = jnp.asarray([[1.0, 0.0], [1.0, 0.0], *upwards])
  options = {"clusters": 3, "iterations": 20}
  sizes = lambda found: np.bincount(found.labels, minlength=3)
  keys = jax.random.split(KEY, 20)  # some start from both of the equal rows
  kept = [sizes(ops.spherical_kmeans(k, x, **options)) for k in keys]
  moved = [sizes(ops.spherical_kmeans(k, x, **options, reseed=True)) for k in keys]
  assert min(map(min, kept)) == 0 and min(map(min, moved)) > 0


@pytest.mark.parametrize("cluster", [ops.kmeans, ops.spherical_kmeans])
def test_masked_rows_do_not_count(cluster):
  x = blobs(24, spread=1.0)
  garbage = np.full((8, 3), np.nan, np.float32)
  padded = jnp.asarray(np.concatenate([x, garbage]))
  mask = jnp.arange(32) < 24
  start = cluster(KEY, padded, clusters=5, iterations=0, mask=mask)
  assert all(np.abs(start.centroids[c]).max() < 99 for c in range(5))
  got = cluster(KEY, padded, clusters=5, iterations=4, mask=mask)
  assert np.isfinite(got.centroids).all()
  np.testing.assert_array_equal(got.labels[24:], -1)
  assert set(got.labels[:24].tolist()) == set(range(5))


@pytest.mark.parametrize("cluster", [ops.kmeans, ops.spherical_kmeans])
@pytest.mark.parametrize("distances", [1, 7 * 4])
def test_blocks_of_rows_change_nothing(cluster, distances, monkeypatch):
  x = jnp.asarray(blobs(spread=1.0))
  whole = cluster(KEY, x, clusters=4, iterations=4)
  monkeypatch.setattr(module, "DISTANCES", distances)
  got = cluster(KEY, x, clusters=4, iterations=4)
  np.testing.assert_array_equal(got.labels, whole.labels)
  np.testing.assert_allclose(got.centroids, whole.centroids, atol=1e-5)


def test_rows_may_be_spread_over_devices():
  x = jnp.asarray(blobs(spread=1.0))
  mesh = Mesh(np.array(jax.devices()), ("data",))
  sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
  got = ops.kmeans(KEY, sharded, clusters=4, iterations=4)
  whole = ops.kmeans(KEY, x, clusters=4, iterations=4)
  np.testing.assert_array_equal(got.labels, whole.labels)
  np.testing.assert_allclose(got.centroids, whole.centroids, atol=1e-5)


def test_all_of_imagenet_fits():
  n, dim, clusters = 1_281_167, 256, 10_000
  rows = module._block_rows(n, clusters)
  shapes = (
    jax.ShapeDtypeStruct(s, d) for s, d in [((n, dim), "float32"), ((n,), bool)]
  )
  settings = {"clusters": clusters, "iterations": 20, "rows": rows}
  compiled = module._kmeans.lower(KEY, *shapes, **settings).compile()
  used = compiled.memory_analysis().temp_size_in_bytes
  assert used < 4 * 4 * n * dim  # all distances at once would be 39 times the rows


@pytest.mark.parametrize("cluster", [ops.kmeans, ops.spherical_kmeans])
def test_it_refuses(cluster):
  x = jnp.ones((3, 2))
  with pytest.raises(InputError, match="3 rows are too few for 4 clusters"):
    cluster(KEY, x, clusters=4, iterations=1)
  with pytest.raises(InputError, match="2 rows are too few for 3 clusters"):
    cluster(KEY, x, clusters=3, iterations=1, mask=jnp.arange(3) < 2)
  with pytest.raises(InputError, match="clusters >= 1 and iterations >= 0, not 0"):
    cluster(KEY, x, clusters=0, iterations=1)
  with pytest.raises(AssertionError):
    cluster(KEY, jnp.ones(3), clusters=1, iterations=1)
