"""An encoder that was made for evaluation, called as in training."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.layers import BatchNorm, DropPath, drop_rates, row_mask

NORMS = (BatchNorm, nn.BatchNorm)


def in_training(encode: Callable, *, drop_path: float) -> Callable:
  """Makes batch norm use the batch, and switches stochastic depth on.

  `Method.encode` calls its nets in evaluation mode. Here every `BatchNorm` in them
  (this library's and flax's) normalises by the batch, and its running statistics
  move. They do so by their gradient: that of a move is the old value minus the new
  one, so that a step of plain SGD with rate 1 is the update.

  Args:
    encode: (variables, inputs) -> features [batch, dim] of flax modules; a plain
      function, neither jitted nor mapped, since the modules are reached as it runs.
    drop_path: stochastic depth of the last residual branch, linear from 0 at the
      first; in place of what the net was made with.

  Returns:
    (variables, inputs, key) -> features [batch, dim], moves: one scalar a batch norm,
    to be added to the loss.
  """

  def train(variables, inputs, key):
    branches = _branches(encode, variables, inputs) if drop_path else 0
    moves, rates = [], iter(drop_rates(drop_path, branches))
    with nn.intercept_methods(_trainer(moves, rates, _endless(key))):
      return encode(variables, inputs), moves

  return train


def _endless(key):
  """Yields keys without end, each a fold of `key`."""
  count = 0
  while True:
    yield jax.random.fold_in(key, count)
    count += 1


def _trainer(moves, rates, keys):
  """Calls the modules that are not the same in training as training calls them."""

  def intercept(call, args, kwargs, context):
    module = context.module
    inside = context.method_name == "__call__" and module.path  # a root is a rerun
    if inside and isinstance(module, NORMS):
      out, move = _train_norm(module, *args[:1])
      moves.append(move)
      return out
    if inside and isinstance(module, DropPath) and (rate := next(rates, 0.0)):
      return _drop_branch(next(keys), args[0], rate)
    return call(*args, **kwargs)

  return intercept


def _train_norm(module, x):
  """Output of a batch norm in training, and the scalar that moves its statistics."""
  old = module.variables["batch_stats"]
  fixed = {**module.variables, "batch_stats": jax.lax.stop_gradient(old)}
  if isinstance(module, BatchNorm):
    alone, mode = module.clone(parent=None), {"train": True}
  else:
    alone = module.clone(parent=None, use_running_average=None)
    mode = {"use_running_average": False}
  out, new = alone.apply(fixed, x, **mode, mutable="batch_stats")
  moved = jax.lax.stop_gradient(new["batch_stats"])
  halves = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2) / 2, old, moved)
  return out, sum(jax.tree.leaves(halves))


def _drop_branch(key, x, rate):
  keys = jax.random.split(key, len(x))
  kept = row_mask(keys, shape=(1,) * (x.ndim - 1), rate=1 - rate)
  return jnp.where(kept, x / (1 - rate), jnp.zeros_like(x))


def _branches(encode, variables, inputs):
  """How many residual branches with stochastic depth a call runs through."""
  found = []

  def count(call, args, kwargs, context):
    if isinstance(context.module, DropPath) and context.method_name == "__call__":
      found.append(context.module.path)
    return call(*args, **kwargs)

  with nn.intercept_methods(count):
    jax.eval_shape(lambda v, x: encode(v, x), variables, inputs)
  return len(found)
