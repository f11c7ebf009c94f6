"""Random masks of a grid of patches: boolean, of one fixed shape, a key an image.

Patches are numbered row by row, as a ViT's. `jax.vmap` over the keys gives every
image its own mask; nothing depends on the other images.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError

Grid = tuple[int, int]
Range = tuple[float, float]

BLOCKS = 20  # blocks that `block_mask` tries
LAYOUTS = 10  # layouts that `ijepa_blocks` tries


class Blocks(NamedTuple):
  """What I-JEPA's student sees and what it predicts, of one image.

  Attributes:
    context: bool [patches], the patches that the student sees.
    targets: bool [targets, patches], one rectangle each; disjoint from the context.
  """

  context: jax.Array
  targets: jax.Array


def random_mask(
  key: jax.Array, *, grid: Grid, ratio: float, unit: int = 1
) -> jax.Array:
  """Masks a fixed number of units at random: MAE and SimMIM.

  MAE (arXiv 2111.06377) masks 0.75 of single patches, SimMIM (arXiv 2111.09886) 0.6
  of squares of 32 pixels, `unit=2` for patches of 16. Masked are
  ceil(ratio * units) units, which leaves MAE's floor((1 - ratio) * patches) patches.

  Args:
    key: PRNG key.
    grid: rows and columns of patches.
    ratio: share of the units that is masked, 0 to 1.
    unit: side in patches of the squares that are masked as one.

  Returns:
    bool [rows * columns], True where masked.

  Raises:
    InputError: if `ratio` is no share or `unit` doesn't divide the grid.
  """
  rows, columns = _check_grid(grid, least=1)
  _check_share("ratio", (ratio, ratio))
  if unit < 1 or rows % unit or columns % unit:
    raise InputError(f"units of {unit} in a grid of {grid}; pass a divisor of both")
  shape = rows // unit, columns // unit
  masked = math.ceil(round(ratio * shape[0] * shape[1], 6))
  order = jax.random.permutation(key, shape[0] * shape[1])
  units = (order < masked).reshape(shape)
  return jnp.repeat(jnp.repeat(units, unit, axis=0), unit, axis=1).reshape(-1)


def block_mask(
  key: jax.Array,
  *,
  grid: Grid,
  ratio: Range = (0.1, 0.5),
  probability: float = 0.5,
  aspect: float = 0.3,
) -> jax.Array:
  """Masks rectangles until a budget is used up: BEiT, iBOT and DINOv2.

  Of BEiT (arXiv 2106.08254, algorithm 1) with the numbers of iBOT (arXiv 2111.07832):
  the budget is 0, or a share of the patches that is uniform in `ratio`. Then blocks
  are drawn one after another: area uniform between a ninth of the grid's shorter side
  squared and what is left, aspect log-uniform, place uniform; a block stays if it is
  shorter and narrower than the grid and adds at least one patch and no more than are
  left. BEiT itself is `ratio=(75 / 196, 75 / 196), probability=1.0`.

  The official code stops after ten failures in a row; here 20 blocks are tried in
  all. So the count never exceeds the budget, rounded to whole patches, and may fall
  short of it by a few.

  Args:
    key: PRNG key.
    grid: rows and columns of patches, at least 2 each.
    ratio: (low, high) share of the patches to mask.
    probability: that the image is masked at all; otherwise nothing of it is.
    aspect: least height / width of a block, the greatest is its inverse; 0 to 1.

  Returns:
    bool [rows * columns], True where masked.

  Raises:
    InputError: if an option is out of its range.
  """
  shape = _check_grid(grid, least=2)
  _check_share("ratio", ratio)
  _check_share("probability", (probability, probability))
  if not 0.0 < aspect <= 1.0:
    raise InputError(f"aspect {aspect}; pass the least aspect, above 0 and up to 1")
  key_gate, key_ratio, key_blocks = jax.random.split(key, 3)
  masked = jax.random.bernoulli(key_gate, probability)
  share = _between(jax.random.uniform(key_ratio), *ratio)
  budget = jnp.where(masked, jnp.round(share * math.prod(shape)), 0.0)

  def step(mask, draw):
    return mask | _acceptable_block(mask, draw, budget, math.log(aspect)), None

  draws = jax.random.uniform(key_blocks, (BLOCKS, 4))
  return jax.lax.scan(step, jnp.zeros(shape, bool), draws)[0].reshape(-1)


def ijepa_blocks(
  step_key: jax.Array,
  row_key: jax.Array,
  *,
  grid: Grid,
  targets: int = 4,
  target_scale: Range = (0.15, 0.2),
  target_aspect: Range = (0.75, 1.5),
  context_scale: Range = (0.85, 1.0),
  min_context: float = 0.05,
) -> Blocks:
  """A large context block and several target blocks cut out of it: I-JEPA.

  arXiv 2301.08243, section 3. Both sizes come from `step_key`, so
  that a batch shares them, the places from `row_key`. As in the official code one
  draw sets the scale and the aspect of the targets, the context's aspect is 1, and
  every block is shorter and narrower than the grid. There a block never touches the
  last row or column; here every place is as likely.

  A layout whose context is too small is drawn again, ten times at most; after that
  all targets take the place of the first and the context is all the rest. (The
  official code lets the context overlap with targets then.)

  Args:
    step_key: PRNG key, the same for all rows of a step.
    row_key: PRNG key of the row.
    grid: rows and columns of patches, at least 2 each.
    targets: number of target blocks.
    target_scale: (low, high) share of the patches of a target block.
    target_aspect: (low, high) height / width of a target block.
    context_scale: (low, high) share of the patches of the context block, before the
      targets are taken out of it.
    min_context: least share of the patches in the context; 0.05 is 10 of 196.

  Returns:
    Blocks(context [patches], targets [targets, patches]), bool; none is empty.

  Raises:
    InputError: if an option is out of its range.
  """
  shape = _check_grid(grid, least=2)
  _check_blocks(targets, target_aspect)
  for name, share in (("target_scale", target_scale), ("context_scale", context_scale)):
    _check_share(name, share)
  _check_share("min_context", (min_context, min_context))
  draws = jax.random.uniform(step_key, (2,))
  size = _block_size(draws[0], shape, target_scale, target_aspect)
  around = _block_size(draws[1], shape, context_scale, (1.0, 1.0))
  places = jax.random.uniform(row_key, (LAYOUTS, targets + 1, 2))
  blocks = _placed(places[:, :-1], size, shape)
  contexts = _placed(places[:, -1], around, shape) & ~jnp.any(blocks, axis=1)
  least = max(math.ceil(round(min_context * math.prod(shape), 6)), 1)
  enough = jnp.sum(contexts, axis=(1, 2)) >= least
  return _first_layout(enough, contexts, blocks)


def _first_layout(enough, contexts, blocks):
  """The first layout with enough context, or the first target and the rest."""
  chosen = jnp.argmax(enough)
  alone = blocks[0, 0]
  context = jnp.where(jnp.any(enough), contexts[chosen], ~alone)
  targets = jnp.where(jnp.any(enough), blocks[chosen], alone[None])
  return Blocks(context.reshape(-1), targets.reshape(len(targets), -1))


def _acceptable_block(mask, draw, budget, log_aspect):
  """A block of new patches within the budget, [rows, columns]; or nothing."""
  rows, columns = mask.shape
  remaining = budget - jnp.sum(mask, dtype=jnp.float32)
  area = _between(draw[0], float((min(rows, columns) // 3) ** 2), remaining)
  aspect = jnp.exp(_between(draw[1], log_aspect, -log_aspect))
  size = jnp.sqrt(jnp.stack([area * aspect, area / aspect]))
  size = jnp.maximum(jnp.round(size), 1.0)
  block = _placed(draw[2:], size, mask.shape)
  new = jnp.sum(block & ~mask, dtype=jnp.float32)
  fits = (size[0] < rows) & (size[1] < columns)
  return block & fits & (new > 0.0) & (new <= remaining)


def _block_size(draw, grid, scale, aspect):
  """I-JEPA's (height, width) [2] in patches: one draw for scale and aspect."""
  area = jnp.floor(_between(draw, *scale) * math.prod(grid))
  aspect = _between(draw, *aspect)
  size = jnp.round(jnp.sqrt(jnp.stack([area * aspect, area / aspect])))
  return jnp.clip(size, 1.0, np.asarray(grid, np.float32) - 1.0)


def _placed(draws, size, grid):
  """Rectangles of `size` [2] at uniform draws [..., 2], bool [..., rows, columns]."""
  free = jnp.asarray(grid, jnp.float32) - size + 1.0
  free = jnp.broadcast_to(free, draws.shape)
  start = jnp.minimum(jnp.floor(draws * free), free - 1.0)
  end = start + jnp.broadcast_to(size, start.shape)
  inside = [
    (start[..., axis, None] <= line) & (line < end[..., axis, None])
    for axis, line in enumerate(_lines(grid, draws.ndim))
  ]
  return inside[0][..., :, None] & inside[1][..., None, :]


def _lines(grid, rank):
  """The numbers of the rows and of the columns, each with `rank` axes."""
  return [
    jnp.arange(length, dtype=jnp.float32).reshape((1,) * (rank - 1) + (-1,))
    for length in grid
  ]


def _between(uniform, low, high):
  return low + (high - low) * uniform


def _check_grid(grid, *, least):
  good = np.shape(grid) == (2,) and all(isinstance(n, int) and n >= least for n in grid)
  if not good:
    raise InputError(
      f"a grid of {grid}; pass (rows, columns) of patches, at least {least} each"
    )
  return tuple(grid)


def _check_share(name, values):
  if np.shape(values) != (2,) or not 0.0 <= values[0] <= values[1] <= 1.0:
    raise InputError(f"{name} {values}; pass a share, or (low, high) shares, 0 to 1")


def _check_blocks(targets, aspect):
  if targets < 1:
    raise InputError(f"{targets} target blocks; pass at least 1")
  if np.shape(aspect) != (2,) or not 0.0 < aspect[0] <= aspect[1]:
    raise InputError(f"target_aspect {aspect}; pass (low, high) with 0 < low <= high")
