"""A plain convolutional net for small images: digits, Fashion-MNIST, CIFAR."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  BatchNorm,
  Factory,
  check_images,
  flatten_map,
  he_init,
)
from jaxssl.ops.convolutions import convolve


class Conv3x3(nn.Module):
  """A 3x3 convolution with padding 1 and no bias; see `ops.convolutions`.

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
    return convolve(x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride)


def _average_pool(x, side):
  _, height, width, _ = x.shape
  if min(height, width) < side:
    raise InputError(
      f"{height} x {width} positions are too few for an average pool of {side}; "
      "use larger images or fewer pools."
    )
  wide = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
  window, zero = (
    (1, side, side, 1),
    np.zeros((), wide.dtype),
  )  # a tracer has no gradient
  total = jax.lax.reduce_window(wide, zero, jax.lax.add, window, window, "VALID")
  return (total / side**2).astype(x.dtype)


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
