"""Residual networks as torchvision builds them (arXiv 1512.03385, stride in the 3x3).

Padding is symmetric, as in torch and in SimCLR's TensorFlow code; "SAME" would shift
the strided layers by a pixel.
"""

from collections.abc import Callable
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
  run_block,
)
from jaxssl.ops.convolutions import convolve


class _Conv(nn.Module):
  """A convolution as `convolve`."""

  width: int
  size: int
  stride: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, *, apply: bool = True):
    shape = (self.size, self.size, x.shape[-1], self.width)
    kernel = self.param("kernel", he_init, shape)
    if not apply:
      return kernel
    return convolve(x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride)


def _normalized(norm, conv, x, train):
  """`norm(conv(x))`; batch norm takes a 1x1 convolution that widens as a product."""
  if conv.size == 1 and conv.width > x.shape[-1] and isinstance(norm, BatchNorm):
    kernel = conv(x, apply=False)[0, 0]
    return norm(x[:, :: conv.stride, :: conv.stride], train=train, kernel=kernel)
  return norm(conv(x), train=train)


class ImageNetStem(nn.Module):
  """7x7 convolution of stride 2, norm, ReLU, 3x3 max pooling of stride 2.

  Attributes:
    channels: channels out.
    norm: a factory of norms.
    dtype: compute dtype.
  """

  channels: int
  norm: Factory
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    x = _Conv(self.channels, 7, 2, dtype=self.dtype, name="conv")(x)
    x = nn.relu(self.norm(name="norm")(x, train=train))
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


class CifarStem(nn.Module):
  """3x3 convolution of stride 1, norm and ReLU, for images of 32 pixels.

  Attributes:
    channels: channels out.
    norm: a factory of norms.
    dtype: compute dtype.
  """

  channels: int
  norm: Factory
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    x = _Conv(self.channels, 3, 1, dtype=self.dtype, name="conv")(x)
    return nn.relu(self.norm(name="norm")(x, train=train))


class _Residual(nn.Module):
  """Convolutions around which the input is carried; subclasses list them."""

  channels: int
  stride: int
  norm: Factory
  last_scale_init: Callable
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    convs = self.convolutions()
    y = x
    for i, (width, size, stride) in enumerate(convs, start=1):
      conv = _Conv(width, size, stride, dtype=self.dtype, name=f"conv{i}")
      if i < len(convs):
        y = nn.relu(self.norm(name=f"norm{i}")(conv(y), train=train))
    last = self.norm(scale_init=self.last_scale_init, name=f"norm{len(convs)}")
    y = _normalized(last, conv, y, train)
    return nn.relu(y + self._shortcut(x, y.shape, train))

  def convolutions(self):
    """Returns (channels, kernel size, stride) of each convolution."""
    raise NotImplementedError

  def _shortcut(self, x, shape, train):
    if x.shape == shape:
      return x
    conv = _Conv(shape[-1], 1, self.stride, dtype=self.dtype, name="shortcut_conv")
    return _normalized(self.norm(name="shortcut_norm"), conv, x, train)


class BasicBlock(_Residual):
  """Two 3x3 convolutions: the block of ResNet-18 and ResNet-34."""

  def convolutions(self):
    """Returns (channels, kernel size, stride) of each convolution."""
    return ((self.channels, 3, self.stride), (self.channels, 3, 1))


class Bottleneck(_Residual):
  """1x1, 3x3 and 1x1 convolutions, four times as wide at the end: ResNet-50 and up."""

  def convolutions(self):
    """Returns (channels, kernel size, stride) of each convolution."""
    inner, outer = self.channels, 4 * self.channels
    return ((inner, 1, 1), (inner, 3, self.stride), (outer, 1, 1))


class ResNet(nn.Module):
  """A residual network without classifier.

  Attributes:
    layers: blocks per stage.
    block: `BasicBlock` or `Bottleneck`.
    channels: of the stages (a bottleneck puts out four times as many).
    stem: `ImageNetStem` or `CifarStem`.
    stem_channels: channels that the stem puts out.
    width: multiplies all channels (SimCLR's "2x").
    zero_init: whether the last scale of each block starts at 0, so that a block
      starts as the identity: SimCLR, SimSiam, MoCo v3, Barlow Twins and VICReg do,
      MoCo v1 and v2 do not.
    norm: a factory of norms (`layers.BatchNorm`, `layers.GroupNorm`, ...).
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; parameters, statistics and features are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  layers: tuple[int, ...]
  block: Factory
  channels: tuple[int, ...] = (64, 128, 256, 512)
  stem: Factory = ImageNetStem
  stem_channels: int = 64
  width: int = 1
  zero_init: bool = True
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: str = "none"

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to features [batch, dim].

    `dim` is the last of `channels`, times `width`, times 4 for bottlenecks.

    Args:
      x: float images, in [0, 1] or normalised.
      train: whether to use and update batch statistics.
      keys: one per row; unused.

    Returns:
      float32 features.

    Raises:
      InputError: `x` is not a batch of float images.
    """
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to features before the mean, [batch, rows, columns, dim]."""
    check_images(x)
    self._check()
    norm = partial(self.norm, axis_name=self.axis_name, dtype=self.dtype)
    stem_channels = self.stem_channels * self.width
    x = self.stem(stem_channels, norm, dtype=self.dtype, name="stem")(x, train=train)
    for stage, count in enumerate(self.layers):
      for i in range(count):
        stride = 2 if stage > 0 and i == 0 else 1
        block = self._block(stage, i, stride, norm)
        x = run_block(block, x, remat=self.remat, train=train)
    return x.astype(jnp.float32)

  def _check(self):
    if len(self.layers) != len(self.channels):
      raise InputError(
        f"ResNet needs one width per stage; got {self.channels} for {self.layers}."
      )

  def _block(self, stage, i, stride, norm):
    init = nn.initializers.zeros if self.zero_init else nn.initializers.ones
    return self.block(
      self.channels[stage] * self.width,
      stride,
      norm,
      init,
      dtype=self.dtype,
      name=f"stage{stage + 1}_block{i + 1}",
    )


ResNet18 = partial(ResNet, layers=(2, 2, 2, 2), block=BasicBlock)
ResNet34 = partial(ResNet, layers=(3, 4, 6, 3), block=BasicBlock)
ResNet50 = partial(ResNet, layers=(3, 4, 6, 3), block=Bottleneck)
ResNet101 = partial(ResNet, layers=(3, 4, 23, 3), block=Bottleneck)
ResNet152 = partial(ResNet, layers=(3, 8, 36, 3), block=Bottleneck)
