"""The net of I-JEPA: what is where in an image, from what was seen elsewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import Factory, LayerNorm, normal_init
from jaxssl.models.siamese import fold_in_rows
from jaxssl.models.vit import Block, SinCosPositions


class Puzzle(NamedTuple):
  """Images, the places that are seen of each, and blocks of places asked for.

  All lists have a fixed length; entries marked False are padding.

  Attributes:
    image: [batch, height, width, channels].
    index: int32 [batch, seen], places in the grid of patches, counted row by row.
    seen: bool [batch, seen].
    target_index: int32 [batch, blocks, targets].
    asked: bool [batch, blocks, targets].
  """

  image: jax.Array
  index: jax.Array
  seen: jax.Array
  target_index: jax.Array
  asked: jax.Array


class Glimpse(NamedTuple):
  """Features of some patches, and one block of places asked for; as `Puzzle`.

  Attributes:
    patches: features of the seen patches, [batch, seen, dim].
    index: int32 [batch, seen], their places in the grid, counted row by row.
    seen: bool [batch, seen].
    target_index: int32 [batch, targets], the places asked for.
    asked: bool [batch, targets].
  """

  patches: jax.Array
  index: jax.Array
  seen: jax.Array
  target_index: jax.Array
  asked: jax.Array


def first_true(mask: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
  """Lists where a mask is True, in order, as a fixed number of places.

  Args:
    mask: bool [..., places].
    count: length of the list; of more True places the first `count` are listed.

  Returns:
    int32 indices [..., count], and bool [..., count], False for padding.

  Raises:
    InputError: if `count` is not in 1 ... places.
  """
  if not 1 <= count <= mask.shape[-1]:
    raise InputError(
      f"Cannot list {count} of {mask.shape[-1]} patches; pass 1 to {mask.shape[-1]}."
    )
  index = jnp.argsort(~mask, axis=-1, stable=True)[..., :count].astype(jnp.int32)
  return index, jnp.take_along_axis(mask, index, axis=-1)


class Jepa(nn.Module):
  """Encoder of what is seen, then the predictor, once for each block.

  Attributes:
    encoder: ViT without class token and registers.
    predictor: `PatchPredictor`.
  """

  encoder: nn.Module
  predictor: nn.Module

  @nn.compact
  def __call__(self, x: Puzzle, *, train: bool, keys: jax.Array | None = None):
    """Maps a `Puzzle` to predictions, [batch, blocks, targets, dim]."""
    tokens = self.encoder.embed(x.image)
    tokens = jnp.take_along_axis(tokens, x.index[..., None], axis=1)
    patches = self.encoder.encode(tokens, train=train, keys=keys, mask=x.seen)
    out = self.predictor(
      _each_block(x, patches),
      grid=tuple(side // self.encoder.patch for side in x.image.shape[1:3]),
      train=train,
      keys=_block_keys(keys, x.target_index.shape[1]),
    )
    return out.reshape(*x.target_index.shape, -1)


def _each_block(x, patches):
  """One row per block, the batch outermost, so that no row changes its device."""
  blocks = x.target_index.shape[1]
  repeat = lambda a: jnp.broadcast_to(a[:, None], (a.shape[0], blocks, *a.shape[1:]))
  seen = [_merge(repeat(a)) for a in (patches, x.index, x.seen)]
  return Glimpse(*seen, _merge(x.target_index), _merge(x.asked))


def _block_keys(keys, blocks):
  if keys is None:
    return None
  return _merge(jnp.stack([fold_in_rows(keys, i) for i in range(blocks)], axis=1))


def _merge(x):
  return x.reshape(-1, *x.shape[2:])


class PatchPredictor(nn.Module):
  """A narrow transformer over seen patches and one mask token per target.

  Assran et al., arXiv 2301.08243, section 3; called with the grid of patches beside
  what every net is called with.

  Attributes:
    width: channels, 384 in the paper.
    depth: blocks, 6 in the official code's default, 12 for ViT-H.
    heads: of each attention; those of the encoder in the paper.
    positions: factory of the positions.
    drop_path: probability of dropping a branch for a row, in [0, 1), in every block.
    kernel_init: how kernels start; 0.02 of the paper suits its widths.
    dtype: compute dtype; parameters and predictions are float32.
  """

  width: int = 384
  depth: int = 6
  heads: int = 12
  positions: Factory = SinCosPositions
  drop_path: float = 0.0
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Glimpse,
    *,
    grid: tuple[int, int],
    train: bool,
    keys: jax.Array | None = None,
  ) -> jax.Array:
    """Maps a `Glimpse` to predicted features, float32 [batch, targets, dim]."""
    tokens = self._tokens(x, grid)
    mask = jnp.concatenate([x.seen, x.asked], axis=1)
    for i in range(self.depth):
      block = Block(
        self.heads,
        drop_path=self.drop_path,
        kernel_init=self.kernel_init,
        dtype=self.dtype,
        name=f"block{i}",
      )
      tokens = block(tokens, train=train, keys=keys, mask=mask)
    tokens = LayerNorm(dtype=self.dtype, name="norm")(tokens, train=train)
    out = nn.Dense(
      x.patches.shape[-1], kernel_init=self.kernel_init, dtype=self.dtype, name="out"
    )
    return out(tokens[:, x.index.shape[1] :]).astype(jnp.float32)

  def _tokens(self, x, grid):
    place = self.positions(width=self.width, class_token=False, name="position")(*grid)
    inward = nn.Dense(
      self.width, kernel_init=self.kernel_init, dtype=self.dtype, name="inward"
    )
    token = self.param("mask_token", normal_init, (1, 1, self.width))
    tokens = [inward(x.patches) + place[x.index], token + place[x.target_index]]
    return jnp.concatenate([t.astype(self.dtype) for t in tokens], axis=1)
