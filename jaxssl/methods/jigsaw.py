"""Jigsaw: by which permutation of a set were the tiles of the image shuffled?"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment import random_tiles
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.methods.predictive import classification, draw_question, on_board
from jaxssl.models.tiles import Tiles, all_tiles

PyTree = Any


class JigsawExtra(NamedTuple):
  """State of jigsaw beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    permutations: int32 [classes, tiles], what the head's classes mean: kept with the
      weights, as they are worth nothing without.
  """

  stats: PyTree
  permutations: jax.Array


def jigsaw(
  encoder: nn.Module,
  projector: nn.Module,
  head: nn.Module,
  views: Callable,
  *,
  permutations: np.ndarray,
  grid: tuple[int, int] = (3, 3),
  tile: int = 64,
  gap: int = 0,
) -> Method:
  """Jigsaw puzzles (Noroozi and Favaro, arXiv 1603.09246, section 3).

  The image is cut into cells, a tile is taken from a random place in each, and the
  tiles are shuffled by a permutation that is drawn from the set; the net sees each
  tile by itself. Give the encoder as `models.Standardized(encoder)`, as the paper
  standardises each tile; VISSL doesn't.

  Args:
    encoder: images -> features, called on each tile.
    projector: features of a tile -> what is joined; a ReLU follows.
    head: joined projections [batch, 1, tiles * dim] -> one logit a permutation.
    views: (key, example) -> inputs, of which the first is used.
    permutations: int [classes, tiles], such as
      `ops.permutation_set(9, count=1000, seed=0)`; place i of a puzzle shows tile
      `permutation[i]`.
    grid: rows and columns of cells.
    tile: side of a tile in pixels.
    gap: least number of pixels between two tiles; 0 in the paper, whose tiles are
      apart by 21 pixels in the mean.

  Returns:
    The method; its state is a `JigsawExtra`.

  Raises:
    InputError: if the permutations are no set of permutations of the grid's tiles, or,
      when it is traced, if the tiles don't fit the views.
  """
  count = grid[0] * grid[1]
  permutations = _checked(permutations, count)
  cut = partial(random_tiles, grid=grid, tile=tile, gap=gap)
  net = Tiles(encoder, head, groups=all_tiles(count), projector=projector)

  def with_table(table):
    question = lambda key, image: shuffled(key, image, cut=cut, permutations=table)
    show = partial(show_puzzles, permutations=table, grid=grid)
    pretext = draw_question(views, question)
    return classification(net, pretext, classes=len(permutations), show=show)

  def init(key, batch):
    params, extra = with_table(jnp.asarray(permutations)).init(key, batch)
    return params, JigsawExtra(extra.stats, jnp.asarray(permutations))

  def forward(params, extra, batch, keys, step):
    method, inner = with_table(extra.permutations), Extra(extra.stats)
    rows, inner = method.forward(params, inner, batch, keys, step)
    return rows, extra._replace(stats=inner.stats)

  def show(params, extra, batch, keys):
    method = with_table(extra.permutations)
    return method.show(params, Extra(extra.stats), batch, keys)

  rest = with_table(permutations)
  return rest._replace(init=init, forward=forward, show=show)


def shuffled(
  key: jax.Array, image: jax.Array, *, cut: Callable, permutations: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Cuts an image into tiles and shuffles them by a permutation that is drawn.

  Args:
    key: PRNG key.
    image: [height, width, channels].
    cut: (key, image) -> [tiles, height, width, channels].
    permutations: int [classes, tiles].

  Returns:
    The tiles in their new order, and the permutation's number, [1].
  """
  key_cut, key_order = jax.random.split(key)
  label = jax.random.randint(key_order, (1,), 0, len(permutations))
  return cut(key_cut, image)[permutations[label[0]]], label


def show_puzzles(
  tiles: jax.Array,
  labels: jax.Array,
  logits: jax.Array,
  *,
  permutations: jax.Array,
  grid: tuple[int, int],
) -> dict:
  """Pictures of puzzles: as asked, as answered, and as they were.

  Args:
    tiles: shuffled, [batch, tiles, height, width, channels].
    labels: [batch, 1].
    logits: [batch, 1, classes].
    permutations: int [classes, tiles].
    grid: rows and columns.

  Returns:
    [batch, 3, height, width, channels] of boards.
  """

  def arranged(number):
    back = jnp.argsort(jnp.asarray(permutations)[number], axis=1)
    return jax.vmap(lambda x, order: x[order])(tiles, back)

  answer = jnp.argmax(logits[:, 0], axis=-1)
  columns = (tiles, arranged(answer), arranged(labels[:, 0]))
  boards = jnp.stack([on_board(x, grid) for x in columns], axis=1)
  return {"shuffled | arranged by the prediction | original": boards}


def _checked(permutations, tiles):
  table = np.asarray(permutations, np.int32)
  if table.ndim != 2 or len(table) < 2 or table.shape[1] != tiles:
    raise InputError(
      f"Permutations of shape {table.shape} for {tiles} tiles; pass [classes, {tiles}] "
      "with 2 classes or more."
    )
  different = len(np.unique(table, axis=0)) == len(table)
  if not different or np.any(np.sort(table, axis=1) != np.arange(tiles)):
    raise InputError(
      f"Permutations that are none of {tiles} tiles, or are there twice; "
      "ops.permutation_set makes a set."
    )
  return table
