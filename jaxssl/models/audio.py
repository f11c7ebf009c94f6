"""Encoders of images that hear: a spectrogram in front, and the heads of COLA."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError, nearest
from jaxssl.models.layers import (
  LayerNorm,
  exact_gelu,
  flatten_map,
  run_block,
  sincos_positions,
)
from jaxssl.models.transformer import TokenBlock
from jaxssl.models.wave import check_waves

POOLS = ("own", "max")


class Spectral(nn.Module):
  """An encoder of images behind a front that makes images of waves.

  Its parameters are those of the encoder, at the same paths.

  Attributes:
    encoder: takes images [batch, height, width, channels].
    front: waves [batch, samples] -> images, such as `ops.LogMel(rate=8000)`.
    pool: "own": the encoder's; "max": the maximum over its map (COLA), for encoders
      with a `feature_map`.
  """

  encoder: nn.Module
  front: Callable
  pool: str = "own"

  def setup(self):
    """Gives the encoder's parameters the place of this module's."""
    if self.pool not in POOLS:
      raise InputError(
        f"There is no pool '{self.pool}'; allowed are {', '.join(POOLS)}."
        f"{nearest(self.pool, POOLS)}"
      )
    if self.pool == "max" and not hasattr(self.encoder, "feature_map"):
      raise InputError(
        f"{type(self.encoder).__name__} has no feature_map to take the maximum of;"
        " ConvNet, ResNet and ConvNeXt have one."
      )
    nn.share_scope(self, self.encoder)

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps waves [batch, samples] to features [batch, dim]."""
    check_waves(x)
    images = jax.lax.stop_gradient(self.front(x))
    if self.pool == "own" or self.is_initializing():
      pooled = self.encoder(images, train=train, keys=keys)
    if self.pool == "own":
      return pooled
    patches = flatten_map(self.encoder.feature_map(images, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.max(patches, axis=1)


class ColaHead(nn.Module):
  """COLA's projector: a linear layer, layer norm, tanh (arXiv 2010.10915, code).

  Attributes:
    width: of the projection.
    dtype: compute dtype; parameters and projections are float32.
  """

  width: int = 512
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps features [batch, dim] to [batch, width] in (-1, 1)."""
    x = nn.Dense(self.width, dtype=self.dtype, name="dense")(x)
    return jnp.tanh(LayerNorm(name="norm")(x.astype(jnp.float32), train=train))


class Bilinear(nn.Module):
  """A square matrix W: `x` becomes `W' x`, so that products are bilinear, x' W y.

  Attributes:
    kernel_init: how W starts: a normal of 0.05, as in COLA's code.
  """

  kernel_init: Callable = nn.initializers.normal(0.05)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, dim] to [batch, dim]."""
    options = {"use_bias": False, "kernel_init": self.kernel_init}
    return nn.Dense(x.shape[-1], **options, name="dense")(x)


class FrameEncoder(nn.Module):
  """A post-norm transformer over the frames of spectrograms: Mockingjay's.

  arXiv 1910.12638, its base model by default. Positions are fixed sines.

  Attributes:
    width: channels, even.
    depth: blocks.
    heads: of each attention.
    kernel_init: how the kernels of the blocks start: a normal of 0.02.
    dtype: compute dtype; parameters and features are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  width: int = 768
  depth: int = 3
  heads: int = 12
  kernel_init: Callable = nn.initializers.normal(0.02)
  dtype: Any = jnp.float32
  remat: str = "none"

  def setup(self):
    """Makes the layers."""
    init = self.kernel_init
    self.inward = nn.Dense(self.width, dtype=self.dtype)
    self.norm = LayerNorm(dtype=self.dtype)
    self.blocks = [
      TokenBlock(
        self.heads,
        pre_norm=False,
        kernel_init=init,
        residual_init=init,
        dtype=self.dtype,
      )
      for _ in range(self.depth)
    ]

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, frames, bands, 1] to features [batch, width]: the mean."""
    found = self.frames(x, train=train, keys=keys)
    self.sow("intermediates", "patches", found)
    return jnp.mean(found, axis=1)

  def frames(
    self, x: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps images [batch, frames, bands, 1] to float32 [batch, frames, width]."""
    x = self.inward(x.reshape(*x.shape[:2], -1))
    # the first half of the channels of 2-d positions are those of the column
    place = sincos_positions(1, x.shape[1], 2 * self.width)[:, : self.width]
    x = self.norm(x + jnp.asarray(place, self.dtype)[None], train=train)
    for block in self.blocks:
      x = run_block(block, x, remat=self.remat, train=train, keys=keys)
    return x.astype(jnp.float32)


class FrameHead(nn.Module):
  """Mockingjay's prediction head: two layers, GELU and layer norm between them.

  Attributes:
    bands: values of a frame.
  """

  bands: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps frames [batch, frames, dim] to [batch, frames, bands]."""
    x = exact_gelu(nn.Dense(x.shape[-1], name="dense1")(x))
    return nn.Dense(self.bands, name="dense2")(LayerNorm(name="norm")(x, train=train))


class AlteredFrames(NamedTuple):
  """Spectrograms of which some frames are not what they were.

  Attributes:
    image: what the net sees, [batch, frames, bands, 1].
    target: what was there, the same shape.
    mask: bool [batch, frames], True where a frame counts.
  """

  image: jax.Array
  target: jax.Array
  mask: jax.Array


class FrameTeller(nn.Module):
  """An encoder of frames, and layers that tell what each frame was.

  Attributes:
    encoder: `FrameEncoder`.
    head: frames [batch, frames, dim] -> [batch, frames, bands].
  """

  encoder: nn.Module
  head: nn.Module

  def __call__(
    self, x: AlteredFrames, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps `AlteredFrames` to predictions, float32 [batch, frames, bands]."""
    found = self.encoder.frames(x.image, train=train, keys=keys)
    return self.head(found, train=train, keys=keys)
