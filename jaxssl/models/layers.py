"""Layers that several nets share: norms, per-row dropout, positions.

Every layer is called `layer(x, *, train, keys=None)`. The norms take the same
attributes, so that a net can be given any of them as its `norm` factory.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError, nearest
from jaxssl.ops.patches import cut_patches
from jaxssl.ops.products import standardized_product

Factory = Callable[..., nn.Module]

# The default of a linear layer in torch, U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)).
torch_linear_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

# The official codes of ViTs and ConvNeXt ask for a normal of 0.02 truncated at 2, a
# hundred deviations away.
normal_init = nn.initializers.normal(0.02)

# He et al., by the outputs of a convolution, as torchvision's ResNets start.
he_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


# As the papers with adversarial nets have it.
leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)

# The erf form of timm, fairseq, nanoGPT and transformers' BERT; the official codes of
# BERT and GPT-2 have the tanh form, `partial(nn.gelu, approximate=True)`.
exact_gelu = partial(nn.gelu, approximate=False)


def quick_gelu(x: jax.Array) -> jax.Array:
  """Returns x sigmoid(1.702 x), elementwise: the GELU of OpenAI's CLIP."""
  return x * jax.nn.sigmoid(1.702 * x)


def check_images(x: jax.Array) -> None:
  """Raises InputError unless `x` is float and [batch, height, width, channels]."""
  if x.ndim != 4:
    raise InputError(
      f"Images must be [batch, height, width, channels]; got shape {x.shape}."
    )
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise InputError(
      f"Images must be floats in [0, 1]; got {x.dtype} "
      "(jaxssl.ops.to_float converts uint8)."
    )


def flatten_map(x: jax.Array) -> jax.Array:
  """Returns a map [batch, rows, columns, dim] as [batch, rows * columns, dim]."""
  return x.reshape(x.shape[0], -1, x.shape[-1])


def squares(x: jax.Array, side: int) -> jax.Array:
  """Cuts maps into squares; rows and columns that don't fill one are left out.

  Args:
    x: [batch, height, width, channels].
    side: of a square.

  Returns:
    [batch, height // side, width // side, side * side * channels]; a square is read
    row by row, its channels innermost.
  """
  rows, columns = x.shape[1] // side, x.shape[2] // side
  cut = cut_patches(x[:, : rows * side, : columns * side], side)
  return cut.reshape(x.shape[0], rows, columns, cut.shape[-1])


def drop_rates(rate: float | tuple[float, ...], blocks: int) -> tuple[float, ...]:
  """Returns the stochastic depth of each block.

  Args:
    rate: of the last block, linear from 0 at the first; or one rate per block.
    blocks: how many there are.

  Returns:
    One rate per block.

  Raises:
    InputError: as many rates as blocks are needed.
  """
  if isinstance(rate, int | float):
    return tuple(rate * i / max(blocks - 1, 1) for i in range(blocks))
  if len(rate) != blocks:
    raise InputError(
      f"drop_path must be one number or a rate for each of the {blocks} blocks; got "
      f"{len(rate)} rates."
    )
  return tuple(rate)


def _keep_products(primitive, *_, **options):
  """Keeps what multiplies by weights: convolutions, and products without batch axes."""
  if primitive.name == "conv_general_dilated":
    return True
  batched = primitive.name == "dot_general" and any(options["dimension_numbers"][1])
  return primitive.name == "dot_general" and not batched


REMAT = {"none": None, "dots": _keep_products, "full": lambda *_, **__: False}


def run_block(block: nn.Module, x: jax.Array, *, remat: str, **options) -> jax.Array:
  """Calls a block of a deep net, and says what its backward pass computes again.

  Args:
    block: the block.
    x: its input.
    remat: one of `REMAT`: "none" keeps all activations, "dots" what convolutions and
      products with weights give, "full" nothing but `x`.
    **options: of the call.

  Returns:
    What the block returns.

  Raises:
    InputError: for another policy.
  """
  if remat not in REMAT:
    raise InputError(
      f"There is no remat policy '{remat}'.{nearest(remat, REMAT)} There are: "
      f"{', '.join(REMAT)}."
    )
  if remat == "none":
    return block(x, **options)
  call = lambda block, x: block(x, **options)
  return nn.remat(call, policy=REMAT[remat])(block, x)


class Norm(nn.Module):
  """What the norms have in common: attributes, and the affine map at the end.

  Attributes:
    epsilon: added to the variance.
    use_scale: whether there is a learned scale.
    use_bias: whether there is a learned offset.
    scale_init: how the scale starts.
    axis_name: the pmap axis to average batch statistics over; None outside pmap.
      Norms that look at one row only ignore it.
    dtype: of the result; statistics and parameters are float32 always.
  """

  epsilon: float = 1e-5
  use_scale: bool = True
  use_bias: bool = True
  scale_init: Callable = nn.initializers.ones
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def affine(self, x: jax.Array) -> jax.Array:
    """Applies the learned scale and offset to normalised float32 `x`."""
    if self.use_scale:
      x = x * _rows(self.param("scale", self.scale_init, x.shape[-1:]), x)
    if self.use_bias:
      x = x + _rows(self.param("bias", nn.initializers.zeros, x.shape[-1:]), x)
    return x.astype(self.dtype)


def _rows(vector, x):
  return jnp.expand_dims(vector, range(x.ndim - 1))


class BatchNorm(Norm):
  """Batch norm over every axis but the last, with the decay of torch and SimCLR.

  Arxiv 1502.03167. Running statistics keep 0.9 of the old value. Torch stores the
  unbiased variance in them, this stores the biased one, as TensorFlow and Flax do.

  In a jitted step over a mesh the statistics are those of the global batch; under
  `pmap` give `axis_name`. See `Norm` for the attributes.

  Attributes:
    momentum: how much of the running statistics a step keeps.
  """

  momentum: float = 0.9

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    kernel: jax.Array | None = None,
  ):
    """Normalises `x`, or `x @ kernel`.

    Args:
      x: [batch, ..., channels].
      train: whether to use and update batch statistics.
      keys: unused.
      kernel: float32 [channels, channels out], for maps [batch, height, width,
        channels]; in training the product is then not kept (`standardized_product`).
    """
    width = x.shape[-1:] if kernel is None else kernel.shape[-1:]
    mean = self.variable("batch_stats", "mean", jnp.zeros, width, jnp.float32)
    var = self.variable("batch_stats", "var", jnp.ones, width, jnp.float32)
    scale, bias = jnp.ones(width), jnp.zeros(width)
    if self.use_scale:
      scale = self.param("scale", self.scale_init, width)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, width)
    if train and kernel is not None:
      y, *found = self._product(x, kernel, scale, bias)
      self._keep(mean, var, *found)
      return y
    if kernel is not None:
      x = x.astype(self.dtype) @ kernel.astype(self.dtype)
    # One pass over x. The running mean as origin keeps E[x^2] - E[x]^2 accurate
    # where the mean is large against the deviation.
    shift = mean.value
    x = x.astype(jnp.float32) - _rows(shift, x)
    if not train:
      return self._normalize(x, jnp.zeros_like(shift), var.value, scale, bias)
    found = self._moments(x)
    self._keep(mean, var, shift + found[0], found[1])
    return self._normalize(x, *found, scale, bias)

  def _product(self, x, kernel, scale, bias):
    over = None if self.is_initializing() else self.axis_name
    x = x.astype(self.dtype)
    return standardized_product(x, kernel, scale, bias, self.epsilon, over)

  def _keep(self, mean, var, batch_mean, batch_var):
    if not self.is_initializing():
      keep = self.momentum
      mean.value = keep * mean.value + (1 - keep) * batch_mean
      var.value = keep * var.value + (1 - keep) * batch_var

  def _moments(self, x):
    axes = tuple(range(x.ndim - 1))
    moments = jnp.stack([jnp.mean(x, axes), jnp.mean(x**2, axes)])
    if self.axis_name is not None and not self.is_initializing():
      moments = jax.lax.pmean(moments, self.axis_name)
    return moments[0], jnp.maximum(moments[1] - moments[0] ** 2, 0.0)

  def _normalize(self, x, mean, var, scale, bias):
    # One product and one sum an element: their gradients need two sums over x, not
    # four, in a step that is bound by memory.
    factor = scale * jax.lax.rsqrt(var + self.epsilon)
    offset = bias - mean * factor
    return (x * _rows(factor, x) + _rows(offset, x)).astype(self.dtype)


class LayerNorm(Norm):
  """Layer norm over the last axis (arXiv 1607.06450); see `Norm` for the attributes."""

  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    x = x.astype(jnp.float32)
    return self.affine(_standardize(x, axis=-1, epsilon=self.epsilon))


class GroupNorm(Norm):
  """Group norm (arXiv 1803.08494) over positions and the channels of a group.

  See `Norm` for the other attributes.

  Attributes:
    groups: number of groups; must divide the channels.
  """

  groups: int = 32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    batch, channels = x.shape[0], x.shape[-1]
    if self.groups < 1 or channels % self.groups:
      raise InputError(f"{channels} channels do not split into {self.groups} groups.")
    grouped = x.reshape(batch, -1, self.groups, channels // self.groups)
    grouped = grouped.astype(jnp.float32)
    normal = _standardize(grouped, axis=(1, 3), epsilon=self.epsilon)
    return self.affine(normal.reshape(x.shape))


def _standardize(x, *, axis, epsilon):
  centred = x - jnp.mean(x, axis, keepdims=True)
  variance = jnp.mean(centred**2, axis, keepdims=True)
  return centred * jax.lax.rsqrt(variance + epsilon)


class LayerScale(nn.Module):
  """A learned scale per channel that starts small (arXiv 2103.17239).

  Attributes:
    start: of the scale.
  """

  start: float

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    init = nn.initializers.constant(self.start)
    scale = self.param("scale", init, x.shape[-1:])
    return x * _rows(scale, x).astype(x.dtype)


class RowDropout(nn.Module):
  """Dropout whose mask for a row depends on that row's key alone.

  The key is folded with the layer's path in the net, so that every layer draws its
  own mask; a layer that is called twice draws the same mask twice.

  Attributes:
    rate: probability of zeroing an entry, in [0, 1).
  """

  rate: float

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    return self._drop(x, x.shape[1:], train, keys)

  def _drop(self, x, shape, train, keys):
    if not 0 <= self.rate < 1:
      raise InputError(f"A drop rate must be in [0, 1); got {self.rate}.")
    if not train or self.rate == 0 or self.is_initializing():
      return x
    kept = row_mask(self._own_keys(x, keys), shape=shape, rate=1 - self.rate)
    return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))

  def _own_keys(self, x, keys):
    if keys is None or keys.shape != x.shape[:1]:
      raise InputError(
        f"{type(self).__name__} needs keys of shape {x.shape[:1]}, one per row of x; "
        f"got {None if keys is None else keys.shape}."
      )
    layer = zlib.crc32("/".join(self.path).encode()) & 0x7FFFFFFF
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, layer)


class DropPath(RowDropout):
  """Stochastic depth (arXiv 1603.09382): drops the whole row of a residual branch.

  The mask of a row depends on that row's key alone; see `RowDropout`.
  """

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    return self._drop(x, (1,) * (x.ndim - 1), train, keys)


def row_mask(keys: jax.Array, *, shape: tuple[int, ...], rate: float) -> jax.Array:
  """Draws one boolean mask per row, each from its own key.

  Args:
    keys: [batch], one key per row.
    shape: of a row's mask.
    rate: probability of True.

  Returns:
    Booleans, [batch, *shape].
  """
  return jax.vmap(lambda key: jax.random.bernoulli(key, rate, shape))(keys)


def sincos_positions(height: int, width: int, dim: int) -> np.ndarray:
  """Fixed 2-d sine and cosine positions, as in MAE (arXiv 2111.06377).

  The first half of the channels encodes the column, the second half the row; each
  is [sin, cos] of the coordinate times 10000^(-k / (dim / 4)).

  Args:
    height: rows of the grid of patches.
    width: columns of the grid of patches.
    dim: channels, a multiple of 4.

  Returns:
    float32 [height * width, dim], row by row.

  Raises:
    InputError: `dim` is not a multiple of 4.
  """
  if dim % 4:
    raise InputError(f"Sin-cos positions need a multiple of 4 channels; got {dim}.")
  frequency = 10000.0 ** (-np.arange(dim // 4) / (dim // 4))
  row, column = np.divmod(np.arange(height * width), width)
  angles = [coordinate[:, None] * frequency for coordinate in (column, row)]
  parts = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
  return np.concatenate(parts, axis=1).astype(np.float32)


def resize_positions(table: jax.Array, *, height: int, width: int) -> jax.Array:
  """Interpolates learned positions to another grid, bicubically as DINO does.

  The kernel is torch's (a = -0.75, no antialiasing, edges repeated), not that of
  `jax.image.resize`, so that weights trained elsewhere give the same features. DINO
  adds 0.1 to the size against a rounding error of torch; this uses the exact size.

  Args:
    table: [old height, old width, dim].
    height: rows of the new grid.
    width: columns of the new grid.

  Returns:
    [height, width, dim]; the table itself if the size doesn't change.
  """
  if table.shape[:2] == (height, width):
    return table
  rows = _bicubic(table.shape[0], height)
  columns = _bicubic(table.shape[1], width)
  return jnp.einsum("ah,bw,hwd->abd", rows, columns, table, precision="highest")


def _bicubic(old, new):
  source = (np.arange(new) + 0.5) * old / new - 0.5
  taps = np.floor(source)[:, None] + np.arange(-1, 3)
  weights = _cubic_kernel(np.abs(source[:, None] - taps))
  matrix = np.zeros((new, old), np.float32)
  inside = np.clip(taps, 0, old - 1).astype(int)
  np.add.at(matrix, (np.arange(new)[:, None], inside), weights)
  return matrix


def _cubic_kernel(t, a=-0.75):
  near = (a + 2) * t**3 - (a + 3) * t**2 + 1
  far = a * (t**3 - 5 * t**2 + 8 * t - 4)
  return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
