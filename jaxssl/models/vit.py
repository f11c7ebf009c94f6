"""Vision transformers (arXiv 2010.11929) as DeiT, DINO and MAE build them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  DropPath,
  Factory,
  LayerNorm,
  check_images,
  resize_positions,
  sincos_positions,
  torch_linear_init,
)

# The official codes ask for a normal of 0.02 truncated at 2: a hundred deviations.
normal_init = nn.initializers.normal(0.02)


class SinCosPositions(nn.Module):
  """Fixed 2-d sine and cosine positions, computed for whatever grid comes.

  Attributes:
    width: channels, a multiple of 4.
    class_token: whether a class token comes first (its position is 0).
  """

  width: int
  class_token: bool

  def __call__(self, height: int, width: int) -> jax.Array:
    """Returns the positions of a grid, [class_token + height * width, dim]."""
    positions = jnp.asarray(sincos_positions(height, width, self.width))
    return jnp.pad(positions, ((int(self.class_token), 0), (0, 0)))


class LearnedPositions(nn.Module):
  """Learned positions, interpolated bicubically as in DINO for other grids.

  Use as `ViTSmall(positions=partial(LearnedPositions, grid=(14, 14)))`.

  Attributes:
    grid: rows and columns of patches that the table is for, (14, 14) for images of
      224 pixels in patches of 16.
    width: channels.
    class_token: whether a class token comes first (its position isn't resized).
  """

  grid: tuple[int, int]
  width: int
  class_token: bool

  @nn.compact
  def __call__(self, height: int, width: int) -> jax.Array:
    """Returns the positions of a grid, [class_token + height * width, dim]."""
    table = self.param("table", normal_init, (*self.grid, self.width))
    table = resize_positions(table, height=height, width=width)
    positions = table.reshape(height * width, self.width)
    if not self.class_token:
      return positions
    first = self.param("class_token", normal_init, (1, self.width))
    return jnp.concatenate([first, positions])


class PatchEmbed(nn.Module):
  """Cuts images into squares and maps each to a vector.

  Attributes:
    patch: side of a square in pixels.
    width: channels out.
    dtype: compute dtype.
  """

  patch: int
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [batch, height, width, channels] to [batch, rows, columns, dim]."""
    check_images(x)
    batch, height, width, channels = x.shape
    if height % self.patch or width % self.patch:
      raise InputError(
        f"Images of {height} x {width} pixels do not split into patches of "
        f"{self.patch}; both sides must be multiples of it."
      )
    rows, columns = height // self.patch, width // self.patch
    x = x.reshape(batch, rows, self.patch, columns, self.patch, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
    return nn.Dense(
      self.width, kernel_init=torch_linear_init, dtype=self.dtype, name="dense"
    )(x)


class Attention(nn.Module):
  """Self-attention with biases; the softmax runs in float32.

  Attributes:
    heads: must divide the channels.
    kernel_init: how kernels start.
    dtype: compute dtype.
  """

  heads: int
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    batch, tokens, dim = x.shape
    if dim % self.heads:
      raise InputError(f"{dim} channels do not split into {self.heads} heads.")
    dense = partial(nn.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
    qkv = dense(3 * dim, name="qkv")(x)
    qkv = qkv.reshape(batch, tokens, 3, self.heads, dim // self.heads)
    mixed = _attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
    return dense(dim, name="out")(mixed.reshape(batch, tokens, dim))


def _attend(query, key, value):
  """Softmax attention over [batch, tokens, heads, dim], the logits in float32."""
  scale = query.shape[-1] ** -0.5
  logits = jnp.einsum(
    "bqhd,bkhd->bhqk", query * scale, key, preferred_element_type=jnp.float32
  )
  weights = jax.nn.softmax(logits).astype(value.dtype)
  return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class Block(nn.Module):
  """A pre-norm transformer block: attention, then a two-layer MLP with exact GELU.

  Attributes:
    heads: of the attention.
    mlp_ratio: hidden width of the MLP, in channels of the block.
    drop_path: probability of dropping a branch for a row, in [0, 1).
    kernel_init: how kernels start.
    dtype: compute dtype.
  """

  heads: int
  mlp_ratio: int = 4
  drop_path: float = 0.0
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    drop = lambda name: partial(
      DropPath(self.drop_path, name=name), train=train, keys=keys
    )
    y = LayerNorm(dtype=self.dtype, name="norm1")(x, train=train)
    y = Attention(self.heads, **options, name="attention")(y, train=train)
    x = x + drop("drop1")(y)
    y = LayerNorm(dtype=self.dtype, name="norm2")(x, train=train)
    y = nn.Dense(self.mlp_ratio * x.shape[-1], **options, name="dense1")(y)
    y = nn.gelu(y, approximate=False)
    return x + drop("drop2")(nn.Dense(x.shape[-1], **options, name="dense2")(y))


class ViT(nn.Module):
  """A vision transformer without classifier, for images of any size.

  Masked methods call its two halves: `embed` and `encode`.

  Attributes:
    width: channels.
    depth: blocks.
    heads: of each attention.
    patch: side of a patch in pixels.
    positions: `SinCosPositions`, recomputed for other image sizes, or
      `partial(LearnedPositions, grid=...)`, interpolated bicubically.
    class_token: True: the features are the class token's (DINO, MoCo v3); False:
      there is none, and they are the mean over patches (I-JEPA).
    mlp_ratio: hidden width of the MLPs, in channels.
    drop_path: stochastic depth of the last block; linear from 0 at the first. Needs
      `keys` in training.
    kernel_init: how kernels start: a normal of 0.02 (DeiT, DINO), or
      `nn.initializers.xavier_uniform()` (MAE).
    dtype: compute dtype; parameters and features are float32.
  """

  width: int
  depth: int
  heads: int
  patch: int = 16
  positions: Factory = SinCosPositions
  class_token: bool = True
  mlp_ratio: int = 4
  drop_path: float = 0.0
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  def setup(self):
    """Makes the layers."""
    self.patch_embed = PatchEmbed(self.patch, self.width, dtype=self.dtype)
    self.position = self.positions(width=self.width, class_token=self.class_token)
    if self.class_token:
      self.token = self.param("token", normal_init, (1, 1, self.width))
    rates = [self.drop_path * i / max(self.depth - 1, 1) for i in range(self.depth)]
    self.blocks = [self._block(rate) for rate in rates]
    self.norm = LayerNorm()

  def _block(self, rate):
    return Block(
      self.heads,
      mlp_ratio=self.mlp_ratio,
      drop_path=rate,
      kernel_init=self.kernel_init,
      dtype=self.dtype,
    )

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to features.

    Args:
      x: float images, [batch, height, width, channels]; both sides are multiples
        of `patch`.
      train: whether to drop paths.
      keys: one per row, for `drop_path`.

    Returns:
      float32 features, [batch, width].

    Raises:
      InputError: `x` isn't a batch of float images, or its sides don't split into
        patches.
    """
    tokens = self.encode(self.embed(x), train=train, keys=keys)
    patches = tokens[:, int(self.class_token) :]
    self.sow("intermediates", "patches", patches)
    return tokens[:, 0] if self.class_token else jnp.mean(patches, axis=1)

  def embed(self, x: jax.Array) -> jax.Array:
    """Maps images to tokens with positions, [batch, class_token + patches, width]."""
    patches = self.patch_embed(x)
    batch, rows, columns, dim = patches.shape
    tokens = patches.reshape(batch, rows * columns, dim)
    if self.class_token:
      first = jnp.broadcast_to(self.token, (batch, 1, dim)).astype(self.dtype)
      tokens = jnp.concatenate([first, tokens], axis=1)
    return tokens + self.position(rows, columns)[None].astype(self.dtype)

  def encode(
    self, tokens: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Runs the blocks and the final norm on tokens [batch, any number, width]."""
    for block in self.blocks:
      tokens = block(tokens, train=train, keys=keys)
    return self.norm(tokens, train=train)


ViTTiny = partial(ViT, width=192, depth=12, heads=3)
ViTSmall = partial(ViT, width=384, depth=12, heads=6)
ViTBase = partial(ViT, width=768, depth=12, heads=12)
