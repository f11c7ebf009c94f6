"""Losses of pairs: which caption belongs to which image, among all of a batch.

Both take un-normalised projections [batch, dim] of images and captions, compare them
by cosine in float32, and return one value per image. `block_size` bounds the memory as
in `contrastive`; the ring forms go round the devices of a mesh as those of `ring` do.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxssl.losses import _streaming, ring
from jaxssl.losses._checks import (
  check_block_size,
  check_paired,
  check_positive,
  check_rows,
)
from jaxssl.losses.contrastive import _everything, _rows, _scaled
from jaxssl.ops.numerics import l2_normalize

WHY = "the negatives are the other pairs"


def clip(
  image: jax.Array,
  text: jax.Array,
  *,
  logit_scale: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """Symmetric cross-entropy of CLIP: each image its caption, each caption its image.

  Radford et al. 2021, arXiv:2103.00020, figure 3: the mean of both directions.

  Args:
    image: projections of the images, [batch, dim], batch at least 2.
    text: projections of their captions, [batch, dim].
    logit_scale: multiplies the cosines, above 0; the inverse of a temperature.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per pair, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, a single pair, or a bad option.
  """
  check_paired(image=image, text=text)
  check_rows(2, WHY, image=image)
  _check(logit_scale, block_size)
  image, text = _both(image, text, logit_scale)
  tags = _rows(image), _rows(text)
  terms = functools.partial(_streaming.row_terms, _everything, block_size=block_size)
  to_text = terms(image, text, *tags).attraction()
  return 0.5 * (to_text + terms(text, image, *tags).attraction())


def siglip(
  image: jax.Array,
  text: jax.Array,
  *,
  logit_scale: float | jax.Array,
  logit_bias: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """Pairwise sigmoid loss of SigLIP: does this caption belong to this image?

  Zhai et al. 2023, arXiv:2303.15343, equation 1: summed over the captions; the mean
  over the images is the paper's loss.

  Args:
    image: projections of the images, [batch, dim], batch at least 2.
    text: projections of their captions, [batch, dim].
    logit_scale: multiplies the cosines, above 0.
    logit_bias: added to the scaled cosines.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per image, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, a single pair, or a bad option.
  """
  check_paired(image=image, text=text)
  check_rows(2, WHY, image=image)
  _check(logit_scale, block_size)
  queries, candidates = _with_bias(image, text, logit_scale, logit_bias)
  own = jnp.sum(queries * candidates, axis=1)
  return _sums(queries, candidates, block_size) - own


def ring_clip(
  image: jax.Array,
  text: jax.Array,
  *,
  logit_scale: float | jax.Array,
  mesh: Mesh | None,
  axis_name: ring.Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`clip` of rows that are split over devices.

  Args:
    image: projections of the images, [batch, dim], batch at least 2.
    text: projections of their captions, [batch, dim].
    logit_scale: multiplies the cosines, above 0.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per pair, [batch].

  Raises:
    InputError: as `clip`; on an unknown axis, or a batch that does not divide.
  """
  around = ring._ring(mesh, axis_name, block_size)
  ring._check_pairs(around, image=image, text=text)
  _check(logit_scale, block_size)
  image, text = _both(image, text, logit_scale)
  rows = ring._numbers(image, around)
  tags = _streaming.Tags(rows, rows)
  to_text = ring._attract(_everything, image, text, tags, around)
  return 0.5 * (to_text + ring._attract(_everything, text, image, tags, around))


def ring_siglip(
  image: jax.Array,
  text: jax.Array,
  *,
  logit_scale: float | jax.Array,
  logit_bias: float | jax.Array,
  mesh: Mesh | None,
  axis_name: ring.Axes = None,
  block_size: int | None = None,
) -> jax.Array:
  """`siglip` of rows that are split over devices, as in the paper's section 3.3.

  Args:
    image: projections of the images, [batch, dim], batch at least 2.
    text: projections of their captions, [batch, dim].
    logit_scale: multiplies the cosines, above 0.
    logit_bias: added to the scaled cosines.
    mesh: the devices that hold the rows; None inside a `shard_map` or `pmap`.
    axis_name: axes of the mesh (or of the map) that the rows are split over; None:
      all of the mesh, "data" of a map.
    block_size: columns per block of a device's own, or None for all of them at once.

  Returns:
    One value per image, [batch].

  Raises:
    InputError: as `siglip`; on an unknown axis, or a batch that does not divide.
  """
  around = ring._ring(mesh, axis_name, block_size)
  ring._check_pairs(around, image=image, text=text)
  _check(logit_scale, block_size)
  queries, candidates = _with_bias(image, text, logit_scale, logit_bias)
  local = functools.partial(_travelled, around.axis_name, block_size)
  over_rows = ring._on_rows(around, local)
  return over_rows(queries, candidates) - jnp.sum(queries * candidates, axis=1)


def _check(logit_scale, block_size):
  check_positive(logit_scale=logit_scale)
  check_block_size(block_size)


def _both(image, text, logit_scale):
  """Rows of length sqrt(scale), whose products are logits."""
  temperature = 1.0 / jnp.asarray(logit_scale, jnp.float32)
  return _scaled(image, temperature), _scaled(text, temperature)


def _with_bias(image, text, logit_scale, logit_bias):
  """Rows whose products are scaled cosines plus the bias, which is a column more."""
  text = l2_normalize(text.astype(jnp.float32))
  image = l2_normalize(image.astype(jnp.float32)) * logit_scale
  one = jnp.ones_like(image[:, :1])  # varies over devices as the rows do
  queries = jnp.concatenate([image, one * logit_bias], axis=1)
  return queries, jnp.concatenate([text, one], axis=1)


# The sum of softplus(queries @ candidates.T) over the columns: at once, in blocks, or
# round a ring. Blocks are computed again in the backward pass.


def _sums(queries, candidates, block_size):
  if block_size is None:
    return jnp.sum(jax.nn.softplus(_streaming._product(queries, candidates.T)), axis=1)
  return _streamed(min(int(block_size), len(candidates)), queries, candidates)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _streamed(block, queries, candidates):
  return _forward(block, queries, candidates)[0]


def _forward(block, queries, candidates):
  columns, real, count = _padded(block, candidates)

  def visit(index, total):
    here, counted = (_streaming._cut(x, block, index) for x in (columns, real))
    logits = _streaming._product(queries, here.T)
    return total + jnp.sum(jax.nn.softplus(logits) * counted[None], axis=1)

  total = jax.lax.fori_loop(0, count, visit, jnp.zeros_like(queries[:, 0]))
  return total, (queries, candidates)


def _backward(block, saved, cotangents):
  queries, candidates = saved
  columns, real, count = _padded(block, candidates)

  def visit(index, carry):
    d_queries, d_columns = carry
    here, counted = (_streaming._cut(x, block, index) for x in (columns, real))
    slopes = jax.nn.sigmoid(_streaming._product(queries, here.T))
    weights = cotangents[:, None] * slopes * counted[None]
    d_queries += _streaming._product(weights, here)
    d_here = _streaming._product(weights.T, queries)
    return d_queries, _streaming._paste(d_columns, d_here, index)

  start = jnp.zeros_like(queries), _streaming._fold(jnp.zeros_like(columns), block)
  d_queries, d_columns = jax.lax.fori_loop(0, count, visit, start)
  return d_queries, d_columns.reshape(columns.shape)[: len(candidates)]


_streamed.defvjp(_forward, _backward)


def _padded(block, candidates):
  """The columns with rows added until `block` divides them, 1 where real, blocks."""
  more = -len(candidates) % block
  real = jnp.pad(jnp.ones_like(candidates[:, 0]), (0, more))
  return jnp.pad(candidates, ((0, more), (0, 0))), real, len(real) // block


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _travelled(axis_name, block_size, queries, candidates):
  return _travel(axis_name, block_size, queries, candidates)[0]


def _travel(axis_name, block_size, queries, candidates):
  block = ring._block(block_size, candidates)

  def stop(total, columns):
    return total + _forward(block, queries, columns)[0], columns

  start = jnp.zeros_like(queries[:, 0])
  total, _ = ring._round(axis_name, stop, start, candidates)
  return total, (queries, candidates)


def _travel_back(axis_name, block_size, saved, cotangents):
  queries, candidates = saved
  block = ring._block(block_size, candidates)

  def stop(d_queries, carried):
    columns, d_columns = carried
    added = _backward(block, (queries, columns), cotangents)
    return d_queries + added[0], (columns, d_columns + added[1])

  carried = candidates, jnp.zeros_like(candidates)
  d_queries, carried = ring._round(axis_name, stop, jnp.zeros_like(queries), carried)
  return d_queries, carried[1]


_travelled.defvjp(_travel, _travel_back)
