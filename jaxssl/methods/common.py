"""The shapes that many methods share: two views and one net, a target, a queue."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.models.siamese import (
  apply,
  apply_still,
  apply_views,
  draw_views,
  fold_in_rows,
  init_on_views,
  make_encode,
  output_shapes,
  target_net,
  target_variables,
)
from jaxssl.ops import check_queue_size, enqueue, l2_normalize, random_queue

PyTree = Any


class Extra(NamedTuple):
  """State of a method that has no other than the net's batch statistics."""

  stats: PyTree


def check_index(batch: PyTree) -> None:
  """Raises InputError for a batch that doesn't say which examples it holds."""
  if "index" not in batch:
    raise InputError(
      "What is kept of each example needs 'index' [batch], its number in the data set."
    )


def two_view_method(
  net: nn.Module,
  views: Callable,
  *,
  outputs: Callable,
  loss: Callable,
  apply: Callable = apply_views,
) -> Method:
  """A method with one net and a loss on what it makes of all views.

  Args:
    net: called as `net(x, *, train, keys)`, returns an `Embedding`.
    views: (key, example) -> tuple of inputs.
    outputs: `Embedding` -> the arrays of one view that the loss compares.
    loss: one argument per view -> scalar loss.
    apply: `apply_views` or `apply_merged`.

  Returns:
    The method.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    embeddings, stats = apply(net, params, extra.stats, crops, net_keys)
    return tuple(outputs(e) for e in embeddings), Extra(stats)

  def objective(params, extra, embeddings, step):
    del params, step
    return loss(*embeddings), (extra, {})

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode)


class PatchErrors(NamedTuple):
  """The error of each example, of which some patches are asked for.

  Attributes:
    error: [batch], summed over the patches asked for.
    count: [batch], number of these patches.
  """

  error: jax.Array
  count: jax.Array


def mean_over_patches(total: jax.Array, count: jax.Array) -> jax.Array:
  """The mean over all patches asked for in a batch, 0 if there is none."""
  return total.sum() / jnp.maximum(count.sum(), 1.0)


class TargetExtra(NamedTuple):
  """State of a method whose targets come from a moving average of the net.

  Attributes:
    stats: the online net's batch statistics.
    target: moving average of the online encoder's and projector's parameters.
    target_stats: the target's batch statistics, from its own passes.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree


def without(scores: jax.Array, absent: jax.Array) -> jax.Array:
  """Returns scores in which negatives that are absent count for nothing.

  Args:
    scores: [..., 1 + negatives], the positive first.
    absent: bool, True for those; broadcast to [..., negatives].
  """
  others = jnp.where(absent, -jnp.inf, scores[..., 1:])
  return jnp.concatenate([scores[..., :1], others], axis=-1)


def target_method(
  net: nn.Module, views: Callable, *, loss: Callable, momentum: Callable
) -> Method:
  """Two views; each one's prediction is compared with the other's target projection.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.
    loss: (prediction, target projection) -> [batch]; the method adds both directions.
    momentum: step -> momentum of the target's move at the end of that step.

  Returns:
    The method; its state is a `TargetExtra`.
  """
  slow_net = target_net(net)

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, TargetExtra(stats, *target_variables(params, stats))

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    online, stats = apply_views(net, params, extra.stats, crops, net_keys)
    target, target_stats = apply_views(
      slow_net, extra.target, extra.target_stats, crops, net_keys
    )
    predictions = tuple(e.prediction for e in online)
    targets = tuple(stop_gradient(e.projection) for e in target)
    return (predictions, targets), TargetExtra(stats, extra.target, target_stats)

  def objective(params, extra, outputs, step):
    del params, step
    (p_a, p_b), (t_a, t_b) = outputs
    return loss(p_a, t_b).mean() + loss(p_b, t_a).mean(), (extra, {})

  def update(params, extra, step):
    return params, move_target(params, extra, momentum(step))

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)


def move_target(params: PyTree, extra: Any, momentum: jax.Array | float) -> Any:
  """Returns `extra` with its `target` moved towards the parameters that it copies."""
  online = {name: params[name] for name in extra.target}
  target = optax.incremental_update(online, extra.target, 1.0 - momentum)
  return extra._replace(target=target)


class QueueExtra(NamedTuple):
  """State of a method that compares with the keys of earlier batches.

  Attributes:
    stats: the query encoder's batch statistics.
    target: moving average of the parameters: the key encoder.
    target_stats: the key encoder's batch statistics, from its own passes; with EMAN a
      moving average of the query encoder's.
    queue: [size, dim] unit keys of earlier batches.
    pointer: int32 [], the row of the queue that is overwritten next.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree
  queue: jax.Array
  pointer: jax.Array


def queue_method(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int,
  momentum: float,
  loss: Callable,
  eman: bool = False,
) -> Method:
  """A query of the net, a key of its moving average, and a queue of earlier keys.

  The key encoder moves "before the forward of the next step"; here that is the end
  of this one.

  Args:
    net: encoder and projector.
    views: (key, example) -> two inputs: query and key.
    queue_size: keys kept; a multiple of the batch.
    momentum: of the key encoder.
    loss: (query, key, queue) -> [batch]; the last two are unit rows without gradient.
    eman: whether the key encoder normalises by a moving average of the query encoder's
      statistics, with the same momentum (EMAN, arXiv 2101.08482), not by its batch.

  Returns:
    The method; its state is a `QueueExtra`.
  """
  check_queue_size(queue_size)

  def init(key, batch):
    key_net, key_queue = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    queue, pointer = random_queue(key_queue, size=queue_size, dim=dim)
    target, target_stats = jax.tree.map(jnp.copy, (params, stats))
    return params, QueueExtra(stats, target, target_stats, queue, pointer)

  def forward(params, extra, batch, keys, step):
    del step
    (first, second), net_keys = draw_views(views, keys, batch["input"])
    query, stats = apply(net, params, extra.stats, first, fold_in_rows(net_keys, 0))
    key, target_stats = look(extra, second, fold_in_rows(net_keys, 1))
    outputs = query.projection, stop_gradient(l2_normalize(key.projection))
    return outputs, extra._replace(stats=stats, target_stats=target_stats)

  def objective(params, extra, outputs, step):
    del params, step
    query, key = outputs
    rows = loss(query, key, stop_gradient(extra.queue))
    queue, pointer = enqueue(extra.queue, extra.pointer, key)
    return rows.mean(), (extra._replace(queue=queue, pointer=pointer), {})

  def look(extra, view, keys):
    if not eman:
      return apply(net, extra.target, extra.target_stats, view, keys)
    key = apply_still(net, extra.target, extra.target_stats, view)
    return key, extra.target_stats

  def update(params, extra, step):
    del step
    if eman:
      old, new = extra.target_stats, extra.stats
      moved = optax.incremental_update(new, old, 1.0 - momentum)
      extra = extra._replace(target_stats=moved)
    return params, move_target(params, extra, momentum)

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)


def frozen_until(step: jax.Array, start: int, tree: PyTree) -> PyTree:
  """Cuts the gradient to `tree` while `step < start` (prototypes, last layers)."""
  return jax.tree.map(lambda x: jnp.where(step < start, stop_gradient(x), x), tree)


def projection(embedding):
  """What most losses compare: the projector's output."""
  return embedding.projection
