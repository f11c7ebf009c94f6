"""Nets of masked image models: they predict the pixels of patches from other patches.

Each has the `encoder` that is kept, a ViT, and returns predictions in the order of
`ops.cut_patches`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import Factory, LayerNorm, normal_init
from jaxssl.models.vit import Block, MaskedImage, Mlp, SinCosPositions
from jaxssl.ops.patches import patch_grid

xavier_init = nn.initializers.xavier_uniform()


class Visible(NamedTuple):
  """Images of which the encoder gets some patches and no others.

  Attributes:
    image: [batch, height, width, channels].
    mask: bool [batch, patches], row by row; True where a patch is left out.
    index: int32 [batch, kept], the places of the others, in rising order.
  """

  image: jax.Array
  mask: jax.Array
  index: jax.Array


class Prefixed(NamedTuple):
  """Images whose first patches see each other; the others see those before them.

  Attributes:
    image: [batch, height, width, channels].
    prefix: int32 [batch], how many see each other, 1 ... patches - 1.
  """

  image: jax.Array
  prefix: jax.Array


class Kept(NamedTuple):
  """What the encoder made of the patches that it got.

  Attributes:
    first: the tokens before those of patches, [batch, prefix, dim].
    patches: [batch, kept, dim], in the order of their places.
    mask: bool [batch, patches], True where a patch was left out.
  """

  first: jax.Array
  patches: jax.Array
  mask: jax.Array


class MAE(nn.Module):
  """A masked autoencoder: the encoder computes nothing for patches left out.

  He et al., arXiv 2111.06377, section 3. Positions are added before patches are left
  out.

  Attributes:
    encoder: ViT; the paper's has Xavier-uniform kernels (`presets.masked.mae_vit`).
    decoder: `MAEDecoder`, or what is called alike.
  """

  encoder: nn.Module
  decoder: nn.Module

  @nn.compact
  def __call__(self, x: Visible, *, train: bool, keys: jax.Array | None = None):
    """Maps a `Visible` to predicted pixels, float32 [batch, patches, values]."""
    patch = self.encoder.patch
    return self.decoder(
      self.look(x, train=train, keys=keys),
      grid=patch_grid(x.image.shape, patch),
      values=patch**2 * x.image.shape[-1],
      train=train,
      keys=keys,
    )

  def look(self, x: Visible, *, train: bool, keys: jax.Array | None = None) -> Kept:
    """Embeds all patches, and encodes those that are kept."""
    tokens = self.encoder.embed(x.image)
    first, patches = jnp.split(tokens, [self.encoder.prefix], axis=1)
    patches = jnp.take_along_axis(patches, x.index[..., None], axis=1)
    tokens = jnp.concatenate([first, patches], axis=1)
    tokens = self.encoder.encode(tokens, train=train, keys=keys)
    return Kept(*jnp.split(tokens, [self.encoder.prefix], axis=1), x.mask)


class MAEDecoder(nn.Module):
  """A narrow transformer over kept patches and mask tokens, in their places.

  Attributes:
    width: channels.
    depth: blocks.
    heads: of each attention.
    positions: factory of the positions of patches; the other tokens have none.
    kernel_init: how kernels start.
    dtype: compute dtype; parameters and predictions are float32.
  """

  width: int = 512
  depth: int = 8
  heads: int = 16
  positions: Factory = SinCosPositions
  kernel_init: Callable = xavier_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Kept,
    *,
    grid: tuple[int, int],
    values: int,
    train: bool,
    keys: jax.Array | None = None,
  ) -> jax.Array:
    """Maps a `Kept` to predictions for all patches, float32 [batch, patches, values].

    Args:
      x: tokens of the patches that were kept.
      grid: rows and columns of patches.
      values: pixels times channels of a patch.
      train: whether this is training.
      keys: one per row; not used.

    Returns:
      The predictions.
    """
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    inward = nn.Dense(self.width, **options, name="inward")
    place = self.positions(width=self.width, class_token=False, name="position")(*grid)
    patches = self._in_place(inward(x.patches), x.mask) + place[None].astype(self.dtype)
    tokens = jnp.concatenate([inward(x.first), patches], axis=1)
    for i in range(self.depth):
      block = Block(self.heads, **options, name=f"block{i}")
      tokens = block(tokens, train=train, keys=keys)
    tokens = LayerNorm(dtype=self.dtype, name="norm")(tokens, train=train)
    out = nn.Dense(values, **options, name="out")
    return out(tokens[:, x.first.shape[1] :]).astype(jnp.float32)

  def _in_place(self, kept, mask):
    """Kept patches at their places and the mask token at all others."""
    token = self.param("mask_token", normal_init, (1, 1, self.width))
    rank = jnp.cumsum(~mask, axis=1, dtype=jnp.int32) - 1
    spread = jnp.take_along_axis(kept, jnp.maximum(rank, 0)[..., None], axis=1)
    return jnp.where(mask[..., None], token.astype(self.dtype), spread)


def light_decoder(
  encoder: nn.Module, image: tuple[int, int, int], *, share: float = 0.25
) -> MAEDecoder:
  """The decoder for a small encoder: half as wide, as deep as a share of its cost.

  The paper's decoder costs more than a ViT-S does. This one has as many blocks as fit
  in `share` of the multiplications of the encoder for all patches, but 1 at least and
  8 at most.

  Args:
    encoder: ViT.
    image: height, width and channels of the images.
    share: of the encoder's multiplications.

  Returns:
    The decoder, with the encoder's number of heads.
  """
  patches = math.prod(patch_grid((1, *image), encoder.patch))
  tokens = encoder.prefix + patches
  unit = math.lcm(4, encoder.heads)  # sine positions need a multiple of 4
  width = max(encoder.width // 2 // unit, 1) * unit
  around = tokens * encoder.width * width
  around += patches * width * encoder.patch**2 * image[2]
  budget = share * encoder.depth * _block_cost(tokens, encoder.width, encoder.mlp_ratio)
  depth = int((budget - around) / _block_cost(tokens, width, Block.mlp_ratio))
  return MAEDecoder(width=width, depth=min(max(depth, 1), 8), heads=encoder.heads)


def _block_cost(tokens, width, mlp_ratio):
  """Multiplications of a transformer block for one image."""
  return (4 + 2 * mlp_ratio) * tokens * width**2 + 2 * tokens**2 * width


class SimMIM(nn.Module):
  """A ViT that sees mask tokens among the patches, and one linear layer to pixels.

  Xie et al., arXiv 2111.09886, section 3.

  Attributes:
    encoder: ViT with `mask_token=True`.
    kernel_init: how the kernel of the last layer starts.
  """

  encoder: nn.Module
  kernel_init: Callable = normal_init

  @nn.compact
  def __call__(self, x: MaskedImage, *, train: bool, keys: jax.Array | None = None):
    """Maps a `MaskedImage` to predicted pixels, float32 [batch, patches, values]."""
    tokens = self.encoder.embed(x)
    tokens = self.encoder.encode(tokens, train=train, keys=keys)
    values = self.encoder.patch**2 * x.image.shape[-1]
    out = nn.Dense(values, kernel_init=self.kernel_init, name="out")
    return out(tokens[:, self.encoder.prefix :])


class AIM(nn.Module):
  """A ViT that reads patches in raster order, and a head that tells the next one.

  El-Nouby et al., arXiv 2401.08541, section 3. As there, sine positions are added
  again before the head. The layers here keep their biases.

  Attributes:
    encoder: ViT without class token and registers.
    head: `PixelHead`, or what is called alike.
  """

  encoder: nn.Module
  head: nn.Module

  @nn.compact
  def __call__(self, x: Prefixed, *, train: bool, keys: jax.Array | None = None):
    """Maps a `Prefixed` to the pixels of all patches but the first.

    Args:
      x: images, and how many of their patches see each other.
      train: whether this is training.
      keys: one per row, for the encoder's `drop_path`.

    Returns:
      float32 [batch, patches - 1, values]; entry i is what patches 0 ... i (and all
      of the prefix) say of patch i + 1.
    """
    patch = self.encoder.patch
    grid = patch_grid(x.image.shape, patch)
    mask = prefix_mask(x.prefix, math.prod(grid))
    tokens = self.encoder.embed(x.image)
    tokens = self.encoder.encode(tokens, train=train, keys=keys, mask=mask)
    position = SinCosPositions(self.encoder.width, class_token=False)
    tokens = (tokens + position(*grid)[None])[:, :-1]
    return self.head(tokens, values=patch**2 * x.image.shape[-1], train=train)


def prefix_mask(prefix: jax.Array, patches: int) -> jax.Array:
  """Which patch sees which: those before it and itself, and the prefix sees itself.

  Args:
    prefix: int32 [batch], how many of the first patches see each other.
    patches: how many there are.

  Returns:
    bool [batch, patches, patches]; patch i sees patch j where [:, i, j] is True.
  """
  place = jnp.arange(patches, dtype=prefix.dtype)
  before = place[:, None] >= place[None, :]
  return before[None] | (place[None] < prefix[:, None])[:, None, :]


class PixelHead(nn.Module):
  """Residual MLPs on each token alone, then a linear layer to pixels: AIM's head.

  Attributes:
    width: channels, 2,048 in the paper.
    depth: MLPs, 12 in the paper.
    kernel_init: how kernels start.
    dtype: compute dtype; parameters and predictions are float32.
  """

  width: int = 2048
  depth: int = 12
  kernel_init: Callable = xavier_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, *, values: int, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps tokens [batch, tokens, dim] to float32 [batch, tokens, values]."""
    del keys
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    x = nn.Dense(self.width, **options, name="inward")(x)
    for i in range(self.depth):
      y = LayerNorm(dtype=self.dtype, name=f"norm{i}")(x, train=train)
      x = x + Mlp(4 * self.width, **options, name=f"mlp{i}")(y, train=train)
    x = LayerNorm(dtype=self.dtype, name="norm")(x, train=train)
    return nn.Dense(values, **options, name="out")(x).astype(jnp.float32)


def check_patches_alone(encoder: nn.Module, method: str) -> None:
  """Raises InputError if a ViT has tokens beside those of patches."""
  if encoder.prefix:
    raise InputError(
      f"{method} has tokens of patches alone; pass a ViT with class_token=False and no "
      "registers."
    )
