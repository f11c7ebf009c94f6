"""How examples reach the step: from the device's memory, or prefetched by the host.

Both feeds see the same batches: the sampler is a pure function of the step.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxssl import core
from jaxssl.data.loader import gather, prefetch, resident, take
from jaxssl.data.sampler import (
  in_order,
  index_block,
  indices,
  steps_per_epoch,
)
from jaxssl.measures import measured
from jaxssl.mesh import own_rows, put, replicated, rows_sharded
from jaxssl.ops.sharding import traced_for
from jaxssl.registry import Experiment
from jaxssl.runs import placement, train_step

PyTree = Any


class Feed(NamedTuple):
  """The examples of a run and the program that steps over them.

  Attributes:
    advance: (state, *args) -> state, metrics [steps]; donates the state.
    chunks: (start, stop) -> iterator of (steps, args), in order.
    batch: step -> that step's batch, on the mesh.
    in_order: () -> iterator of (batch, mask [batch]) over all examples by index, the
      last batch padded; what `Method.refresh` reads.
    epoch: steps in one epoch.
  """

  advance: Callable
  chunks: Callable[[int, int], Iterator[tuple[int, tuple]]]
  batch: Callable[[int], PyTree]
  in_order: Callable[[], Iterator[tuple[PyTree, np.ndarray]]]
  epoch: int


def make_feed(experiment: Experiment, mesh: Mesh) -> Feed:
  """Returns the feed that fits the data: resident where it fits, else prefetched."""
  if experiment.data.train.resident:
    return resident_feed(experiment, mesh)
  return host_feed(experiment, mesh)


def resident_bytes(experiment: Experiment) -> int:
  """Returns the bytes of the data set on each device; 0 where the host feeds them."""
  source = experiment.data.train
  if not source.resident:
    return 0
  return sum(x.nbytes for x in jax.tree.leaves(dict(source.arrays())))


def resident_feed(experiment: Experiment, mesh: Mesh) -> Feed:
  """The whole data set lies on the device; several steps are one dispatch."""
  data = put(resident(experiment.data.train, experiment.data.kind), replicated(mesh))
  k = steps_per_call(experiment)
  placed, whole = placement(experiment, mesh), replicated(mesh)
  rows = rows_sharded(mesh, axis=1)
  scanned = jax.jit(
    core.scan_steps(traced_for(mesh, _step(experiment)), k),
    donate_argnums=0,
    in_shardings=(placed, whole, rows),
    out_shardings=(placed, whole),
  )
  sampler = _sampler(experiment)
  refreshed = experiment.method.refresh is not None
  epoch = steps_per_epoch(**_sizes(experiment)) if refreshed else None

  def chunks(start, stop):
    for first, steps in spans(start, stop, k, epoch):
      block = index_block(first, steps, **sampler)
      yield steps, (data, put(block, rows))

  taken = jax.jit(take, out_shardings=rows_sharded(mesh))

  def batch(step):
    return taken(data, indices(step, **sampler))

  return Feed(scanned, chunks, batch, *_by_index(experiment, mesh))


def host_feed(experiment: Experiment, mesh: Mesh) -> Feed:
  """The host assembles batches ahead of the device, one step a dispatch."""
  source, sampler = experiment.data.train, _sampler(experiment)
  step = host_step(experiment, mesh)
  own = own_rows(mesh, experiment.run.batch)
  place = functools.partial(from_own_rows, mesh)

  def advance(state, batch):
    state, metrics = step(state, batch)
    return state, jax.tree.map(lambda x: x[None], metrics)

  def chunks(start, stop):
    stream = (indices(s, **sampler)[own] for s in range(start, stop))
    with prefetch(source, stream, ahead=2) as batches:
      for rows in batches:
        yield 1, (place(rows),)

  def batch(step):
    return place(gather(source, indices(step, **sampler)[own]))

  return Feed(advance, chunks, batch, *_by_index(experiment, mesh))


def from_own_rows(mesh: Mesh, batch: PyTree) -> PyTree:
  """Places a batch, split over the mesh, of which each process has its `own_rows`."""
  rows = rows_sharded(mesh)
  if jax.process_count() == 1:
    return jax.device_put(batch, rows)
  make = functools.partial(jax.make_array_from_process_local_data, rows)
  return jax.tree.map(make, batch)


def host_step(
  experiment: Experiment,
  mesh: Mesh,
  *,
  measures: bool = True,
  unroll: bool | None = None,
) -> core.Step:
  """Returns the jitted step on a batch that is split over the mesh.

  Args:
    experiment: the experiment.
    mesh: where it runs.
    measures: whether the features are measured at the steps that are logged.
    unroll: see `runs.train_step`; without measures only.
  """
  placed = placement(experiment, mesh)
  step = _step(experiment) if measures else train_step(experiment, unroll=unroll)
  return jax.jit(
    traced_for(mesh, step),
    donate_argnums=0,
    in_shardings=(placed, rows_sharded(mesh)),
    out_shardings=(placed, replicated(mesh)),
  )


def steps_per_call(experiment: Experiment) -> int:
  """Steps in one dispatch: one on CPU, else what divides all intervals."""
  if jax.default_backend() == "cpu":
    return 1
  run = experiment.run
  common = np.gcd.reduce([run.log_every, run.eval_every, run.checkpoint_every])
  return int(common)


def spans(
  start: int, stop: int, k: int, epoch: int | None
) -> Iterator[tuple[int, int]]:
  """Yields (first step, steps): `k` steps from multiples of `k`, else one by one.

  None goes over the end of an epoch. Two lengths at most are two programs at most.
  """
  while start < stop:
    end = stop if epoch is None else min(stop, start - start % epoch + epoch)
    steps = k if start % k == 0 and start + k <= end else 1
    yield start, steps
    start += steps


def _step(experiment):
  """The training step, measuring the features at the steps that are logged."""
  method, run = experiment.method, experiment.run
  due = {"every": run.log_every, "last": run.steps}
  step = train_step(experiment)
  return measured(step, method, experiment.views, **due, seeds=run.seeds)


def _sizes(experiment):
  return {"examples": len(experiment.data.train), "batch": experiment.run.batch}


def _sampler(experiment):
  return {**_sizes(experiment), "seed": experiment.run.data_seed}


def _by_index(experiment, mesh):
  source, sizes = experiment.data.train, _sizes(experiment)
  own = own_rows(mesh, experiment.run.batch)

  def batches():
    for index, mask in in_order(**sizes):
      yield from_own_rows(mesh, (gather(source, index[own]), mask[own]))

  return batches, steps_per_epoch(**sizes)
