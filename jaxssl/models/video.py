"""Nets of clips: (2+1)-d convolutions, image encoders frame by frame, cubes, decoders.

Clips are [batch, frames, height, width, channels].
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.models.decoders import MapDecoder
from jaxssl.models.layers import (
  BatchNorm,
  Factory,
  he_init,
  sincos_positions,
  torch_linear_init,
)
from jaxssl.models.masked import MAE, Visible
from jaxssl.models.vit import ViT
from jaxssl.ops.convolutions import convolve
from jaxssl.ops.cubes import Cube, cube_grid, cut_cubes


def check_clips(x: jax.Array) -> None:
  """Raises InputError unless `x` is float [batch, frames, height, width, channels]."""
  if x.ndim != 5:
    raise InputError(
      f"Clips must be [batch, frames, height, width, channels]; got shape {x.shape}."
    )
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise InputError(f"Clips must be floats in [0, 1]; got {x.dtype}.")


class Conv2Plus1(nn.Module):
  """A convolution in space, norm, ReLU, and one in time (arXiv 1711.11248).

  Between them are as many channels as give the number of weights of a full 3-d
  convolution, as in section 3.5 there.

  Attributes:
    width: channels out.
    stride: in time, rows and columns.
    side: of the convolution in space; that in time spans 3 frames.
    middle: channels between; None: the paper's.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  width: int
  stride: tuple[int, int] = (1, 1)
  side: int = 3
  middle: int | None = None
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, frames, rows, columns, in] to a map of `width` channels."""
    depth, (slow, step) = x.shape[-1], self.stride
    middle = self.middle or middle_width(depth, self.width, self.side)
    kernel = self.param("space", he_init, (self.side, self.side, depth, middle))
    batch, frames = x.shape[:2]
    images = x.reshape(-1, *x.shape[2:]).astype(self.dtype)
    y = convolve(images, kernel.astype(self.dtype), stride=step)
    y = y.reshape(batch, frames, *y.shape[1:])
    norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
    y = nn.relu(norm(y, train=train))
    kernel = self.param("time", he_init, (3, middle, self.width))
    return convolve_time(y, kernel.astype(self.dtype), stride=slow)


def middle_width(width_in: int, width: int, side: int = 3) -> int:
  """Channels between space and time for the weights of a full 3-d convolution."""
  full = 3 * side**2 * width_in * width
  return max(full // (side**2 * width_in + 3 * width), 1)


def convolve_time(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
  """Convolves over frames, one of zeros added at each end, as a matrix product.

  Args:
    x: [batch, frames, rows, columns, in].
    kernel: [3, in, out].
    stride: frames between two outputs.

  Returns:
    [batch, ceil(frames / stride), rows, columns, out].
  """
  frames = x.shape[1]
  padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
  shifts = [padded[:, i : i + frames : stride] for i in range(3)]
  joined = jnp.concatenate(shifts, axis=-1)
  y = joined.reshape(-1, joined.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
  return y.reshape(*joined.shape[:-1], kernel.shape[-1])


class R2Plus1Block(nn.Module):
  """Two (2+1)-d convolutions beside a shortcut; see `Conv2Plus1` for the attributes."""

  width: int
  stride: tuple[int, int] = (1, 1)
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, frames, rows, columns, in] to a map of `width` channels."""
    shared = {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
    norm = partial(self.norm, axis_name=self.axis_name, dtype=self.dtype)
    y = Conv2Plus1(self.width, self.stride, **shared, name="conv1")(x, train=train)
    y = nn.relu(norm(name="norm1")(y, train=train))
    y = Conv2Plus1(self.width, **shared, name="conv2")(y, train=train)
    y = norm(name="norm2")(y, train=train)
    if x.shape != y.shape:
      slow, step = self.stride
      x = x[:, ::slow, ::step, ::step]
      x = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="shortcut")(x)
      x = norm(name="norm3")(x, train=train)
    return nn.relu(x + y)


class R2Plus1D(nn.Module):
  """A ResNet of (2+1)-d convolutions (Tran et al., arXiv 1711.11248, section 3).

  The first stage keeps the size of the stem's map, each later one halves frames, rows
  and columns. `R2Plus1D18` is the paper's net with 18 layers; a stem of 3 x 3 without
  stride is for frames of 64 pixels or less.

  Attributes:
    widths: channels of the stages.
    depths: blocks of the stages.
    stem: side and stride of the first convolution, in space.
    stem_middle: channels between the stem's space and time, 45 in the paper; None: as
      in the blocks.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; parameters, statistics and features are float32.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  depths: tuple[int, ...] = (2, 2, 2, 2)
  stem: tuple[int, int] = (3, 1)
  stem_middle: int | None = None
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to the mean over all positions, float32 [batch, widths[-1]]."""
    found = self.feature_map(x, train=train, keys=keys)
    patches = found.reshape(found.shape[0], -1, found.shape[-1])
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to float32 [batch, frames', rows', columns', widths[-1]]."""
    check_clips(x)
    if len(self.widths) != len(self.depths):
      raise InputError(
        f"A depth for each width: got widths {self.widths}, depths {self.depths}."
      )
    shared = {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
    (side, step), middle = self.stem, self.stem_middle
    options = {"stride": (1, step), "side": side, "middle": middle, "name": "stem"}
    x = Conv2Plus1(self.widths[0], **options, **shared)(x, train=train)
    norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name="stem_norm")
    x = nn.relu(norm(x, train=train))
    for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
      for j in range(depth):
        stride = (2, 2) if i and not j else (1, 1)
        block = R2Plus1Block(width, stride, **shared, name=f"block{i}_{j}")
        x = block(x, train=train)
    return x.astype(jnp.float32)


R2Plus1D18 = partial(R2Plus1D, stem=(7, 2), stem_middle=45)


class Framewise(nn.Module):
  """An image encoder for each frame, and one vector of a clip from all of them.

  Its patches are the frames. Frames of all clips are one batch of the encoder.

  Attributes:
    encoder: images -> features.
    join: True: the features are those of all frames, one after the other, so that they
      tell what moved where; False: their mean.
  """

  encoder: nn.Module
  join: bool = False

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to [batch, dim], or with `join` to [batch, frames * dim]."""
    found = self.each(x, train=train, keys=keys)
    self.sow("intermediates", "patches", found)
    return found.reshape(len(found), -1) if self.join else jnp.mean(found, axis=1)

  def each(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to the features of each frame, [batch, frames, dim]."""
    check_clips(x)
    batch, frames = x.shape[:2]
    found = self.encoder(
      x.reshape(-1, *x.shape[2:]), train=train, keys=_frame_keys(keys, frames)
    )
    return found.reshape(batch, frames, -1)


def _frame_keys(keys, frames):
  if keys is None:
    return None
  of_row = lambda key: jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(frames))
  return jax.vmap(of_row)(keys).reshape(-1)


class FrameEmbedder(nn.Module):
  """A `Framewise` encoder and a projector of each frame's features: TCN's net.

  Attributes:
    encoder: `Framewise`.
    projector: features -> embedding, 32 numbers in the paper.
  """

  encoder: nn.Module
  projector: nn.Module

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to [batch, frames, dim]."""
    found = self.encoder.each(x, train=train, keys=keys)
    return self.projector(found, train=train)


class Keypoints(nn.Module):
  """Where each channel of a map is largest, then a dense layer: TCN's head.

  Spatial soft-argmax (Finn et al., arXiv 1509.06113; TCN, arXiv 1704.06888): a softmax
  over the positions of each channel, and the mean place by it, from -1 to 1.

  Attributes:
    encoder: has `feature_map`, such as `ConvNet`.
    width: features out; its layer has a ReLU.
    dtype: compute dtype of the dense layer.
  """

  encoder: nn.Module
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to float32 features [batch, width]."""
    found = self.encoder.feature_map(x, train=train, keys=keys).astype(jnp.float32)
    points = soft_argmax(found)
    options = {"kernel_init": he_init, "dtype": self.dtype, "name": "dense"}
    return nn.relu(nn.Dense(self.width, **options)(points)).astype(jnp.float32)


def soft_argmax(found: jax.Array) -> jax.Array:
  """The mean place of each channel under a softmax over the positions.

  Args:
    found: [batch, rows, columns, channels].

  Returns:
    float32 [batch, 2 * channels], all rows, then all columns, from -1 to 1.
  """
  batch, rows, columns, channels = found.shape
  flat = found.astype(jnp.float32).reshape(batch, -1, channels)
  share = jax.nn.softmax(flat, axis=1).reshape(found.shape)
  lines = [
    jnp.linspace(-1.0, 1.0, n) if n > 1 else jnp.zeros(1) for n in (rows, columns)
  ]
  down = jnp.einsum("brch,r->bh", share, lines[0], precision="highest")
  across = jnp.einsum("brch,c->bh", share, lines[1], precision="highest")
  return jnp.concatenate([down, across], axis=1)


class FramePredictor(nn.Module):
  """An encoder of the past and a decoder of the frames that come next.

  Attributes:
    encoder: has `feature_map` of clips, such as `R2Plus1D`.
    decoder: `FrameDecoder`, or what is called alike.
    residual: whether what the decoder makes is added to the last frame of the past: for
      real videos, most of which stands still from frame to frame.
  """

  encoder: nn.Module
  decoder: nn.Module
  residual: bool = False

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps past clips to the next frames, float32 [batch, frames, h, w, channels]."""
    if self.is_initializing():
      self.encoder(x, train=train, keys=keys)  # some parameters come after the map
    found = self.encoder.feature_map(x, train=train, keys=keys)
    made = self.decoder(found, train=train, keys=keys)
    return made + x[:, -1:].astype(jnp.float32) if self.residual else made


class FrameDecoder(nn.Module):
  """From a clip's map to frames: time becomes channels, then a `MapDecoder`.

  The frames that come out have no activation; what they mean is the loss's choice.

  Attributes:
    shape: frames, height, width and channels of what is made.
    widths: channels of the decoder's blocks; the map's sides are doubled as often.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  shape: tuple[int, int, int, int]
  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, grid: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, frames', rows, columns, dim] to float32 [batch, *shape]."""
    frames, height, width, channels = self.shape
    grid = jnp.moveaxis(grid, 1, 3)
    grid = grid.reshape(*grid.shape[:3], -1)
    options = {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
    shape = (height, width, frames * channels)
    maps = MapDecoder(shape, self.widths, **options, name="maps")
    x = maps(grid, train=train).reshape(-1, height, width, frames, channels)
    return jnp.moveaxis(x, 3, 1)


class CubePositions(nn.Module):
  """Fixed sines and cosines: half of the channels for the place, half for the time.

  Attributes:
    width: channels, a multiple of 8.
    class_token: whether a class token comes first (its position is 0).
  """

  width: int
  class_token: bool

  def __call__(self, frames: int, height: int, width: int) -> jax.Array:
    """Returns [class_token + frames * height * width, dim], the first frames first."""
    half = self.width // 2
    place = sincos_positions(height, width, half)
    time = sincos_positions(frames, 1, self.width)[:, half:]  # of the row alone
    both = [np.tile(place, (frames, 1)), np.repeat(time, height * width, axis=0)]
    both = jnp.asarray(np.concatenate(both, axis=1))
    return jnp.pad(both, ((int(self.class_token), 0), (0, 0)))


class CubeEmbed(nn.Module):
  """Cuts clips into cubes and maps each to a vector.

  Attributes:
    cube: frames, rows and columns of a cube.
    width: channels out.
    kernel_init: how the kernel starts.
    dtype: compute dtype.
  """

  cube: Cube
  width: int
  kernel_init: Callable = torch_linear_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps clips to [batch, cubes, dim]."""
    check_clips(x)
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    return nn.Dense(self.width, **options, name="dense")(cut_cubes(x, self.cube))


class VideoViT(ViT):
  """A vision transformer over the cubes of a clip, all attending to all.

  As in VideoMAE (arXiv 2203.12602): cubes of 2 frames of 16 x 16 pixels, fixed
  positions, and the mean over cubes as features. It has no registers and no mask token;
  see `ViT` for the other attributes.

  Attributes:
    patch: frames, rows and columns of a cube.
  """

  patch: Cube = (2, 16, 16)
  positions: Factory = CubePositions
  class_token: bool = False
  patch_embed: Factory = CubeEmbed

  def embed(self, x: jax.Array) -> jax.Array:
    """Maps clips to tokens with positions, [batch, prefix + cubes, width]."""
    if self.registers or self.mask_token:
      raise InputError("A VideoViT has no registers and no mask token.")
    tokens = self.patch_layer(x)
    if self.class_token:
      tokens = jnp.concatenate([self._repeat(self.token, len(x)), tokens], axis=1)
    grid = cube_grid(x.shape, self.patch)
    return tokens + self.position(*grid)[None].astype(self.dtype)


class VideoMAE(MAE):
  """A masked autoencoder of clips: the encoder computes nothing for cubes left out.

  Tong et al., arXiv 2203.12602, section 3.

  Attributes:
    encoder: `VideoViT`.
    decoder: `MAEDecoder(positions=CubePositions)`, or what is called alike.
  """

  @nn.compact
  def __call__(self, x: Visible, *, train: bool, keys: jax.Array | None = None):
    """Maps a `Visible` of clips to predictions, float32 [batch, cubes, values]."""
    deep, high, wide = self.encoder.patch
    return self.decoder(
      self.look(x, train=train, keys=keys),
      grid=cube_grid(x.image.shape, self.encoder.patch),
      values=deep * high * wide * x.image.shape[-1],
      train=train,
      keys=keys,
    )


class OrderNet(nn.Module):
  """A `Framewise` encoder and a head on the joined features of all frames.

  The tower of shuffle-and-learn (arXiv 1603.08561, section 4.1): one encoder sees each
  frame, and what it says of all of them is joined in their order.

  Attributes:
    encoder: `Framewise`.
    head: joined features -> logits.
    projector: features of a frame -> what is joined, with a ReLU after it; None joins
      the features.
  """

  encoder: nn.Module
  head: nn.Module
  projector: nn.Module | None = None

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps frames [batch, frames, height, width, channels] to logits."""
    found = self.encoder.each(x, train=train, keys=keys)
    if self.projector is not None:
      found = nn.relu(self.projector(found, train=train))
    return self.head(found.reshape(len(found), -1), train=train)
