"""MoCo v2: a query finds its key, of a momentum encoder, in a queue of old keys."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.models.siamese import (
  apply,
  draw_views,
  fold_in_rows,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import enqueue, l2_normalize, random_queue

PyTree = Any


class MocoExtra(NamedTuple):
  """State of MoCo beside the parameters.

  Attributes:
    stats: the query encoder's batch statistics.
    target: moving average of the parameters: the key encoder.
    target_stats: the key encoder's batch statistics, from its own passes.
    queue: [size, dim] unit keys of earlier batches.
    pointer: int32 [], the row of the queue that is overwritten next.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree
  queue: jax.Array
  pointer: jax.Array


def moco_v2(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int = 65536,
  momentum: float = 0.999,
  temperature: float = 0.2,
  block_size: int | None = None,
) -> Method:
  """MoCo v2 (He et al., arXiv 1911.05722, equation 1; Chen et al., 2003.04297).

  The key encoder moves "before the forward of the next step"; here that is the end
  of this one. Batch norm sees the global batch, so the official code's shuffling
  of keys between devices, which hides per-device statistics, has nothing to hide.

  Args:
    net: encoder and projector (Linear, ReLU, Linear in the paper).
    views: (key, example) -> two inputs: query and key.
    queue_size: keys kept; a multiple of the batch.
    momentum: of the key encoder.
    temperature: of the softmax; 0.07 in version 1.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method.
  """

  def init(key, batch):
    key_net, key_queue = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    queue, pointer = random_queue(key_queue, size=queue_size, dim=dim)
    target, target_stats = jax.tree.map(jnp.copy, (params, stats))
    return params, MocoExtra(stats, target, target_stats, queue, pointer)

  def forward(params, extra, batch, keys, step):
    del step
    (first, second), net_keys = draw_views(views, keys, batch["input"])
    query, stats = apply(net, params, extra.stats, first, fold_in_rows(net_keys, 0))
    key, target_stats = apply(
      net, extra.target, extra.target_stats, second, fold_in_rows(net_keys, 1)
    )
    outputs = query.projection, stop_gradient(l2_normalize(key.projection))
    return outputs, extra._replace(stats=stats, target_stats=target_stats)

  def objective(params, extra, outputs, step):
    del params, step
    query, key = outputs
    old = stop_gradient(extra.queue)
    rows = losses.info_nce(
      query, key, old, temperature=temperature, block_size=block_size
    )
    queue, pointer = enqueue(extra.queue, extra.pointer, key)
    return rows.mean(), (extra._replace(queue=queue, pointer=pointer), {})

  def update(params, extra, step):
    del step
    target = optax.incremental_update(params, extra.target, 1.0 - momentum)
    return params, extra._replace(target=target)

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)
