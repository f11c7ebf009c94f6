"""A `Method` is a few pure functions, a `TrainState` is data, one step runs both.

A self-supervised method is two questions. What does each example become (`forward`,
row by row: augment, encode)? And what do the examples say to each other
(`objective`, all rows at once: negatives, correlations, queues)? From that split
follow, for every method, a step on one device, on a mesh, under `pmap`, in
micro-batches, several in one dispatch, and many runs as one program.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxssl.data.loader import take
from jaxssl.errors import InputError
from jaxssl.mesh import replicated, rows_sharded
from jaxssl.ops.sharding import traced_for

PyTree = Any
Step = Callable[..., tuple["TrainState", dict]]


class TrainState(NamedTuple):
  """All that a run needs to go on; all of it is checkpointed.

  Attributes:
    step: int32 [], optimiser steps done.
    key: PRNG key of the run; row `i` of step `s` draws from
      `fold_in(fold_in(key, s), i)`, on any number of devices.
    params: what the optimiser changes.
    opt_state: the optimiser's own.
    extra: the method's own: batch statistics, EMA target, queue, centre...
  """

  step: jax.Array
  key: jax.Array
  params: PyTree
  opt_state: PyTree
  extra: PyTree


def _keep(params, extra, step):
  del step
  return params, extra


class Method(NamedTuple):
  """A self-supervised method as pure functions.

  Attributes:
    init: (key, batch) -> params, extra. Sees shapes only.
    forward: (params, extra, batch, keys, step) -> outputs, extra. Row by row, with
      one key per row; may change batch statistics in `extra` and nothing else.
    objective: (params, extra, outputs, step) -> loss, (extra, metrics). The rows
      meet; what rows write (queue, bank, centre) changes here.
    encode: (params, extra, batch, *, patches=False) -> features, [batch, dim].
    update: (params, extra, step) -> params, extra, after the optimiser: EMA target.
    refresh: (state, batches, key) -> state, between epochs, outside jit; or None.
    show: (params, extra, batch, keys) -> {"original | rebuilt": images, ...} for the
      report, [rows, columns, height, width, channels] in [0, 1]; pure; or None.
    decode: (params, extra, tokens) -> images in [0, 1], of a method whose patches are
      tokens, int32 [batch, patches] (a discrete VAE); or None.
  """

  init: Callable
  forward: Callable
  objective: Callable
  encode: Callable
  update: Callable = _keep
  refresh: Callable | None = None
  show: Callable | None = None
  decode: Callable | None = None


def init_state(
  method: Method, tx: optax.GradientTransformation, key: jax.Array, batch: PyTree
) -> TrainState:
  """Returns the state before the first step; `batch` gives shapes only."""
  key_init, key_run = jax.random.split(key)
  params, extra = method.init(key_init, batch)
  step = jnp.zeros((), jnp.int32)
  return TrainState(step, key_run, params, tx.init(params), extra)


def steps_done(state: TrainState) -> jax.Array:
  """Returns the steps done, int32 []; runs of one program have done the same."""
  return state.step[(0,) * state.step.ndim]


def row_keys(state: TrainState, rows: int, start: jax.Array | int = 0) -> jax.Array:
  """Returns the keys of rows `start ... start + rows - 1` of this step's batch."""
  key = jax.random.fold_in(state.key, state.step)
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(start + jnp.arange(rows))


def train_step(
  method: Method, tx: optax.GradientTransformation, state: TrainState, batch: PyTree
) -> tuple[TrainState, dict]:
  """The pure step: every other runner gives the same state.

  Args:
    method: the method.
    tx: the optimiser.
    state: the state before.
    batch: dict of arrays, rows first: `input`, `index` and, when known, `label`.

  Returns:
    The state after, and scalar metrics (`loss`, `grad_norm`, the method's own).
  """
  keys = row_keys(state, _rows(batch))

  def loss_fn(params):
    outputs, extra = method.forward(params, state.extra, batch, keys, state.step)
    return method.objective(params, extra, outputs, state.step)

  value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
  (loss, (extra, metrics)), grads = value_and_grad(state.params)
  return _finish(method, tx, state, grads, loss, extra, metrics)


def jit_step(
  method: Method,
  tx: optax.GradientTransformation,
  mesh: Mesh,
  shardings: Callable[[Mesh], PyTree] = replicated,
) -> Step:
  """`train_step` on a mesh: rows split over "data", XLA places the collectives.

  The given state is donated: use the returned one.
  """
  whole = shardings(mesh)
  return jax.jit(
    traced_for(mesh, functools.partial(train_step, method, tx)),
    donate_argnums=0,
    in_shardings=(whole, rows_sharded(mesh)),
    out_shardings=(whole, replicated(mesh)),
  )


def pmap_step(
  method: Method, tx: optax.GradientTransformation, axis_name: str = "data"
) -> Step:
  """The per-device step, for `jax.pmap(step, axis_name)` or `shard_map`.

  Each device runs `forward` on its rows, gathers all outputs and computes the whole
  objective. Nets with batch norm must be built with this `axis_name`.
  """

  def step(state, batch):
    rows = _rows(batch)
    keys = row_keys(state, rows, jax.lax.axis_index(axis_name) * rows)

    def loss_fn(params):
      outputs, extra = method.forward(params, state.extra, batch, keys, state.step)
      outputs = jax.tree.map(
        lambda x: jax.lax.all_gather(x, axis_name, tiled=True), outputs
      )
      loss, aux = method.objective(params, extra, outputs, state.step)
      return jax.lax.pmean(loss, axis_name), aux

    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, (extra, metrics)), grads = value_and_grad(state.params)
    grads = jax.lax.pmean(grads, axis_name)  # with the pmean inside: exact everywhere
    return _finish(method, tx, state, grads, loss, extra, metrics)

  return step


def accumulated_step(
  method: Method,
  tx: optax.GradientTransformation,
  micro: int,
  state: TrainState,
  batch: PyTree,
  *,
  unroll: bool | None = None,
) -> tuple[TrainState, dict]:
  """The exact big-batch step in `micro` micro-batches.

  Forward slice by slice, objective on all rows, forward again with the objective's
  cotangents. Slices are strided, so on a mesh every device works on every slice.
  Batch norm, where there is any, normalises each micro-batch by itself. `unroll`: as
  in `scan_steps`.
  """
  rows = _rows(batch)
  if rows % micro:
    raise InputError(f"A batch of {rows} does not split into {micro} micro-batches.")
  cut, join = _strided(rows, micro)
  pieces = cut((batch, row_keys(state, rows)))

  def collect(extra, piece):
    outputs, extra = method.forward(state.params, extra, *piece, state.step)
    return extra, outputs

  extra, outputs = _scan(collect, state.extra, pieces, unroll)
  floats, rest = _split_floats(join(outputs))

  def value(params, floats):
    return method.objective(params, extra, _merge(floats, rest), state.step)

  value_and_grad = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)
  (loss, (extra, metrics)), grads = value_and_grad(state.params, floats)

  def pull(total, piece):
    *inputs, cotangents = piece

    def floats_of(params):
      outputs, _ = method.forward(params, state.extra, *inputs, state.step)
      return _split_floats(outputs)[0]

    _, vjp = jax.vjp(floats_of, state.params)
    return jax.tree.map(jnp.add, total, vjp(cotangents)[0]), None

  grads, _ = _scan(pull, grads[0], (*pieces, cut(grads[1])), unroll)
  return _finish(method, tx, state, grads, loss, extra, metrics)


def scan_steps(step: Step, k: int, *, unroll: bool | None = None) -> Callable:
  """Up to `k` steps in one dispatch, on a data set that is on the device.

  Args:
    step: (state, batch) -> state, metrics.
    k: the most steps in one call; a shorter call traces once more.
    unroll: whether each step is compiled by itself; None: on CPUs, where loops are
      slow.

  Returns:
    (state, data, indices) -> state, metrics. `data` is a pytree of whole arrays (an
    argument, never a closure), `indices` int32 [steps, batch], metrics [steps].
  """

  def run(state, data, indices):
    if indices.shape[0] > k:
      raise InputError(f"{indices.shape[0]} steps in a call made for at most {k}.")
    turn = lambda state, rows: step(state, take(data, rows))
    return _scan(turn, state, indices, unroll)

  return run


def init_runs(
  method: Method, tx: optax.GradientTransformation, keys: jax.Array, batch: PyTree
) -> TrainState:
  """States of many runs as one, each leaf [runs, ...]: one run per key."""
  return jax.vmap(lambda key: init_state(method, tx, key, batch))(keys)


def step_runs(method: Method, tx: optax.GradientTransformation) -> Step:
  """`train_step` of many runs (seeds) as one program; all see the same batch."""
  return jax.vmap(functools.partial(train_step, method, tx), in_axes=(0, None))


def _finish(method, tx, state, grads, loss, extra, metrics):
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  params, extra = method.update(params, extra, state.step)
  metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}
  return TrainState(state.step + 1, state.key, params, opt_state, extra), metrics


def _rows(batch):
  return jax.tree.leaves(batch)[0].shape[0]


def _scan(body, carry, xs, unroll):
  """`lax.scan`, or each turn by itself where loops are slow.

  On a CPU, convolution gradients inside a loop are 14 to 49 times slower, and `scan`
  leaves a loop even of one turn.
  """
  if unroll is None:
    unroll = jax.default_backend() == "cpu"
  if not unroll:
    return jax.lax.scan(body, carry, xs)
  made = []
  for i in range(_rows(xs)):
    carry, y = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
    made.append(y)
  return carry, jax.tree.map(lambda *ys: jnp.stack(ys), *made)


def _strided(rows, micro):
  def cut(tree):
    return jax.tree.map(
      lambda x: x.reshape(rows // micro, micro, *x.shape[1:]).swapaxes(0, 1), tree
    )

  def join(tree):
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(rows, *x.shape[2:]), tree)

  return cut, join


def _split_floats(tree):
  """Outputs may hold integers and keys; only the floats are differentiated."""
  leaves, structure = jax.tree.flatten(tree)
  is_float = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]
  floats = [x if f else None for x, f in zip(leaves, is_float, strict=True)]
  others = [None if f else x for x, f in zip(leaves, is_float, strict=True)]
  return floats, (structure, others)


def _merge(floats, rest):
  structure, others = rest
  both = zip(floats, others, strict=True)
  return structure.unflatten([o if f is None else f for f, o in both])
