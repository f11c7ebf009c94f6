"""Meshes and sharding rules: rows over all devices, parameters over the axis "fsdp".

A mesh has the axis "data" and, where asked for, "fsdp". A batch is split over both.
Parameters, optimiser state and what copies them are split over "fsdp" by one rule;
everything else is whole on every device. XLA places the collectives.
"""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxssl.errors import InputError, nearest

PyTree = Any
AXES = ("data", "fsdp")
ROWS = ("queue", "bank", "memory")  # state with a row per example or key
LEAST = 2**14  # numbers; smaller arrays aren't worth a collective


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Returns a mesh with the one axis "data" over `devices` (default: all)."""
  devices = list(jax.devices() if devices is None else devices)
  return _mesh({"data": len(devices)}, devices)


def make_mesh(spec: str, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Returns a mesh from its description.

  Args:
    spec: axes and their sizes, "data=8" or "data=4,fsdp=2"; "" puts all devices on
      "data".
    devices: default: all.

  Returns:
    The mesh.

  Raises:
    InputError: for another axis, or sizes that don't multiply to the devices.
  """
  devices = list(jax.devices() if devices is None else devices)
  if not spec:
    return data_mesh(devices)
  sizes = parse_mesh(spec)
  if math.prod(sizes.values()) != len(devices):
    raise InputError(
      f"A mesh of {spec} takes {math.prod(sizes.values())} devices; there are "
      f"{len(devices)}. (XLA_FLAGS=--xla_force_host_platform_device_count=8 makes 8 "
      "of a CPU.)"
    )
  return _mesh(sizes, devices)


def parse_mesh(spec: str) -> dict[str, int]:
  """Returns the sizes of the axes that "data=4,fsdp=2" describes, "data" first.

  Raises:
    InputError: if it isn't of that form.
  """
  sizes = {}
  for part in spec.split(","):
    name, _, size = part.strip().partition("=")
    if name not in AXES:
      raise InputError(
        f"A mesh has the axes {' and '.join(AXES)}, not '{name}'."
        f"{nearest(name, AXES)} Write it as data=4,fsdp=2."
      )
    if not size.isdigit() or int(size) < 1 or name in sizes:
      raise InputError(f"'{spec}' is no mesh; write it as data=4,fsdp=2.")
    sizes[name] = int(size)
  return {name: sizes.get(name, 1) for name in AXES if name in sizes or name == "data"}


def describe_mesh(mesh: Mesh) -> str:
  """Returns what `make_mesh` takes: "data=4,fsdp=2"."""
  return ",".join(f"{name}={size}" for name, size in mesh.shape.items())


def _mesh(sizes, devices):
  return jax.make_mesh(
    tuple(sizes.values()),
    tuple(sizes),
    devices=devices,
    axis_types=(AxisType.Auto,) * len(sizes),
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of an array that every device holds whole."""
  return NamedSharding(mesh, P())


def rows_sharded(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  """The sharding of an array whose rows (axis `axis`) are split over all devices."""
  return NamedSharding(mesh, P(*[None] * axis, mesh.axis_names))


def own_rows(mesh: Mesh, batch: int) -> np.ndarray:
  """Returns which rows of a batch split over a mesh this process holds, ascending.

  They need not be contiguous: a mesh that follows the wires of a TPU slice goes back
  and forth between hosts.
  """
  held = rows_sharded(mesh).addressable_devices_indices_map((batch,)).values()
  return np.unique(np.concatenate([np.arange(batch)[span] for span in held]))


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
  """Places arrays that every process has whole; each copies only what it holds.

  `jax.device_put` would first gather them all, to compare them.
  """
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)

  def place(x):
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda part: x[part])

  return jax.tree.map(place, tree)


def state_shardings(
  mesh: Mesh,
  state: PyTree,
  *,
  patterns: Mapping[str, int | None] | None = None,
  least: int = LEAST,
) -> PyTree:
  """The sharding of every array of a state: one rule, and exceptions by path.

  Without an axis "fsdp" all are whole on every device. With it an array is split along
  its largest axis that divides (the first of equals), a queue, bank or memory along
  its rows or not at all.

  Args:
    mesh: the mesh.
    state: a `TrainState`, or any pytree; only shapes matter.
    patterns: path -> axis that is split, None for none; a path is written as
      "params/encoder/dense/kernel" and may hold the wildcards of `fnmatch`. The first
      that fits counts.
    least: arrays of fewer numbers stay whole.

  Returns:
    A pytree of `NamedSharding` in the structure of `state`.

  Raises:
    InputError: if a pattern fits nothing, or its axis doesn't divide.
  """
  patterns, used = dict(patterns or {}), set()

  def place(path, x):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    fitting = [p for p in patterns if fnmatch.fnmatch(name, p)]
    if not fitting:
      return _split(mesh, x, _axis(mesh, name, x, least))
    used.add(fitting[0])
    return _split(mesh, x, _checked(mesh, name, x, patterns[fitting[0]]))

  placed = jax.tree_util.tree_map_with_path(place, state)
  if unused := [p for p in patterns if p not in used]:
    raise InputError(f"No array of the state has a path like '{unused[0]}'.")
  return placed


def _split(mesh, x, axis):
  if axis is None:
    return replicated(mesh)
  return NamedSharding(mesh, P(*[None] * axis, "fsdp"))


def _axis(mesh, name, x, least):
  """The axis that the rule splits, or None."""
  shards = mesh.shape.get("fsdp", 1)
  if shards == 1 or jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
    return None
  fits = [i for i, size in enumerate(x.shape) if size % shards == 0]
  if name.rpartition("/")[2] in ROWS:
    rows = max(x.ndim - 2, 0)  # of several queues of rows, [queues, rows, dim]
    return rows if rows in fits else None
  if not fits or math.prod(x.shape) < least:
    return None
  return max(fits, key=lambda i: (x.shape[i], -i))


def _checked(mesh, name, x, axis):
  shards = mesh.shape.get("fsdp", 1)
  if axis is None or shards == 1:
    return None
  if not -x.ndim <= axis < x.ndim or x.shape[axis] % shards:
    raise InputError(
      f"{name} of shape {x.shape} does not split along axis {axis} into {shards}."
    )
  return axis % x.ndim


def bytes_per_device(shardings: PyTree, state: PyTree) -> int:
  """Returns the bytes of a state that each device holds."""

  def size(sharding, x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      return 0
    return math.prod(sharding.shard_shape(x.shape)) * np.dtype(x.dtype).itemsize

  return sum(jax.tree.leaves(jax.tree.map(size, shardings, state)))


def check_rows(rows: int, mesh: Mesh, *, parts: int = 1) -> None:
  """Raises `InputError` unless `parts` micro-batches split evenly over the mesh."""
  unit = mesh.size * parts
  if rows % unit:
    each = f"in {parts} parts " if parts > 1 else ""
    raise InputError(
      f"A batch of {rows} does not divide {each}over {mesh.size} devices; use a "
      f"multiple of {unit}, such as {max(rows - rows % unit, unit)}."
    )
