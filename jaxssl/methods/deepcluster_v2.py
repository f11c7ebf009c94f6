"""DeepCluster-v2: prototypes are the k-means centroids of last epoch's embeddings."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import check_index
from jaxssl.methods.deepcluster import check_clusters
from jaxssl.models.siamese import (
  apply_multicrop,
  apply_still,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import l2_normalize, spherical_kmeans

PyTree = Any
REMEMBERED = 2  # views whose projections are clustered


class DeepClusterV2Extra(NamedTuple):
  """State of DeepCluster-v2 beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    memory: [2, examples, dim], each example's last projections of two views.
    labels: int32 [heads, examples], each example's cluster.
    prototypes: [heads, clusters, dim], the centroids; never trained.
  """

  stats: PyTree
  memory: jax.Array
  labels: jax.Array
  prototypes: jax.Array


def deepcluster_v2(
  net: nn.Module,
  views: Callable,
  *,
  examples: int,
  clusters: int = 3000,
  heads: int = 3,
  temperature: float = 0.1,
  iterations: int = 10,
) -> Method:
  """DeepCluster-v2 (Caron et al., arXiv 2006.09882, its improved baseline).

  Between epochs spherical k-means runs on the remembered projections, once per head;
  heads take the two memories in turn. Its centroids are the prototypes of the epoch.
  The memory is filled with projections of the unaugmented images before the first
  epoch (the official code: of augmented ones) and overwritten as the epoch goes.

  Args:
    net: encoder and projector.
    views: (key, example) -> inputs; the first two are remembered, sizes may differ.
    examples: in the training set; `index` counts them.
    clusters: of each head, 2 or more and at most `examples`.
    heads: number of clusterings.
    temperature: of the softmax over prototypes.
    iterations: of k-means.

  Returns:
    The method; its batches need `index`, and `refresh` must run before each epoch.

  Raises:
    InputError: for more clusters than examples, fewer than 2, or no head.
  """
  check_clusters(clusters, examples, heads=heads)

  def init(key, batch):
    check_index(batch)
    key_net, key_rows = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    rows = l2_normalize(jax.random.normal(key_rows, (heads, clusters, dim)))
    labels = jnp.arange(examples, dtype=jnp.int32) % clusters
    memory = jnp.zeros((REMEMBERED, examples, dim))
    extra = DeepClusterV2Extra(stats, memory, jnp.tile(labels[None], (heads, 1)), rows)
    return params, extra

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply_multicrop(net, params, extra.stats, crops, net_keys)
    z = tuple(l2_normalize(e.projection) for e in out)
    return (z, batch["index"]), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    z, index = outputs
    rows = stop_gradient(extra.prototypes)
    loss = sum(
      _crop_loss(x, rows, extra.labels[:, index], temperature) for x in z
    ) / len(z)
    new = stop_gradient(jnp.stack(z[:REMEMBERED]))
    memory = extra.memory.at[:, index].set(new)
    return loss, (extra._replace(memory=memory), {})

  @jax.jit
  def project(params, extra, inputs):
    return l2_normalize(apply_still(net, params, extra.stats, inputs).projection)

  @jax.jit
  def cluster(key, memory):
    found = [
      spherical_kmeans(
        jax.random.fold_in(key, head),
        memory[head % REMEMBERED],
        clusters=clusters,
        iterations=iterations,
      )
      for head in range(heads)
    ]
    return jax.tree.map(lambda *x: jnp.stack(x), *found)

  def refresh(state, batches, key):
    extra = state.extra
    if int(state.step) == 0:
      parts = [project(state.params, extra, b["input"]) for b, _ in batches]
      first = jnp.concatenate(parts)[:examples]
      extra = extra._replace(memory=jnp.stack([first] * REMEMBERED))
    found = cluster(key, extra.memory)
    extra = extra._replace(labels=found.labels, prototypes=found.centroids)
    return state._replace(extra=extra)

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, refresh=refresh)


def _crop_loss(z, prototypes, labels, temperature):
  """Mean over heads and rows of the cross-entropy of one view."""
  clusters = prototypes.shape[1]
  rows = [
    losses.swav(z @ c.T, jax.nn.one_hot(label, clusters), temperature=temperature)
    for c, label in zip(prototypes, labels, strict=True)
  ]
  return jnp.mean(jnp.stack(rows))
