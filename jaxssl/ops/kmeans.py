"""K-means of many rows into many clusters: jitted, a block of rows at a time.

Rows and centroids meet in a [rows of a block, clusters] matrix of bounded size, so
that 1.28M rows x 10,000 clusters (DeepCluster) never exist at once. Sums are matrix
products and not scatters, so that equal input gives equal output on every run.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize

DISTANCES = 2**24  # at once, in a block of rows: 64 MiB
SPLIT = 1.0 / 1024.0  # how far a split moves a centroid, in spreads of the data


class Clusters(NamedTuple):
  """What k-means found.

  Attributes:
    centroids: float32 [clusters, dim].
    labels: int32 [n], the nearest centroid of each row; -1 for masked rows.
  """

  centroids: jax.Array
  labels: jax.Array


def kmeans(
  key: jax.Array,
  x: jax.Array,
  *,
  clusters: int,
  iterations: int,
  mask: jax.Array | None = None,
) -> Clusters:
  """Euclidean k-means by Lloyd's iterations, as DeepCluster runs it.

  Caron et al., arXiv 1807.05520. It starts from distinct random rows. A cluster that
  became empty is re-seeded as the k-means of the official code does it: beside the
  centroid of a large cluster, which it splits; the largest splits first.

  Args:
    key: PRNG key of the start and of the splits.
    x: rows, [n, dim].
    clusters: how many, at most n.
    iterations: of assignment and mean; 20 in DeepCluster, and 0 gives the start.
    mask: [n], 1 (or True) for rows that count, as many as clusters; None: all.

  Returns:
    The centroids, and the labels by these centroids. A cluster can be empty if the
    last iteration re-seeded it in vain, as when fewer rows than clusters differ.

  Raises:
    InputError: if there are fewer rows than clusters (under `jit`, that count does
      not see the mask), or the numbers are out of range.
  """
  real = _check(x, mask, clusters, iterations)
  rows = _block_rows(len(x), clusters)
  return _kmeans(key, x, real, clusters=clusters, iterations=iterations, rows=rows)


def spherical_kmeans(
  key: jax.Array,
  x: jax.Array,
  *,
  clusters: int,
  iterations: int,
  mask: jax.Array | None = None,
  reseed: bool = False,
) -> Clusters:
  """K-means on the unit sphere by cosine, as DeepCluster-v2 runs it.

  Caron et al., arXiv 2006.09882, `cluster_memory` of the official code: it starts from
  distinct random rows, centroids are l2-normalised sums, and a cluster that became
  empty keeps its centroid, unless `reseed` moves it beside that of a large one.

  Args:
    key: PRNG key of the start.
    x: rows, [n, dim], of any length.
    clusters: how many, at most n.
    iterations: of assignment and mean; 10 in DeepCluster-v2, and 0 gives the start.
    mask: [n], 1 (or True) for rows that count, as many as clusters; None: all.
    reseed: whether empty clusters move, as those of `kmeans` do.

  Returns:
    Unit centroids, and the labels by these centroids.

  Raises:
    InputError: if there are fewer rows than clusters (under `jit`, that count does
      not see the mask), or the numbers are out of range.
  """
  real = _check(x, mask, clusters, iterations)
  rows = _block_rows(len(x), clusters)
  options = {"clusters": clusters, "iterations": iterations, "rows": rows}
  return _spherical(key, x, real, **options, reseed=reseed)


STATIC = ("clusters", "iterations", "rows")
_jit = functools.partial(jax.jit, static_argnames=STATIC)


@_jit
def _kmeans(key, x, real, *, clusters, iterations, rows):
  key_start, key_split = jax.random.split(key)
  center, spread = _moments(x, real)

  def prepare(block):  # distances are exact only near the origin
    return block.astype(jnp.float32) - center[None]

  def update(i, centroids, sums, counts):
    del centroids
    means = sums / jnp.maximum(counts, 1.0)[:, None]
    return _split(jax.random.fold_in(key_split, i), means, counts, spread)

  start = prepare(_random_rows(key_start, x, real, clusters))
  blocks = _blocks(x, real, rows)
  centroids, labels = _lloyd(prepare, update, blocks, start, iterations)
  return Clusters(centroids + center[None], labels[: len(x)])


@functools.partial(jax.jit, static_argnames=(*STATIC, "reseed"))
def _spherical(key, x, real, *, clusters, iterations, rows, reseed):
  def prepare(block):
    return l2_normalize(block.astype(jnp.float32))

  def update(i, centroids, sums, counts):
    means = jnp.where(counts[:, None] > 0, l2_normalize(sums), centroids)
    if not reseed:
      return means
    return l2_normalize(_split(jax.random.fold_in(key, i), means, counts, spread))

  _, spread = _moments(prepare(x), real)

  start = prepare(_random_rows(key, x, real, clusters))
  blocks = _blocks(x, real, rows)
  centroids, labels = _lloyd(prepare, update, blocks, start, iterations)
  return Clusters(centroids, labels[: len(x)])


def _lloyd(prepare, update, blocks, start, iterations):
  """Alternates assignment and `update`; returns centroids and their labels."""

  def iterate(i, centroids):
    sums, counts, _ = _assign(prepare, blocks, centroids)
    return update(i, centroids, sums, counts)

  centroids = jax.lax.fori_loop(0, iterations, iterate, start)
  return centroids, _assign(prepare, blocks, centroids)[2]


def _assign(prepare, blocks, centroids):
  """Sums [clusters, dim] and counts [clusters] of the rows, and their labels."""
  half_squares = jnp.sum(jnp.square(centroids), axis=1) / 2.0

  def visit(carry, i):
    rows, real = (jax.lax.dynamic_index_in_dim(b, i, 1, False) for b in blocks)
    rows = jnp.where(real[:, None], prepare(rows), 0.0)
    distances = half_squares[None] - _product(rows, centroids.T)
    labels = jnp.where(real, jnp.argmin(distances, axis=1).astype(jnp.int32), -1)
    members = jax.nn.one_hot(labels, len(centroids), dtype=jnp.float32)
    sums, counts = carry
    return (sums + _product(members.T, rows), counts + jnp.sum(members, 0)), labels

  carry = jnp.zeros_like(centroids), jnp.zeros_like(half_squares)
  (sums, counts), labels = jax.lax.scan(visit, carry, jnp.arange(blocks[0].shape[1]))
  return sums, counts, labels.T.reshape(-1)


def _product(a, b):
  return jnp.matmul(a, b, precision="highest")


def _split(key, centroids, counts, spread):
  """Moves the centroids of empty clusters beside those of the largest."""
  empty = counts == 0
  largest = jnp.argsort(-counts)
  donors = jnp.maximum(jnp.sum(counts > 1), 1)
  donor = largest[(jnp.cumsum(empty) - 1) % donors]
  offset = SPLIT * spread * jax.random.normal(key, centroids.shape)
  return jnp.where(empty[:, None], centroids[donor] + offset, centroids)


def _moments(x, real):
  """Mean [dim] of the rows that count, and their spread about it in all dims."""
  weights = real.astype(jnp.float32)[:, None]
  total = jnp.maximum(jnp.sum(weights), 1.0)
  x = jnp.where(real[:, None], x.astype(jnp.float32), 0.0)
  center = jnp.sum(x, axis=0) / total
  square = jnp.sum(jnp.square(x - center[None]) * weights) / (total * x.shape[1])
  return center, jnp.sqrt(square)


def _random_rows(key, x, real, clusters):
  """Distinct random rows; with too few that count, the first of them again."""
  draws = jnp.where(real, jax.random.uniform(key, real.shape), -1.0)
  draws, index = jax.lax.top_k(draws, clusters)
  return x[jnp.where(draws >= 0, index, index[0])]


def _block_rows(n, clusters):
  """Rows of a block, so that blocks are alike and none is too large."""
  count = -(-n * clusters // DISTANCES)
  return -(-n // count)


def _blocks(x, real, rows):
  """[n, ...] -> [rows, blocks, ...], where block i is [:, i].

  Strided blocks: of rows that are sharded over devices, every device has some of
  every block.
  """

  def fold(a):
    a = jnp.pad(a, [(0, -len(a) % rows)] + [(0, 0)] * (a.ndim - 1))
    return a.reshape(rows, -1, *a.shape[1:])

  return fold(x), fold(real)


def _check(x, mask, clusters, iterations):
  """Raises on input that cannot work; returns the mask as bool [n]."""
  chex.assert_rank(x, 2)
  # numpy has no device: it goes with rows that several processes share
  real = np.ones(len(x), bool) if mask is None else jnp.asarray(mask).astype(bool)
  chex.assert_shape(real, (len(x),))
  if clusters < 1 or iterations < 0:
    raise InputError(
      "k-means needs clusters >= 1 and iterations >= 0, not "
      f"{clusters} and {iterations}."
    )
  rows = len(x) if isinstance(real, jax.core.Tracer) else int(real.sum())
  if rows < clusters:
    raise InputError(f"{rows} rows are too few for {clusters} clusters.")
  return real
