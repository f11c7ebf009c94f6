"""Label-free measures of the features, inside the program of the training step.

At the steps that are logged the first rows of the batch are encoded and measured,
under a condition: the other steps skip it, and no state depends on it.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl import core, evals
from jaxssl.core import Method, Step, TrainState
from jaxssl.models.siamese import draw_views
from jaxssl.ops.sharding import on_every_device

PyTree = Any
PREFIX = "measure/"
MOST_ROWS = 256
LEAST_ROWS = 3  # for a spectrum of two eigenvalues


def measured(
  step: Step,
  method: Method,
  views: Callable,
  *,
  every: int,
  last: int,
  seeds: int = 1,
) -> Step:
  """Returns `step` with measures of the features among its metrics.

  They are computed after step `every`, `2 * every`, ... and after step `last`, from
  the parameters that the step made and the first 256 rows of its batch: those of
  `of_input`, and where there are two views of one shape those of `of_views`. At all
  other steps they are NaN. What `method.encode` cannot encode is left out, and so is
  everything for fewer than 3 rows; this is decided as the step is traced.

  Args:
    step: (state, batch) -> state, metrics.
    method: the method; its `encode` makes the features.
    views: (key, example) -> tuple of inputs; drawn with the keys of the rows, so they
      are the views that the step trained on.
    every: steps between two measurements.
    last: a step that is measured too.
    seeds: number of runs that `step` makes as one; each is measured, one after the
      other: under `vmap` a condition computes both branches, and several spectra at a
      time wait for ever for threads that they hold themselves, on a CPU with no fewer
      devices than cores (jaxlib 0.10).

  Returns:
    A step that gives the same state; the names of its measures start with "measure/".
  """

  # A spectrum of rows that are split over devices costs hundreds of collectives.
  seen = method._replace(encode=lambda *args: on_every_device(method.encode(*args)))

  def measure(due, state, after, inputs):
    keys = core.row_keys(state, len(jax.tree.leaves(inputs)[0]))
    groups = [
      functools.partial(of_input, seen, after, inputs),
      functools.partial(of_views, seen, after, views, keys, inputs),
    ]
    return _measures_when(due, groups) if len(keys) >= LEAST_ROWS else {}

  def run(state, batch):
    after, metrics = step(state, batch)
    inputs = jax.tree.map(lambda x: x[:MOST_ROWS], batch["input"])
    done = core.steps_done(after)
    due = (done % every == 0) | (done == last)
    if seeds == 1:
      found = measure(due, state, after, inputs)
    else:  # one by one: see the docstring
      one = lambda states: measure(due, *states, inputs)
      found = jax.lax.map(one, (state, after))
    return after, {**metrics, **{PREFIX + name: x for name, x in found.items()}}

  return run


def of_input(method: Method, state: TrainState, inputs: PyTree) -> dict[str, jax.Array]:
  """Measures of the features of unaugmented inputs.

  Args:
    method: the method.
    state: its state.
    inputs: [rows, ...], 3 rows or more.

  Returns:
    Scalars: those of `evals.collapse_measures`, and alpha_req.
  """
  z = method.encode(state.params, state.extra, {"input": inputs})
  return {**evals.collapse_measures(z), "alpha_req": evals.alpha_req(z)}


def of_views(
  method: Method, state: TrainState, views: Callable, keys: jax.Array, inputs: PyTree
) -> dict[str, jax.Array]:
  """Measures of the features of the first two views that have one shape.

  Args:
    method: the method.
    state: its state.
    views: (key, example) -> tuple of inputs.
    keys: one PRNG key per row.
    inputs: [rows, ...].

  Returns:
    Scalars: alignment, uniformity (the mean of both views') and lidar (of 2 views an
    example, which is fewer than its paper takes); empty if there are no such views.
  """
  pair = _first_alike(draw_views(views, keys, inputs)[0])
  if pair is None:
    return {}
  merge = lambda *x: jnp.stack(x, axis=1).reshape(2 * len(x[0]), *x[0].shape[1:])
  merged = jax.tree.map(merge, *pair)
  features = method.encode(state.params, state.extra, {"input": merged})
  z = features.reshape(len(features) // 2, 2, -1)
  uniformity = evals.uniformity(z[:, 0]) + evals.uniformity(z[:, 1])
  return {
    "alignment": evals.alignment(z[:, 0], z[:, 1]),
    "uniformity": uniformity / 2,
    "lidar": evals.lidar(z),
  }


def warning(metrics: Mapping[str, float]) -> str | None:
  """Returns the sentence of `evals.verdict` on what `measured` found, or None."""
  found = {
    name.removeprefix(PREFIX): value
    for name, value in metrics.items()
    if name.startswith(PREFIX)
  }
  return evals.verdict(found) if "spread" in found else None


def _first_alike(views):
  """The first two views of one form, or None."""
  form = lambda view: jax.tree.map(lambda x: (x.shape, x.dtype), view)
  pairs = itertools.combinations(views, 2)
  return next(((a, b) for a, b in pairs if form(a) == form(b)), None)


def _measures_when(due, groups):
  """Measures of all groups that can be traced; NaN where `due` is false."""
  shapes = [_shapes(group) for group in groups]
  possible = [group for group, found in zip(groups, shapes, strict=True) if found]

  def measure():
    return {name: x for group in possible for name, x in group().items()}

  def skip():
    names = itertools.chain.from_iterable(shapes)
    return {name: jnp.float32(jnp.nan) for name in names}

  return jax.lax.cond(due, measure, skip)


def _shapes(group):
  """What a group would give, or nothing: training does not need what it measures."""
  try:
    return jax.eval_shape(group)
  except Exception:  # an encoder of the user's may refuse inputs in any way
    return {}
