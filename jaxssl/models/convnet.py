"""A plain convolutional net for small images: digits, Fashion-MNIST, CIFAR."""

import functools
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
)

SMALL = 8  # side up to which a 3x3 convolution is one matrix product


class Conv3x3(nn.Module):
  """A 3x3 convolution with padding 1 and no bias; on a CPU one matrix product.

  There the nine shifted images are joined along the channels and multiplied by the
  kernel: as fast as XLA's convolution at 28x28 pixels, ten times faster at 2x2, and its
  gradient doesn't slow down inside `scan` or under `vmap` over seeds. It costs nine
  times the memory of its input: use `ResNet` for large images.

  Attributes:
    width: channels out.
    stride: distance between two outputs.
    dtype: compute dtype; the kernel, [3, 3, in, out], is float32.
  """

  width: int
  stride: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    kernel = self.param("kernel", he_init, (3, 3, x.shape[-1], self.width))
    return conv3x3(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)


def conv3x3(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Convolves [batch, height, width, in] with [3, 3, in, out]; see `Conv3x3`."""
  return jax.lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_product_of_shifts, stride=stride),
    default=functools.partial(_convolution, stride=stride),
  )


def _product_of_shifts(x, kernel, *, stride):
  patches = shifted(x, stride)
  kernel = kernel.reshape(-1, kernel.shape[-1])
  y = patches.reshape(-1, kernel.shape[0]) @ kernel  # 2-d: the fast path on a CPU
  return y.reshape(*patches.shape[:3], kernel.shape[-1])


def _convolution(x, kernel, *, stride):
  side = kernel.shape[0]
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(stride, stride),
    padding=[((side - 1) // 2, side // 2)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def convolve(
  x: jax.Array, kernel: jax.Array, *, stride: int = 1, small: int = SMALL
) -> jax.Array:
  """Convolves without bias, padded symmetrically by half the kernel, as torch.

  On small maps a 3x3 one is `conv3x3`: on a CPU XLA's convolution is many times slower.

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out]; an even side is padded by one more at the end.
    stride: distance between two outputs.
    small: side up to which a map is small.

  Returns:
    [batch, rows, columns, out].
  """
  if kernel.shape[0] == 3 and max(x.shape[1:3]) <= small:
    return conv3x3(x, kernel, stride)
  return _convolution(x, kernel, stride=stride)


def shifted(x: jax.Array, stride: int) -> jax.Array:
  """Joins the nine shifts of images [batch, height, width, channels] by channel."""
  _, height, width, _ = x.shape
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  rows = [slice(i, i + height, stride) for i in range(3)]
  columns = [slice(j, j + width, stride) for j in range(3)]
  views = [padded[:, row, column] for row in rows for column in columns]
  return jnp.concatenate(views, axis=-1)


def _average_pool(x, side):
  batch, height, width, channels = x.shape
  rows, columns = height // side, width // side
  if not rows or not columns:
    raise InputError(
      f"{height} x {width} positions are too few for an average pool of {side}; "
      "use larger images or fewer pools."
    )
  x = x[:, : rows * side, : columns * side]
  return x.reshape(batch, rows, side, columns, side, channels).mean((2, 4))


class ConvNet(nn.Module):
  """3x3 convolution, norm, ReLU and average pool per block; the mean at the end.

  Attributes:
    widths: channels of the blocks.
    pools: side of each block's average pool, as many as widths; 1 leaves it out. Rows
      and columns that don't fill a pool are left out, as in torch.
    norm: a factory of norms (`layers.BatchNorm`, `layers.LayerNorm`, ...).
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; parameters, statistics and features are float32.
  """

  widths: tuple[int, ...] = (32, 64, 128, 256)
  pools: tuple[int, ...] = (1, 2, 2, 1)
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to features [batch, widths[-1]]."""
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to features before the mean, [batch, rows, columns, widths[-1]]."""
    check_images(x)
    if len(self.widths) != len(self.pools):
      raise InputError(
        f"ConvNet needs one pool per width; got {self.pools} for {self.widths}."
      )
    for i, (width, pool) in enumerate(zip(self.widths, self.pools, strict=True)):
      x = Conv3x3(width, 1, dtype=self.dtype, name=f"conv{i}")(x, train=train)
      x = nn.relu(self._norm(i)(x, train=train))
      x = x if pool == 1 else _average_pool(x, pool)
    return x.astype(jnp.float32)

  def _norm(self, i):
    return self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
