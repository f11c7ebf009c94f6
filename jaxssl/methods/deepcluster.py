"""DeepCluster: classify images into the clusters that k-means found in the features."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import check_index
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import kmeans, l2_normalize

PyTree = Any


class DeepClusterExtra(NamedTuple):
  """State of DeepCluster beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    labels: int32 [examples], each example's cluster, by `index`.
    weights: [examples], what makes clusters count alike: examples / (size of the
      example's cluster * clusters that are not empty).
  """

  stats: PyTree
  labels: jax.Array
  weights: jax.Array


def deepcluster(
  net: nn.Module,
  views: Callable,
  *,
  examples: int,
  clusters: int = 10_000,
  components: int = 256,
  iterations: int = 20,
) -> Method:
  """DeepCluster (Caron et al., arXiv 1807.05520, section 3).

  Between epochs the projections of the unaugmented images are reduced to
  `components` by PCA with whitening, normalised and clustered by k-means from a new
  random start; the linear layer on top starts anew from a normal of 0.01. The official
  code samples uniformly over clusters; here that expectation is a weight of the loss.

  The paper trains the layer "top" by SGD without momentum, so that nothing of the
  last epoch's layer is left: `optim.by_part({"top": optax.sgd(rate)}, rest)`.

  Args:
    net: encoder and projector; the projection is clustered and classified.
    views: (key, example) -> one input (a tuple of one).
    examples: in the training set; `index` counts them.
    clusters: of k-means, 2 or more and at most `examples`.
    components: kept by PCA.
    iterations: of k-means.

  Returns:
    The method; its batches need `index`, and `refresh` must run before each epoch.

  Raises:
    InputError: for more clusters than examples, or fewer than 2.
  """
  check_clusters(clusters, examples)

  def init(key, batch):
    check_index(batch)
    key_net, key_top = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    labels = jnp.arange(examples, dtype=jnp.int32) % clusters
    extra = DeepClusterExtra(stats, labels, jnp.ones(examples))
    return {"net": params, "top": _top(key_top, dim, clusters)}, extra

  def forward(params, extra, batch, keys, step):
    del step
    (view,), net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply(net, params["net"], extra.stats, view, net_keys)
    top, index = params["top"], batch["index"]
    logits = nn.relu(out.projection) @ top["kernel"] + top["bias"][None]
    rows = optax.softmax_cross_entropy_with_integer_labels(logits, extra.labels[index])
    return rows * extra.weights[index], extra._replace(stats=stats)

  def objective(params, extra, rows, step):
    del params, step
    return rows.mean(), (extra, {})

  @jax.jit
  def project(params, extra, inputs):
    return apply_still(net, params["net"], extra.stats, inputs).projection

  @jax.jit
  def assign(key, features):
    x = l2_normalize(whitened(features, components))
    labels = kmeans(key, x, clusters=clusters, iterations=iterations).labels
    return labels, cluster_weights(labels, clusters)

  def refresh(state, batches, key):
    key_top, key_means = jax.random.split(key)
    parts = [project(state.params, state.extra, b["input"]) for b, _ in batches]
    features = jnp.concatenate(parts)[:examples]
    labels, weights = assign(key_means, features)
    top = _top(key_top, features.shape[1], clusters)
    place = lambda new, old: jax.device_put(new, old.sharding)  # one trace of the step
    top = jax.tree.map(place, top, state.params["top"])
    extra = state.extra._replace(labels=labels, weights=weights)
    return state._replace(params={**state.params, "top": top}, extra=extra)

  encode = make_encode(net, lambda params, extra: (params["net"], extra.stats))
  return Method(init, forward, objective, encode, refresh=refresh)


def check_clusters(clusters: int, examples: int, *, heads: int = 1) -> None:
  """Raises InputError unless there are 2 clusters or more, and enough examples."""
  if heads < 1:
    raise InputError(f"Clusters are made for at least 1 head, not for {heads}.")
  if not 2 <= clusters <= examples:
    raise InputError(
      f"{clusters} clusters of {examples} examples: there must be at least 2 clusters, "
      "and at least as many examples as clusters."
    )


def cluster_weights(labels: jax.Array, clusters: int) -> jax.Array:
  """Weights [n] with which every cluster that is not empty counts the same, mean 1."""
  sizes = jnp.bincount(labels, length=clusters)
  used = jnp.sum(sizes > 0)
  return labels.shape[0] / (sizes[labels] * used).astype(jnp.float32)


def whitened(x: jax.Array, components: int) -> jax.Array:
  """PCA with whitening: [n, dim] -> [n, min(components, dim)] of unit covariance."""
  x = x - jnp.mean(x, axis=0, keepdims=True)
  covariance = jnp.matmul(x.T, x, precision="highest") / x.shape[0]
  values, vectors = jnp.linalg.eigh(covariance)
  values, vectors = values[-components:], vectors[:, -components:]
  scale = jax.lax.rsqrt(jnp.maximum(values, 1e-5 * values[-1] + 1e-12))
  return jnp.matmul(x, vectors, precision="highest") * scale[None]


def _top(key, dim, clusters):
  kernel = 0.01 * jax.random.normal(key, (dim, clusters))
  return {"kernel": kernel, "bias": jnp.zeros(clusters)}
