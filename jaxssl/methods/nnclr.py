"""NNCLR: the positive is the nearest neighbour of the other view, out of a queue."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.models.siamese import (
  apply_views,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
  target_net,
)
from jaxssl.ops import (
  check_queue_size,
  enqueue,
  l2_normalize,
  nearest_neighbours,
  random_queue,
)

PyTree = Any


class NnclrExtra(NamedTuple):
  """State of NNCLR beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    queue: [size, dim] unit projections of earlier first views.
    pointer: int32 [], the row of the queue that is overwritten next.
  """

  stats: PyTree
  queue: jax.Array
  pointer: jax.Array


def nnclr(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int = 98304,
  temperature: float = 0.1,
  contrast: Callable = losses.info_nce,
  block_size: int | None = None,
) -> Method:
  """NNCLR (Dwibedi et al., arXiv 2104.14548, section 3), the mean of both directions.

  Neighbours are looked up before the batch enters the queue. The metric
  `neighbour_cosine` near 1 says that the queue holds the images themselves: it is too
  large for the data set.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.
    queue_size: projections kept; a multiple of the batch.
    temperature: of the softmax.
    contrast: the loss; `functools.partial(losses.ring_info_nce, mesh=mesh)` goes
      round the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method.
  """
  target_net(net)  # raises without a predictor
  check_queue_size(queue_size)

  def init(key, batch):
    key_net, key_queue = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    return params, NnclrExtra(stats, *random_queue(key_queue, size=queue_size, dim=dim))

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply_views(net, params, extra.stats, crops, net_keys)
    z = tuple(stop_gradient(l2_normalize(e.projection)) for e in out)
    queue = stop_gradient(extra.queue)
    neighbours = tuple(queue[nearest_neighbours(x, queue)] for x in z)
    predictions = tuple(e.prediction for e in out)
    return (z[0], neighbours, predictions), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    z, (n_a, n_b), (p_a, p_b) = outputs
    options = {"temperature": temperature, "block_size": block_size}
    forth = contrast(n_a, p_b, **options).mean()
    back = contrast(n_b, p_a, **options).mean()
    queue, pointer = enqueue(extra.queue, extra.pointer, z)
    metrics = {"neighbour_cosine": jnp.sum(z * n_a, axis=1).mean()}
    extra = extra._replace(queue=queue, pointer=pointer)
    return (forth + back) / 2, (extra, metrics)

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode)
