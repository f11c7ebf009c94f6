"""Vision transformers (arXiv 2010.11929) as DeiT, DINO, MAE and DINOv2 build them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  DropPath,
  Factory,
  LayerNorm,
  LayerScale,
  check_images,
  drop_rates,
  exact_gelu,
  normal_init,
  resize_positions,
  run_block,
  sincos_positions,
  squares,
  torch_linear_init,
)
from jaxssl.ops.patches import patch_grid


class MaskedImage(NamedTuple):
  """Images of which a ViT with a mask token sees some patches only.

  Attributes:
    image: [batch, height, width, channels].
    mask: bool [batch, patches], row by row; True where the mask token takes the place
      of the patch.
  """

  image: jax.Array
  mask: jax.Array


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
    kernel_init: how the table starts: a normal of 0.02.
  """

  grid: tuple[int, int]
  width: int
  class_token: bool
  kernel_init: Callable = normal_init

  @nn.compact
  def __call__(self, height: int, width: int) -> jax.Array:
    """Returns the positions of a grid, [class_token + height * width, dim]."""
    table = self.param("table", self.kernel_init, (*self.grid, self.width))
    table = resize_positions(table, height=height, width=width)
    positions = table.reshape(height * width, self.width)
    if not self.class_token:
      return positions
    first = self.param("class_token", self.kernel_init, (1, self.width))
    return jnp.concatenate([first, positions])


class PatchEmbed(nn.Module):
  """Cuts images into squares and maps each to a vector.

  Attributes:
    patch: side of a square in pixels.
    width: channels out.
    use_bias: whether there is one; CLIP has none.
    kernel_init: how the kernel starts; `nn.initializers.xavier_uniform()` in MAE.
    dtype: compute dtype.
  """

  patch: int
  width: int
  use_bias: bool = True
  kernel_init: Callable = torch_linear_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [batch, height, width, channels] to [batch, rows, columns, dim]."""
    check_images(x)
    patch_grid(x.shape, self.patch)  # refuses what doesn't split
    return self._project(squares(x, self.patch))

  def _project(self, x):
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    return nn.Dense(self.width, self.use_bias, **options, name="dense")(x)


class FrozenPatchEmbed(PatchEmbed):
  """A patch projection that stays as it starts: MoCo v3 (arXiv 2104.02057, sec. 4).

  The kernel is in the collection "frozen", not in "params": neither a gradient nor
  weight decay reaches it. There is no bias, since that of MoCo v3 stays zero. See
  `PatchEmbed` for the attributes.
  """

  kernel_init: Callable = nn.initializers.xavier_uniform()

  def _project(self, x):
    kernel = self.variable("frozen", "kernel", self._kernel, x.shape[-1])
    return x.astype(self.dtype) @ kernel.value.astype(self.dtype)

  def _kernel(self, pixels):
    return self.kernel_init(self.make_rng("params"), (pixels, self.width))


class Attention(nn.Module):
  """Self-attention with biases; the softmax runs in float32.

  Attributes:
    heads: must divide the channels.
    kernel_init: how kernels start.
    qkv_init: how that of queries, keys and values starts; None: like the others.
    dtype: compute dtype.
  """

  heads: int
  kernel_init: Callable = normal_init
  qkv_init: Callable | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    mask: jax.Array | None = None,
  ):
    """Mixes tokens [batch, tokens, dim]; see `ViT.encode` for the mask."""
    batch, tokens, dim = x.shape
    if self.heads < 1 or dim % self.heads:
      raise InputError(f"{dim} channels do not split into {self.heads} heads.")
    dense = partial(nn.Dense, dtype=self.dtype)
    init = self.qkv_init or self.kernel_init
    qkv = dense(3 * dim, kernel_init=init, name="qkv")(x)
    qkv = qkv.reshape(batch, tokens, 3, self.heads, dim // self.heads)
    mixed = _attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], mask)
    mixed = mixed.reshape(batch, tokens, dim)
    return dense(dim, kernel_init=self.kernel_init, name="out")(mixed)


def _attend(query, key, value, mask):
  """Softmax attention over [batch, tokens, heads, dim], the logits in float32."""
  scale = query.shape[-1] ** -0.5
  logits = jnp.einsum(
    "bqhd,bkhd->bhqk", query * scale, key, preferred_element_type=jnp.float32
  )
  if mask is not None:  # the lowest number: a row without any key stays finite
    lowest = jnp.finfo(logits.dtype).min
    mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    logits = jnp.where(mask, logits, lowest)
  weights = jax.nn.softmax(logits).astype(value.dtype)
  return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class Mlp(nn.Module):
  """Two layers with exact GELU, or another activation, between them.

  Attributes:
    hidden: width between the layers.
    activation: between them; `layers.quick_gelu` in CLIP.
    kernel_init: how kernels start.
    dtype: compute dtype.
  """

  hidden: int
  activation: Callable = exact_gelu
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    y = nn.Dense(self.hidden, **options, name="dense1")(x)
    return nn.Dense(x.shape[-1], **options, name="dense2")(self.activation(y))


class SwiGLU(Mlp):
  """A gated MLP, (silu(x A) * x B) C (arXiv 2002.05202), of about `Mlp`'s size.

  It has two thirds of `hidden`, rounded up to a multiple of 8, as in DINOv2. A and B
  are the halves of the first layer. See `Mlp` for the attributes; the activation is
  silu.
  """

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    hidden = (self.hidden * 2 // 3 + 7) // 8 * 8
    gate, value = jnp.split(nn.Dense(2 * hidden, **options, name="dense1")(x), 2, -1)
    return nn.Dense(x.shape[-1], **options, name="dense2")(nn.silu(gate) * value)


class Block(nn.Module):
  """A pre-norm transformer block: attention, then an MLP.

  Attributes:
    heads: of the attention.
    mlp: `Mlp` or `SwiGLU`.
    mlp_ratio: hidden width of the MLP, in channels of the block.
    layer_scale: where the learned scale of each branch starts; None: there is none.
    drop_path: probability of dropping a branch for a row, in [0, 1).
    kernel_init: how kernels start.
    qkv_init: how that of queries, keys and values starts; None: like the others.
    dtype: compute dtype.
  """

  heads: int
  mlp: Factory = Mlp
  mlp_ratio: int = 4
  layer_scale: float | None = None
  drop_path: float = 0.0
  kernel_init: Callable = normal_init
  qkv_init: Callable | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    mask: jax.Array | None = None,
  ):
    """Maps tokens [batch, tokens, dim] to as many; see `ViT.encode`."""
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    mlp = self.mlp(self.mlp_ratio * x.shape[-1], **options)
    nn.share_scope(self, mlp)  # its layers are named as those of the block
    y = LayerNorm(dtype=self.dtype, name="norm1")(x, train=train)
    options |= {"qkv_init": self.qkv_init, "name": "attention"}
    attention = Attention(self.heads, **options)
    x = x + self._branch(1, attention(y, train=train, mask=mask), train, keys)
    y = LayerNorm(dtype=self.dtype, name="norm2")(x, train=train)
    return x + self._branch(2, mlp(y, train=train), train, keys)

  def _branch(self, i, y, train, keys):
    if self.layer_scale is not None:
      y = LayerScale(self.layer_scale, name=f"scale{i}")(y, train=train)
    return DropPath(self.drop_path, name=f"drop{i}")(y, train=train, keys=keys)


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
    causal: whether a patch attends to none after it, in raster order, where no mask is
      given (iGPT); for nets without class token and registers.
    class_token: True: the features are the class token's (DINO, MoCo v3); False:
      there is none, and they are the mean over patches (I-JEPA).
    registers: learned tokens without position that come after the class token and are
      no part of the features or patches (arXiv 2309.16588).
    mask_token: whether there is one, for `MaskedImage`; it starts at 0 (iBOT, DINOv2).
    patch_embed: `PatchEmbed` or `FrozenPatchEmbed`.
    first_norm: whether the tokens are normalised before the blocks too (CLIP; its
      norms add 1e-5 to the variance, these 1e-6).
    mlp: `Mlp` or `SwiGLU`.
    mlp_ratio: hidden width of the MLPs, in channels.
    layer_scale: where the learned scale of each branch starts, 1e-5 in DINOv2; None:
      there is none.
    drop_path: stochastic depth. A number is that of the last block, linear from 0 at
      the first; a tuple has one rate per block (DINOv2: all equal). Needs `keys` in
      training.
    kernel_init: how kernels start: a normal of 0.02 (DeiT, DINO), or
      `nn.initializers.xavier_uniform()` (MAE, MoCo v3).
    qkv_init: how those of queries, keys and values start; None: like the others.
      `nn.initializers.lecun_uniform()` is Xavier for each of the three (MoCo v3).
    token_init: how class token and registers start: a normal of 0.02 (DeiT, DINO), or
      of 1e-6 (MoCo v3, DINOv2).
    dtype: compute dtype; parameters and features are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  width: int
  depth: int
  heads: int
  patch: int = 16
  positions: Factory = SinCosPositions
  causal: bool = False
  class_token: bool = True
  registers: int = 0
  mask_token: bool = False
  patch_embed: Factory = PatchEmbed
  first_norm: bool = False
  mlp: Factory = Mlp
  mlp_ratio: int = 4
  layer_scale: float | None = None
  drop_path: float | tuple[float, ...] = 0.0
  kernel_init: Callable = normal_init
  qkv_init: Callable | None = None
  token_init: Callable = normal_init
  dtype: Any = jnp.float32
  remat: str = "none"

  def setup(self):
    """Makes the layers."""
    if self.causal and self.prefix:
      raise InputError(
        "A causal ViT has patches alone: before them, a class token or registers would "
        "see nothing of the image. Pass class_token=False and registers=0."
      )
    make = partial(self.patch_embed, self.patch, self.width, dtype=self.dtype)
    self.patch_layer = make(name="patch_embed")
    self.position = self.positions(width=self.width, class_token=self.class_token)
    if self.class_token:
      self.token = self.param("token", self.token_init, (1, 1, self.width))
    if self.registers:
      shape = (1, self.registers, self.width)
      self.register_tokens = self.param("registers", self.token_init, shape)
    if self.mask_token:
      zeros = nn.initializers.zeros
      self.hidden_token = self.param("mask_token", zeros, (1, 1, self.width))
    rates = drop_rates(self.drop_path, self.depth)
    self.blocks = [self._block(rate) for rate in rates]
    if self.first_norm:
      self.norm_first = LayerNorm(dtype=self.dtype)
    self.norm = LayerNorm()

  def _block(self, rate):
    return Block(
      self.heads,
      mlp=self.mlp,
      mlp_ratio=self.mlp_ratio,
      layer_scale=self.layer_scale,
      drop_path=rate,
      kernel_init=self.kernel_init,
      qkv_init=self.qkv_init,
      dtype=self.dtype,
    )

  @property
  def prefix(self) -> int:
    """Number of tokens before those of the patches: class token and registers."""
    return int(self.class_token) + self.registers

  def __call__(
    self,
    x: jax.Array | MaskedImage,
    *,
    train: bool,
    keys: jax.Array | None = None,
  ):
    """Maps images to features.

    Args:
      x: float images, [batch, height, width, channels]; both sides are multiples
        of `patch`. Or a `MaskedImage` of them.
      train: whether to drop paths.
      keys: one per row, for `drop_path`.

    Returns:
      float32 features, [batch, width].

    Raises:
      InputError: `x` isn't a batch of float images, its sides don't split into
        patches, or it is masked without fitting a mask or a mask token.
    """
    tokens = self.encode(self.embed(x), train=train, keys=keys)
    patches = tokens[:, self.prefix :]
    self.sow("intermediates", "patches", patches)
    return tokens[:, 0] if self.class_token else jnp.mean(patches, axis=1)

  def embed(self, x: jax.Array | MaskedImage) -> jax.Array:
    """Maps images to tokens with positions, [batch, prefix + patches, width]."""
    image, mask = x if isinstance(x, MaskedImage) else (x, None)
    patches = self.patch_layer(image)
    batch, rows, columns, dim = patches.shape
    tokens = self._hide(patches.reshape(batch, rows * columns, dim), mask)
    if self.class_token:
      tokens = jnp.concatenate([self._repeat(self.token, batch), tokens], axis=1)
    tokens = tokens + self.position(rows, columns)[None].astype(self.dtype)
    if not self.registers:
      return tokens
    first, rest = jnp.split(tokens, [int(self.class_token)], axis=1)
    registers = self._repeat(self.register_tokens, batch)
    return jnp.concatenate([first, registers, rest], axis=1)

  def _hide(self, patches, mask):
    if mask is None:
      return patches
    if not self.mask_token:
      raise InputError("A MaskedImage needs a ViT with mask_token=True.")
    if mask.shape != patches.shape[:2] or mask.dtype != jnp.bool_:
      raise InputError(
        f"The mask of these images must be bool {patches.shape[:2]}, one entry per "
        f"patch; got {mask.dtype} {mask.shape}."
      )
    return jnp.where(mask[:, :, None], self.hidden_token.astype(self.dtype), patches)

  def _repeat(self, token, batch):
    return jnp.broadcast_to(token, (batch, *token.shape[1:])).astype(self.dtype)

  def encode(
    self,
    tokens: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Runs the blocks and the final norm on tokens.

    Args:
      tokens: [batch, any number, width].
      train: whether to drop paths.
      keys: one per row, for `drop_path`.
      mask: bool [batch, tokens]; no token attends to those that are False. What comes
        out for those means nothing. Or bool [batch, tokens, tokens]: token i attends
        to token j where [:, i, j] is True. None: all are attended to, or those before
        if `causal`.

    Returns:
      float32 [batch, as many, width].

    Raises:
      InputError: the mask doesn't fit the tokens.
    """
    _check_mask(mask, tokens.shape[:2])
    if mask is None and self.causal:
      mask = _looking_back(tokens.shape[:2])
    options = {"train": train, "keys": keys, "mask": mask}
    tokens = self.norm_first(tokens, train=train) if self.first_norm else tokens
    for block in self.blocks:
      tokens = run_block(block, tokens, remat=self.remat, **options)
    return self.norm(tokens, train=train)


def _looking_back(shape):
  """Each token of an image attends to itself and those before it."""
  batch, count = shape
  return jnp.broadcast_to(jnp.tri(count, dtype=jnp.bool_), (batch, count, count))


def _check_mask(mask, shape):
  """Of tokens [batch, tokens]: one entry for each, or for each pair of an image."""
  if mask is None:
    return
  if mask.shape not in (shape, (*shape, shape[1])) or mask.dtype != jnp.bool_:
    raise InputError(
      f"The mask of these tokens must be bool {shape} or {(*shape, shape[1])}; got "
      f"{mask.dtype} {mask.shape}."
    )


ViTTiny = partial(ViT, width=192, depth=12, heads=3)
ViTSmall = partial(ViT, width=384, depth=12, heads=6)
ViTBase = partial(ViT, width=768, depth=12, heads=12)
ViTLarge = partial(ViT, width=1024, depth=24, heads=16)
ViTHuge = partial(ViT, width=1280, depth=32, heads=16, patch=14)

# As DINOv2's g/14 (arXiv 2304.07193).
ViTGiant = partial(
  ViT, width=1536, depth=40, heads=24, patch=14, mlp=SwiGLU, layer_scale=1e-5
)
