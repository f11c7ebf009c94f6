"""Decoders and generators: codes -> images, as logits of the pixels.

Each is called `net(z, *, train, keys=None)` and returns float32
[batch, height, width, channels] without an activation at the end: what the numbers
mean (logits of a Bernoulli, the mean of a Gaussian) is the method's choice.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import BatchNorm, Factory, he_init, normal_init
from jaxssl.models.mlp import MLP
from jaxssl.ops.convolutions import convolve

Shape = tuple[int, int, int]


class MLPDecoder(nn.Module):
  """Fully connected layers from a code to the pixels.

  Attributes:
    shape: of the images, (height, width, channels).
    widths: of the hidden layers.
    norm: a factory of norms for the hidden layers, or None.
    activation: of the hidden layers.
    bias: whether the layers have a bias.
    kernel_init: how kernels start.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  shape: Shape
  widths: tuple[int, ...]
  norm: Factory | None = None
  activation: Callable = nn.relu
  bias: bool = True
  kernel_init: Callable = nn.initializers.lecun_normal()
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, keys: jax.Array | None = None):
    layers = len(self.widths) + 1
    mlp = MLP(
      widths=(*self.widths, math.prod(self.shape)),
      biases=(self.bias,) * layers,
      norms=(self.norm,) * (layers - 1) + (None,),
      activation=self.activation,
      kernel_init=self.kernel_init,
      axis_name=self.axis_name,
      dtype=self.dtype,
      name="mlp",
    )
    return mlp(z, train=train).reshape(z.shape[0], *self.shape)


class MapDecoder(nn.Module):
  """From an encoder's map to the image: doubled and convolved, once per width.

  A block is: each position twice as high and wide (nearest), 3x3 convolution, norm,
  ReLU. A 1x1 convolution makes the channels.

  Attributes:
    shape: of the images; the map must have sides of height and width over
      2 ** len(widths).
    widths: channels of the blocks.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  shape: Shape
  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, grid: jax.Array, *, train: bool, keys: jax.Array | None = None):
    if grid.shape[1:3] != grid_sides(self.shape, len(self.widths)):
      raise InputError(
        f"A map of {grid.shape[1]} x {grid.shape[2]} doubled {len(self.widths)} times "
        f"is no image of {self.shape[0]} x {self.shape[1]}; change the decoder's "
        "widths or the size of the images."
      )
    x = grid
    for i, width in enumerate(self.widths):
      x = _Conv3x3(width, dtype=self.dtype, name=f"conv{i}")(doubled(x))
      norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
      x = nn.relu(norm(x, train=train))
    x = nn.Dense(self.shape[2], dtype=self.dtype, name="pixels")(x)
    return x.astype(jnp.float32)


class ConvDecoder(nn.Module):
  """From a code to the image: a dense layer to a small map, then a `MapDecoder`.

  Attributes:
    shape: of the images; sides divisible by 2 ** len(widths).
    widths: channels of the blocks; the small map has those of the first.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  shape: Shape
  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, keys: jax.Array | None = None):
    norm = {"axis_name": self.axis_name, "dtype": self.dtype}
    grid = _dense_map(self, z)
    grid = nn.relu(self.norm(**norm, name="norm_dense")(grid, train=train))
    maps = MapDecoder(self.shape, self.widths, self.norm, **norm, name="maps")
    return maps(grid, train=train)


class Generator(nn.Module):
  """DCGAN's generator (arXiv 1511.06434): transposed 4x4 convolutions of stride 2.

  A dense layer to a small map, then norm and ReLU before each convolution; all
  kernels start from N(0, 0.02). The paper has 5x5 kernels and, for 64 pixels, widths of
  (1024, 512, 256, 128).

  Attributes:
    shape: of the images; sides divisible by 2 ** len(widths).
    widths: channels before each convolution, of which the last makes the pixels.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  shape: Shape
  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, keys: jax.Array | None = None):
    x = _dense_map(self, z, kernel_init=normal_init)
    for i, width in enumerate((*self.widths[1:], self.shape[2])):
      norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
      x = nn.relu(norm(x, train=train))
      x = self._up(width, last=i == len(self.widths) - 1, name=f"up{i}")(x)
    return x.astype(jnp.float32)

  def _up(self, width, *, last, name):
    return nn.ConvTranspose(
      width,
      (4, 4),
      strides=(2, 2),
      use_bias=last,
      kernel_init=normal_init,
      dtype=self.dtype,
      name=name,
    )


def grid_sides(shape: Shape, doublings: int) -> tuple[int, int]:
  """Returns rows and columns of the map that becomes an image when it is doubled.

  Args:
    shape: of the image, (height, width, channels).
    doublings: how often rows and columns are doubled.

  Returns:
    Rows and columns.

  Raises:
    InputError: if the sides of the image cannot be made so.
  """
  factor = 2**doublings
  if len(shape) != 3 or shape[0] % factor or shape[1] % factor or not doublings:
    raise InputError(
      f"{doublings} widths double a map {doublings} times, which makes no image of "
      f"shape {shape}; its sides must be multiples of {factor}, and there must be at "
      "least 1 width."
    )
  return shape[0] // factor, shape[1] // factor


def doubled(x: jax.Array) -> jax.Array:
  """Repeats each position of a map as a square of four."""
  batch, rows, columns, channels = x.shape
  square = (batch, rows, 2, columns, 2, channels)
  x = jnp.broadcast_to(x[:, :, None, :, None], square)
  return x.reshape(batch, 2 * rows, 2 * columns, channels)


def _dense_map(net, z, kernel_init=he_init):
  """A dense layer from codes to the smallest map of a net with `shape` and `widths`."""
  sides = grid_sides(net.shape, len(net.widths))
  width = net.widths[0]
  dense = nn.Dense(
    math.prod(sides) * width, kernel_init=kernel_init, dtype=net.dtype, name="dense"
  )
  return dense(z).reshape(z.shape[0], *sides, width)


class _Conv3x3(nn.Module):
  """A 3x3 convolution without bias; on small maps a matrix product, as in ConvNet."""

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    kernel = self.param("kernel", he_init, (3, 3, x.shape[-1], self.width))
    kernel, x = kernel.astype(self.dtype), x.astype(self.dtype)
    return convolve(x, kernel)
