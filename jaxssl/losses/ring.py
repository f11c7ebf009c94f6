"""Contrastive losses over a mesh: every device sees all rows, and none holds them.

Each device keeps its own rows as queries. Their copies, as candidates, travel from
device to device in a ring; each stop adds what it needs of them to its rows' terms.
The backward pass sends them round again, this time with their gradient, which every
stop adds to and which comes home at the end. Between the passes only the rows'
log-partitions are kept. A device's temporaries are thus O(rows^2) of its *own* rows,
or O(rows * block_size), and no [batch, dim] array is ever gathered.

Value and gradient are those of the losses of the same name without `ring_`. All take
`mesh`, and global arrays whose rows are split over its `axis_name`, inside `jit` or
not; or `mesh=None` where per-device code runs already, in a `shard_map` or `pmap` over
`axis_name`: arrays and result are then one device's rows.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxssl.errors import InputError, nearest
from jaxssl.losses import _streaming
from jaxssl.losses._checks import check_matrices, check_paired, check_rows
from jaxssl.losses._streaming import LOWEST, RowTerms, Rule, Tags
from jaxssl.losses.contrastive import (
  _by_view,
  _check_labels,
  _check_options,
  _everything,
  _other_groups,
  _other_samples,
  _scaled,
)
from jaxssl.ops.numerics import in_turns
from jaxssl.ops.sharding import traced_for

Axes = str | tuple[str, ...] | None


class _Ring(NamedTuple):
  mesh: Mesh | None
  axis_name: Axes
  block_size: int | None


def _ring(mesh, axis_name, block_size):
  if axis_name is None:
    axis_name = "data" if mesh is None else tuple(mesh.axis_names)
  return _Ring(mesh, axis_name, block_size)


def ring_nt_xent(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  temperature: float | jax.Array,
  mesh: Mesh | None,
  axis_name: Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`nt_xent` of rows that are split over devices.

  Chen et al. 2020, arXiv:2002.05709, eq. 1; see `nt_xent`.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    temperature: divides the cosines, above 0.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per row, [2 * batch]: the rows of `z_a`, then the rows of `z_b`.

  Raises:
    InputError: as `nt_xent`; on an unknown axis, or a batch that does not divide.
  """
  ring = _ring(mesh, axis_name, block_size)
  _check_pairs(ring, z_a=z_a, z_b=z_b)
  _check_options(temperature, block_size)
  return _attract_views(_other_samples, z_a, z_b, temperature, ring)


def ring_decoupled_nt_xent(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  temperature: float | jax.Array,
  mesh: Mesh | None,
  axis_name: Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`decoupled_nt_xent` of rows that are split over devices.

  Yeh et al. 2021, arXiv:2110.06848, loss L_DC; see `decoupled_nt_xent`.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    temperature: divides the cosines, above 0.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per row, [2 * batch]: the rows of `z_a`, then the rows of `z_b`.

  Raises:
    InputError: as `decoupled_nt_xent`; on an unknown axis, or a batch that does not
      divide.
  """
  ring = _ring(mesh, axis_name, block_size)
  _check_pairs(ring, z_a=z_a, z_b=z_b)
  _check_options(temperature, block_size)
  return _attract_views(_other_groups, z_a, z_b, temperature, ring)


def ring_supcon(
  z: jax.Array,
  labels: jax.Array,
  *,
  temperature: float | jax.Array,
  mesh: Mesh | None,
  axis_name: Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`supcon` of rows that are split over devices.

  Khosla et al. 2020, arXiv:2004.11362, eq. 2; see `supcon`.

  Args:
    z: projections, [batch, dim]; views of an example are rows of the same label, on
      the same device or not.
    labels: integers, [batch].
    temperature: divides the cosines, above 0.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: as `supcon`; on an unknown axis, or a batch that does not divide.
  """
  ring = _ring(mesh, axis_name, block_size)
  check_matrices(z=z)
  _check_rows(ring, 1, "an empty batch has no loss", z=z)
  _check_labels(labels, z)
  _check_options(temperature, block_size)
  z = _scaled(z, temperature)
  tags = Tags(sample=_numbers(z, ring), group=labels)
  return _attract(_other_samples, z, z, tags, ring)


def ring_info_nce(
  query: jax.Array,
  positive: jax.Array,
  *,
  temperature: float | jax.Array,
  mesh: Mesh | None,
  axis_name: Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`info_nce` against the other rows, which are split over devices.

  Chen et al. 2021, arXiv:2104.02057, eq. 1; see `info_nce`. For a queue, which every
  device holds, `info_nce` itself is enough: its rows need no other rows.

  Args:
    query: [batch, dim], batch at least 2.
    positive: [batch, dim], row i belongs to row i of `query`.
    temperature: divides the cosines, above 0.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per query, [batch].

  Raises:
    InputError: as `info_nce`; on an unknown axis, or a batch that does not divide.
  """
  ring = _ring(mesh, axis_name, block_size)
  _check_pairs(ring, query=query, positive=positive)
  _check_options(temperature, block_size)
  query, positive = _scaled(query, temperature), _scaled(positive, temperature)
  rows = _numbers(query, ring)
  return _attract(_everything, query, positive, Tags(rows, rows), ring)


def ring_row_terms(
  rule: Rule,
  queries: jax.Array,
  candidates: jax.Array,
  query_tags: Tags,
  candidate_tags: Tags,
  *,
  mesh: Mesh | None,
  axis_name: Axes,
  block_size: int | None,
) -> RowTerms:
  """Reduces each row of `queries @ candidates.T` to its `RowTerms`, round a ring.

  What `row_terms` is to the losses of one device; all of this module is built on it.

  Args:
    rule: a module-level function, (tags [rows, 1], tags [1, columns]) -> `counted`
      and `positive`, bool [rows, columns].
    queries: [rows, dim] float32; the temperature is in their scale already.
    candidates: [columns, dim] float32.
    query_tags: tags of the rows, which differ between devices.
    candidate_tags: tags of the columns, likewise.
    mesh: the devices that rows and columns are split over; None inside a `shard_map`
      or `pmap`, where they are one device's.
    axis_name: axes of the mesh, or of the map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    The terms, split as the rows are; differentiable in `queries` and `candidates`.

  Raises:
    InputError: on an unknown axis, or rows or columns that do not divide over it.
  """
  ring = _ring(mesh, axis_name, block_size)
  _check_rows(ring, 1, "no rows have no terms", queries=queries, candidates=candidates)
  local = functools.partial(_travelled, rule, ring.axis_name, block_size)
  return _on_rows(ring, local)(queries, candidates, query_tags, candidate_tags)


def _on_rows(ring, local):
  """A device's function as one of all rows; as it is where per-device code runs."""
  if ring.mesh is None:
    return local
  rows = PartitionSpec(ring.axis_name)
  mapped = jax.shard_map(local, mesh=ring.mesh, in_specs=rows, out_specs=rows)
  return traced_for(ring.mesh, jax.jit(mapped))  # a step's mesh may have other axes


def _attract_views(rule, z_a, z_b, temperature, ring):
  """Loss of both views, one value per row: of the first views, then of the second.

  The views of an example are neighbours until the end, so that of each row only its
  loss moves to another device; one view after the other is split elsewhere.
  """
  z = in_turns(_scaled(z_a, temperature), _scaled(z_b, temperature))
  rows = _numbers(z, ring)
  return _by_view(_attract(rule, z, z, Tags(sample=rows, group=rows // 2), ring))


def _attract(rule, queries, candidates, tags, ring):
  terms = ring_row_terms(rule, queries, candidates, tags, tags, **ring._asdict())
  return terms.attraction()


def _numbers(x, ring):
  """Numbers [rows] of the rows of `x`, no two alike on all devices."""
  rows = jnp.arange(x.shape[0])
  if ring.mesh is not None:
    return rows
  return rows + jax.lax.axis_index(ring.axis_name) * x.shape[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _travelled(
  rule, axis_name, block_size, queries, candidates, query_tags, candidate_tags
):
  return _forward(
    rule, axis_name, block_size, queries, candidates, query_tags, candidate_tags
  )[0]


def _forward(
  rule, axis_name, block_size, queries, candidates, query_tags, candidate_tags
):
  block = _block(block_size, candidates)

  def stop(terms, columns):
    vectors, tags = columns
    here, _ = _streaming._forward(rule, block, queries, vectors, query_tags, tags)
    return _merge(terms, here), columns

  rows = queries[:, 0]  # full_like and zeros_like vary over devices as it does
  terms = RowTerms(jnp.full_like(rows, LOWEST), *[jnp.zeros_like(rows)] * 2)
  terms, _ = _round(axis_name, stop, terms, (candidates, candidate_tags))
  return terms, (queries, candidates, query_tags, candidate_tags, terms.log_partition)


def _backward(rule, axis_name, block_size, saved, cotangents):
  queries, candidates, query_tags, candidate_tags, log_partition = saved
  block = _block(block_size, candidates)

  def stop(d_queries, columns):
    vectors, tags, d_vectors = columns
    here = queries, vectors, query_tags, tags, log_partition
    added = _streaming._backward(rule, block, here, cotangents)
    return d_queries + added[0], (vectors, tags, d_vectors + added[1])

  columns = candidates, candidate_tags, jnp.zeros_like(candidates)
  d_queries, columns = _round(axis_name, stop, jnp.zeros_like(queries), columns)
  return d_queries, columns[2], None, None


_travelled.defvjp(_forward, _backward)


def _round(axis_name, stop, own, columns):
  """Calls `stop(own, columns)` with the columns of every device; they end at home."""

  def turn(_, carry):
    own, columns = stop(*carry)
    return own, _pass_on(axis_name, columns)

  devices = jax.lax.axis_size(axis_name)
  return jax.lax.fori_loop(0, devices, turn, (own, columns))


def _pass_on(axis_name, tree):
  devices = jax.lax.axis_size(axis_name)
  following = [(i, (i + 1) % devices) for i in range(devices)]
  return jax.lax.ppermute(tree, axis_name, following)


def _merge(terms, here):
  return RowTerms(
    jnp.logaddexp(terms.log_partition, here.log_partition),
    terms.positive_sum + here.positive_sum,
    terms.positives + here.positives,
  )


def _block(block_size, candidates):
  columns = candidates.shape[0]
  return columns if block_size is None else min(int(block_size), columns)


def _devices(ring):
  """Number of devices in the ring; raises InputError on an unknown axis."""
  if ring.mesh is None:
    return _mapped_devices(ring.axis_name)
  names = ring.mesh.axis_names
  for axis in _axes(ring):
    if axis not in names:
      hint = nearest(str(axis), names)
      raise InputError(f"The mesh has no axis {axis!r}, only {', '.join(names)}.{hint}")
  return math.prod(ring.mesh.shape[axis] for axis in _axes(ring))


def _axes(ring):
  return (ring.axis_name,) if isinstance(ring.axis_name, str) else ring.axis_name


def _mapped_devices(axis_name):
  try:
    return jax.lax.axis_size(axis_name)
  except NameError:
    raise InputError(
      f"No axis {axis_name!r} is mapped here; pass a mesh, or call this inside a "
      "`shard_map` or `pmap` that has the axis."
    ) from None


def _check_pairs(ring, **arrays):
  check_paired(**arrays)
  _check_rows(ring, 2, "the negatives are the other examples", **arrays)


def _check_rows(ring, least, why, **arrays):
  """Raises InputError unless rows divide over the ring, `least` or more in all."""
  devices = _devices(ring)
  if ring.mesh is None:
    check_rows(math.ceil(least / devices), why, **arrays)
    return
  check_rows(least, why, **arrays)
  for name, array in arrays.items():
    if array.shape[0] % devices:
      raise InputError(
        f"{array.shape[0]} rows of `{name}` do not divide over {devices} devices "
        f"(axis {', '.join(_axes(ring))}); use a multiple of {devices}."
      )
