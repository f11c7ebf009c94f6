"""Nets that put back what was taken from an image: its colours, or a part of it.

An encoder that has a `feature_map`, and a decoder of the map. `ConvNet`, `ResNet` and
`ConvNeXt` are such encoders, and so are those of the papers here.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  BatchNorm,
  Factory,
  check_images,
  flatten_map,
  he_init,
  leaky_relu,
  normal_init,
)

PyTree = Any


class Restorer(nn.Module):
  """An encoder up to its map, and a decoder from there.

  Attributes:
    encoder: has `feature_map(x, *, train, keys)`, [batch, rows, columns, dim].
    decoder: such a map -> what is put back.
  """

  encoder: nn.Module
  decoder: nn.Module

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to what the decoder makes."""
    if not hasattr(self.encoder, "feature_map"):
      raise InputError(
        f"{type(self.encoder).__name__} has no feature_map; ConvNet, ResNet, ConvNeXt "
        "and the encoders of models/restoration.py have one."
      )
    if self.is_initializing():
      self.encoder(x, train=train, keys=keys)  # some parameters come after the map
    found = self.encoder.feature_map(x, train=train, keys=keys)
    return self.decoder(found, train=train, keys=keys)


class ColorEncoder(nn.Module):
  """The colorization net up to conv7 (Zhang et al., arXiv 1603.08511, and its code).

  Seven blocks of 3x3 convolutions with ReLU, each ended by a batch norm without scale
  and offset; the first three halve the image, the fifth and sixth are dilated.

  Attributes:
    width: channels of the first block, 64 in the paper; 2, 4 and 8 times as many later.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  width: int = 64
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps lightness [batch, height, width, 1] to features [batch, 8 * width]."""
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps lightness to float32 [batch, height / 8, width / 8, 8 * width]."""
    check_images(x)
    blocks = ((1, 2, 2), (2, 2, 2), (4, 3, 2), *((8, 3, 1),) * 4)
    for i, (wide, convs, stride) in enumerate(blocks):
      for j in range(convs):
        step = stride if j == convs - 1 else 1
        conv = self._conv(wide * self.width, step, 2 if i in (4, 5) else 1)
        x = nn.relu(conv(name=f"conv{i + 1}_{j + 1}")(x))
      x = self._norm(name=f"norm{i + 1}")(x, train=train)
    return x.astype(jnp.float32)

  def _conv(self, width, stride, dilation):
    options = {"kernel_dilation": dilation, "padding": dilation, "dtype": self.dtype}
    return partial(nn.Conv, width, (3, 3), stride, kernel_init=he_init, **options)

  def _norm(self, name):
    plain = {"use_scale": False, "use_bias": False, "dtype": self.dtype}
    return self.norm(axis_name=self.axis_name, name=name, **plain)


class ColorDecoder(nn.Module):
  """The last block of the colorization net: conv8, twice as fine as its input.

  Attributes:
    out: channels: 313 bins, or 2 for the colours themselves.
    width: channels of the convolutions, 256 in the paper.
    dtype: compute dtype.
  """

  out: int
  width: int = 256
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, rows, columns, dim] to float32 [batch, 2 rows, 2 columns, out]."""
    options = {"dtype": self.dtype, "kernel_init": he_init}
    x = nn.relu(nn.ConvTranspose(self.width, (4, 4), (2, 2), **options)(x))
    for _ in range(2):
      x = nn.relu(nn.Conv(self.width, (3, 3), **options)(x))
    x = nn.Conv(self.out, (1, 1), dtype=self.dtype, kernel_init=normal_init)(x)
    return x.astype(jnp.float32)


class ResizeDecoder(nn.Module):
  """Repeats a map's positions and looks at it twice: a head for any encoder.

  Attributes:
    out: channels.
    factor: how many times finer the result is.
    width: channels of the 3x3 convolution.
    dtype: compute dtype.
  """

  out: int
  factor: int = 2
  width: int = 128
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, rows, columns, dim] to [batch, rows * factor, ..., out] float32."""
    x = jnp.repeat(jnp.repeat(x, self.factor, axis=1), self.factor, axis=2)
    conv = nn.Conv(self.width, (3, 3), kernel_init=he_init, dtype=self.dtype)
    x = nn.Conv(self.out, (1, 1), kernel_init=normal_init, dtype=self.dtype)(
      nn.relu(conv(x))
    )
    return x.astype(jnp.float32)


class ContextEncoder(nn.Module):
  """The encoder of context encoders (Pathak et al., arXiv 1604.07379, and its code).

  4x4 convolutions that halve the image, leaky ReLU and, but for the first, batch norm;
  then one convolution to the bottleneck, which sees all that is left of the image.

  Attributes:
    widths: channels of the halving convolutions; the default is for 128 pixels.
    bottleneck: dimensions of the code.
    last: side in pixels of the last convolution: the image's, halved `len(widths)`
      times. A larger image gives several codes, of which the features are the mean.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...] = (64, 64, 128, 256, 512)
  bottleneck: int = 4000
  last: int = 4
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to codes [batch, bottleneck]."""
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to codes, float32 [batch, rows, columns, bottleneck]."""
    check_images(x)
    x = _halving(self, x, train=train)
    if min(x.shape[1:3]) < self.last:
      raise InputError(
        f"{len(self.widths)} halvings leave {x.shape[1]} x {x.shape[2]} positions, too "
        f"few for a last convolution of {self.last}; pass fewer widths or a larger "
        "image."
      )
    options = {"padding": "VALID", "kernel_init": normal_init, "dtype": self.dtype}
    code = nn.Conv(self.bottleneck, (self.last,) * 2, name="bottleneck", **options)(x)
    return code.astype(jnp.float32)


class HoleDecoder(nn.Module):
  """Makes the missing part of an image from a map (arXiv 1604.07379, and its code).

  Norm and leaky ReLU on the map, one linear map of all of it, then transposed 4x4
  convolutions that double the side, with norm and ReLU; tanh at the end. The side of
  the result is `start * 2 ** len(widths)`.

  Attributes:
    widths: channels before each doubling; the default makes 64 pixels.
    channels: of the image.
    start: side of the first map.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...] = (512, 256, 128, 64)
  channels: int = 3
  start: int = 4
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, rows, columns, dim] to pixels in [-1, 1], [batch, side, side, c]."""
    options = {"kernel_init": normal_init, "dtype": self.dtype}
    norm = partial(_near_one_norm, self)
    x = leaky_relu(norm("norm_in")(x, train=train))
    x = nn.Dense(self.start**2 * self.widths[0], **options)(x.reshape(len(x), -1))
    x = x.reshape(-1, self.start, self.start, self.widths[0])
    for i, width in enumerate((*self.widths[1:], self.channels)):
      x = nn.relu(norm(f"norm{i}")(x, train=train))
      x = nn.ConvTranspose(width, (4, 4), (2, 2), **options, name=f"deconv{i}")(x)
    return jnp.tanh(x.astype(jnp.float32))


class HoleCritic(nn.Module):
  """Tells real parts of images from made ones (arXiv 1604.07379, and its code).

  Attributes:
    widths: channels of the 4x4 convolutions, each of which halves the part; the
      default is for 64 pixels.
    norm: a factory of norms; the first convolution has none.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps parts of images to the logits of being real, float32 [batch]."""
    check_images(x)
    x = _halving(self, x, train=train)
    head = nn.Dense(1, kernel_init=normal_init, dtype=self.dtype)
    return head(x.reshape(len(x), -1))[:, 0].astype(jnp.float32)


def _halving(net, x, *, train):
  """DCGAN's convolutions, inside a compact method of `net`."""
  options = {"padding": 1, "kernel_init": normal_init, "dtype": net.dtype}
  for i, width in enumerate(net.widths):
    x = nn.Conv(width, (4, 4), (2, 2), **options, name=f"conv{i}")(x)
    x = _near_one_norm(net, f"norm{i}")(x, train=train) if i else x
    x = leaky_relu(x)
  return x


def _near_one_norm(net, name):
  options = {"axis_name": net.axis_name, "dtype": net.dtype, "scale_init": _near_one}
  return net.norm(name=name, **options)


def _near_one(key, shape, dtype=jnp.float32):
  return 1 + 0.02 * jax.random.normal(key, shape, dtype)
