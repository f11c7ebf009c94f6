"""What a program may ask of the mesh that it is compiled for."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

PyTree = Any


def traced_for(mesh: Mesh, f: Callable) -> Callable:
  """Returns `f`, traced with a mesh in its context: `on_every_device` asks that one."""
  inner = f.func if isinstance(f, functools.partial) else f

  @functools.wraps(inner)  # the program's name in profiles
  def call(*args, **options):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args, **options)

  return call


def on_every_device(tree: PyTree) -> PyTree:
  """Asks XLA to gather all rows of arrays on each device of the mesh, here and now.

  What follows from them alone is then computed on every device and needs no further
  collective, its gradient neither. Without a mesh in the context (`traced_for`), and in
  `shard_map`, nothing changes.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.manual_axes or mesh.size == 1:
    return tree
  return jax.lax.with_sharding_constraint(tree, PartitionSpec())
