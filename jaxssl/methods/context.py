"""Context: where does one patch lie, seen from another of the same image?"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment import drop_colors, random_low_resolution, random_tiles
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.predictive import classification, draw_question, on_board
from jaxssl.models.tiles import Groups, Tiles, neighbour_pairs

AROUND = 8  # places around a patch, row by row without the patch itself
MIDDLE = 4  # of 3 x 3
PAIRS = neighbour_pairs()


def context(
  encoder: nn.Module,
  projector: nn.Module,
  head: nn.Module,
  views: Callable,
  *,
  tile: int,
  gap: int,
  smallest: int,
  low_resolution: float = 1 / 3,
  pairs: Groups = PAIRS,
) -> Method:
  """Relative places of patches (Doersch et al., arXiv 1505.05192, section 3).

  The view is cut into 3 x 3 cells, and a patch is taken from a random place in each.
  Each patch by itself may lose resolution, and loses all of its colours but one:
  lenses shift one against the other, and the shift tells the place. The encoder sees
  each patch once, the head all pairs. Give the encoder as
  `models.Standardized(encoder)`: where the authors centre the channel that is left and
  scale the patch, it centres and scales each channel.

  Args:
    encoder: images -> features, called on each patch.
    projector: features of a patch -> what is joined; a ReLU follows.
    head: joined projections [batch, pairs, 2 * dim] -> 8 logits.
    views: (key, example) -> inputs, of which the first is used; its cells are a third
      of it.
    tile: side of a patch in pixels, 2/3 of a cell in the paper.
    gap: least number of pixels between two patches, a quarter of a cell in the paper.
    smallest: least side to which a patch is scaled down, before it is scaled up again;
      a tenth of `tile` in the paper.
    low_resolution: probability of that.
    pairs: (from, to) of two of the 9 patches that touch; the middle one and each
      other, in both orders, unless given. Fewer save work in the head alone.

  Returns:
    The method.

  Raises:
    InputError: if the patches of a pair don't touch, or, when it is traced, if the
      patches don't fit the views.
  """
  ask = partial(
    patches_around,
    cut=partial(random_tiles, grid=(3, 3), tile=tile, gap=gap),
    blur=partial(random_low_resolution, smallest=smallest, probability=low_resolution),
    places=tuple(place_of(*pair) for pair in pairs),
  )
  net = Tiles(encoder, head, groups=tuple(pairs), projector=projector)
  show = partial(show_places, pairs=pairs)
  return classification(net, draw_question(views, ask), classes=AROUND, show=show)


def patches_around(
  key: jax.Array,
  image: jax.Array,
  *,
  cut: Callable,
  blur: Callable,
  places: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
  """Nine patches of an image without what would give their places away.

  Args:
    key: PRNG key.
    image: [height, width, channels].
    cut: (key, image) -> [9, height, width, channels].
    blur: (key, patch) -> patch.
    places: the answer for each pair.

  Returns:
    The patches, each changed by itself, and the places.
  """
  key_cut, key_blur, key_colors = jax.random.split(key, 3)
  patches = cut(key_cut, image)
  patches = jax.vmap(blur)(jax.random.split(key_blur, 9), patches)
  patches = jax.vmap(drop_colors)(jax.random.split(key_colors, 9), patches)
  return patches, jnp.asarray(places)


def place_of(first: int, second: int) -> int:
  """Where the second of two of 3 x 3 patches lies, seen from the first.

  Args:
    first: number of a patch, row by row.
    second: number of one that touches it.

  Returns:
    0 ... 7: upper left, above, upper right, left, right, lower left, below, lower
    right.

  Raises:
    InputError: if they are no two patches that touch.
  """
  down, right = second // 3 - first // 3, second % 3 - first % 3
  inside = min(first, second) >= 0 and max(first, second) < 9
  if not inside or first == second or max(abs(down), abs(right)) > 1:
    raise InputError(
      f"Patches {first} and {second} don't touch; pass two of 0 ... 8, row by row, "
      "that do."
    )
  at = 3 * (down + 1) + right + 1
  return at - (at > MIDDLE)


def show_places(
  patches: jax.Array, places: jax.Array, logits: jax.Array, *, pairs: Groups
) -> dict:
  """Pictures of pairs: the second patch where it was, and where it is thought to be.

  Row i shows pair i, and so on in turn, of its image.

  Args:
    patches: [batch, 9, height, width, channels].
    places: [batch, pairs].
    logits: [batch, pairs, 8].
    pairs: (from, to) of the patches.

  Returns:
    [batch, 2, height, width, channels] of boards with the first patch in the middle.
  """
  row, groups = jnp.arange(len(patches)), jnp.asarray(pairs)
  pair = row % len(pairs)
  first, second = patches[row, groups[pair, 0]], patches[row, groups[pair, 1]]

  def board(place):
    at = jnp.where(place >= MIDDLE, place + 1, place)
    empty = jnp.zeros((len(row), 9, *patches.shape[2:]), patches.dtype)
    laid = empty.at[:, MIDDLE].set(first).at[row, at].set(second)
    return on_board(laid, (3, 3))

  boards = board(places[row, pair]), board(jnp.argmax(logits[row, pair], axis=-1))
  name = "two patches as they lay | where the second is predicted"
  return {name: jnp.stack(boards, axis=1)}
