"""Meshes and sharding rules: one axis, "data", over which the rows are split."""

from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxssl.errors import InputError


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Returns a mesh with the one axis "data" over `devices` (default: all)."""
  devices = list(jax.devices() if devices is None else devices)
  return jax.make_mesh(
    (len(devices),), ("data",), devices=devices, axis_types=(AxisType.Auto,)
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of an array that every device holds whole."""
  return NamedSharding(mesh, P())


def rows_sharded(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  """The sharding of an array whose rows (axis `axis`) are split over the devices."""
  return NamedSharding(mesh, P(*[None] * axis, "data"))


def check_rows(rows: int, mesh: Mesh) -> None:
  """Raises `InputError` unless `rows` split evenly over the mesh."""
  if rows % mesh.size:
    fit = max(rows - rows % mesh.size, mesh.size)
    raise InputError(
      f"A batch of {rows} does not divide over {mesh.size} devices; use a multiple "
      f"of {mesh.size}, such as {fit}."
    )
