"""Compiled steps, shared by all contract tests of a process."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import core
from jaxssl.mesh import (
  data_mesh,
  make_mesh,
  replicated,
  rows_sharded,
  state_shardings,
)
from tests import cases

CASES = {case.name: case for case in cases.CASES}


@functools.cache
def batch(name: str, *, rows: int = cases.BATCH):
  """What a row of the table trains on."""
  return CASES[name].batch(rows=rows)


@functools.cache
def first_state(name: str, norm: str):
  """The state before the first step."""
  init = functools.partial(core.init_state, method(name, norm), cases.optimiser())
  return jax.jit(init)(jax.random.key(0), batch(name))


@functools.cache
def method(name: str, norm: str, axis_name: str | None = None) -> core.Method:
  """The method of a row of the table."""
  return CASES[name].make(norm, axis_name)


@functools.cache
def encode(name: str):
  """The features of a row of the table, compiled."""
  return jax.jit(method(name, "batch").encode, static_argnames="patches")


@functools.cache
def jitted(name: str, norm: str, devices: int):
  """The step on a mesh."""
  mesh = data_mesh(jax.devices()[:devices])
  return core.jit_step(method(name, norm), cases.optimiser(), mesh), mesh


def copy(state):
  """A copy that may be donated."""
  return jax.tree.map(jnp.copy, state)


def placed(name: str, norm: str, mesh):
  """The first state and the batch on a mesh."""
  state = jax.device_put(copy(first_state(name, norm)), replicated(mesh))
  return state, jax.device_put(batch(name), rows_sharded(mesh))


def split(name: str, norm: str):
  """Step, mesh and first state with "fsdp": all that divides is split over it."""
  mesh, first = make_mesh("data=4,fsdp=2"), first_state(name, norm)
  shardings = state_shardings(mesh, first, least=1)
  step = core.jit_step(method(name, norm), cases.optimiser(), mesh, lambda _: shardings)
  return step, mesh, jax.device_put(copy(first), shardings)


def run_jit(name: str, norm: str, devices: int, steps: int):
  """The state after some steps on a mesh of so many devices."""
  step, mesh = jitted(name, norm, devices)
  state, batch = placed(name, norm, mesh)
  for _ in range(steps):
    state, _ = step(state, batch)
  return jax.device_get(strip(state))


@functools.cache
def epoch(name: str):
  """All examples that `index` counts, as a feed gives them: batches with masks."""
  whole = batch(name, rows=cases.EXAMPLES)
  mask = np.ones(cases.BATCH, bool)
  return tuple(
    (jax.tree.map(lambda x, i=i: x[i : i + cases.BATCH], whole), mask)
    for i in range(0, cases.EXAMPLES, cases.BATCH)
  )


def run_loop(name: str, state, batches, steps: int):
  """The state (donated) some steps on and the last metrics, as the loop of a run.

  A method's `refresh`, if it has one, runs before each epoch. The step is that of
  `jitted(name, "batch", 1)`, and all lies on its mesh, so that nothing traces again
  what other contracts have compiled.
  """
  (step, mesh), refresh = jitted(name, "batch", 1), method(name, "batch").refresh
  batches = jax.device_put(batches, rows_sharded(mesh))
  for _ in range(steps):
    number, turn = divmod(int(state.step), len(batches))
    if refresh is not None and turn == 0:
      state = refresh(state, iter(batches), jax.random.fold_in(state.key, number))
    state, metrics = step(state, batches[turn][0])
  return state, metrics


@functools.cache
def pmapped(name: str, norm: str):
  """The step under `pmap` over 8 devices."""
  step = core.pmap_step(method(name, norm, "data"), cases.optimiser())
  return jax.pmap(step, axis_name="data")


def run_pmap(name: str, norm: str, steps: int):
  """The state after some steps under `pmap`, of the first device."""
  state = jax.tree.map(
    lambda x: jnp.broadcast_to(x, (8, *x.shape)), first_state(name, norm)
  )
  rows = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch(name))
  for _ in range(steps):
    state, _ = pmapped(name, norm)(state, rows)
  return jax.device_get(strip(jax.tree.map(lambda x: x[0], state)))


@functools.cache
def accumulated(name: str, norm: str, micro: int):
  """The step in micro-batches, as the loop that accelerators run."""
  parts = method(name, norm), cases.optimiser(), micro
  return jax.jit(functools.partial(core.accumulated_step, *parts, unroll=False))


def run_accumulated(name: str, norm: str, micro: int, steps: int):
  """The state after some steps in micro-batches."""
  state = first_state(name, norm)
  for _ in range(steps):
    state, _ = accumulated(name, norm, micro)(state, batch(name))
  return jax.device_get(strip(state))


@functools.cache
def scanned(name: str, norm: str, steps: int):
  """Several steps in one dispatch, as the loop that accelerators run."""
  step = functools.partial(core.train_step, method(name, norm), cases.optimiser())
  return jax.jit(core.scan_steps(step, steps, unroll=False))


def run_scanned(name: str, norm: str, steps: int):
  """The state after some steps in one dispatch, every one on the whole batch."""
  data = {n: x for n, x in batch(name).items() if n != "index"}
  indices = jnp.tile(jnp.arange(cases.BATCH, dtype=jnp.int32), (steps, 1))
  state, metrics = scanned(name, norm, steps)(first_state(name, norm), data, indices)
  assert metrics["loss"].shape == (steps,)
  return jax.device_get(strip(state))


def strip(state):
  """The state without its key, which is no array of numbers."""
  return state._replace(key=jax.random.key_data(state.key))


def largest_difference(a, b) -> float:
  """Of any two entries of two states."""
  return float(np.abs(cases.flat(a) - cases.flat(b)).max())


def gradient(run) -> np.ndarray:
  """The raw gradient of the first step: SGD's momentum starts as it.

  Args:
    run: (steps) -> state after so many steps, by one of the runners.
  """
  return cases.flat(run(1).opt_state[0].trace)


def flops_of_accumulated(name: str, norm: str, *, micro: int) -> float:
  """FLOPs per device of a step in micro-batches on a mesh of 8."""
  mesh = data_mesh()
  rows = batch(name, rows=64)
  step = functools.partial(
    core.accumulated_step, method(name, norm), cases.optimiser(), micro
  )
  shardings = (replicated(mesh), rows_sharded(mesh))
  jitted_step = jax.jit(step, in_shardings=shardings)
  compiled = jitted_step.lower(first_state(name, norm), rows).compile()
  return compiled.cost_analysis()["flops"]
