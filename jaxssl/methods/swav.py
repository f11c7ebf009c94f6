"""SwAV: a view predicts the prototype codes of another view of the same image."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import evals, losses
from jaxssl.core import Method
from jaxssl.methods.common import frozen_until
from jaxssl.methods.prototypes import check_balanced, check_prototypes
from jaxssl.models.siamese import (
  apply_multicrop,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import check_queue_size, enqueue, l2_normalize, random_queue, sinkhorn

PyTree = Any
ASSIGNING = 2  # the first two views give the codes


class SwavExtra(NamedTuple):
  """State of SwAV beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    queue: [2, size, dim] unit projections of earlier assigning views; None without.
    pointer: int32 [], the row that is overwritten next; None without a queue.
  """

  stats: PyTree
  queue: jax.Array | None
  pointer: jax.Array | None


def swav(
  net: nn.Module,
  views: Callable,
  *,
  prototypes: int = 3000,
  temperature: float = 0.1,
  epsilon: float = 0.05,
  iterations: int = 3,
  queue_size: int | None = None,
  queue_start: int = 0,
  freeze_steps: int = 0,
) -> Method:
  """SwAV (Caron et al., arXiv 2006.09882, equations 2 and 3), with multi-crop.

  Codes are the Sinkhorn assignment of the global batch, in the log domain; the
  official code exponentiates raw scores, which is the same until it overflows.
  Prototypes are unit rows after every step, the frozen ones too.

  Args:
    net: encoder and projector.
    views: (key, example) -> inputs; the first two give the codes, sizes may differ.
    prototypes: number of prototypes, 2 or more.
    temperature: of the predicted distribution.
    epsilon: of the Sinkhorn iteration; larger is smoother.
    iterations: of Sinkhorn.
    queue_size: projections of earlier batches that widen the Sinkhorn problem, a
      multiple of the batch (3,840 for a batch of 256); None has no queue.
    queue_start: step from which the queue is used; it fills from the start.
    freeze_steps: first steps without gradient to the prototypes (one epoch).

  Returns:
    The method.

  Raises:
    InputError: for fewer than 2 prototypes.
  """
  check_prototypes(prototypes)
  if queue_size is not None:
    check_queue_size(queue_size)

  def init(key, batch):
    key_net, key_prototypes, key_queue = jax.random.split(key, 3)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    rows = l2_normalize(jax.random.normal(key_prototypes, (prototypes, dim)))
    queue = (None, None) if queue_size is None else _queues(key_queue, queue_size, dim)
    return {"net": params, "prototypes": rows}, SwavExtra(stats, *queue)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply_multicrop(net, params["net"], extra.stats, crops, net_keys)
    z = tuple(l2_normalize(e.projection) for e in out)
    return z, extra._replace(stats=stats)

  def objective(params, extra, z, step):
    rows = frozen_until(step, freeze_steps, params["prototypes"])
    scores = [x @ rows.T for x in z]
    if extra.queue is None:
      check_balanced(z[0])
      old = [None] * ASSIGNING
    else:
      old = stop_gradient(extra.queue)
    codes = [
      _codes(scores[i], old[i], rows, step >= queue_start, epsilon, iterations)
      for i in range(ASSIGNING)
    ]
    loss = _swapped(scores, codes, temperature)
    entropy = evals.prototype_entropy(codes[0])
    return loss, (_remember(extra, z), {"prototype_entropy": entropy})

  def update(params, extra, step):
    del step
    return {**params, "prototypes": l2_normalize(params["prototypes"])}, extra

  encode = make_encode(net, lambda params, extra: (params["net"], extra.stats))
  return Method(init, forward, objective, encode, update)


def _queues(key, size, dim):
  keys = jax.random.split(key, ASSIGNING)
  queues = [random_queue(k, size=size, dim=dim) for k in keys]
  return jnp.stack([queue for queue, _ in queues]), queues[0][1]


def _codes(scores, old, rows, warm, epsilon, iterations):
  """The codes of a batch; from step `queue_start` on the queue takes part."""
  scores = stop_gradient(scores)
  if old is None:
    return sinkhorn(scores, epsilon=epsilon, iterations=iterations)
  joined = jnp.concatenate([old @ stop_gradient(rows).T, scores])
  mask = (jnp.arange(len(joined)) >= len(old)) | warm
  codes = sinkhorn(joined, epsilon=epsilon, iterations=iterations, mask=mask)
  return codes[len(old) :]


def _swapped(scores, codes, temperature):
  """Mean over assigning views of the mean over all other views."""
  pairs = [
    losses.swav(scores[v], code, temperature=temperature).mean()
    for i, code in enumerate(codes)
    for v in range(len(scores))
    if v != i
  ]
  return sum(pairs) / len(pairs)


def _remember(extra, z):
  if extra.queue is None:
    return extra
  rows = [stop_gradient(x) for x in z[:ASSIGNING]]
  pairs = [enqueue(extra.queue[i], extra.pointer, x) for i, x in enumerate(rows)]
  queue = jnp.stack([queue for queue, _ in pairs])
  return extra._replace(queue=queue, pointer=pairs[0][1])
