"""ConvNeXt (arXiv 2201.03545): a convolutional net in the shape of a transformer."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  DropPath,
  LayerNorm,
  LayerScale,
  check_images,
  drop_rates,
  exact_gelu,
  flatten_map,
  normal_init,
  run_block,
  squares,
)


class _Patchify(nn.Module):
  """A convolution of kernel = stride, so a linear layer on squares."""

  side: int
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    height, width = x.shape[1:3]
    if min(height, width) < self.side:
      raise InputError(
        f"{height} x {width} positions are too few for squares of {self.side}; use "
        "larger images, a smaller stem or fewer stages."
      )
    dense = nn.Dense(
      self.width, kernel_init=normal_init, dtype=self.dtype, name="dense"
    )
    return dense(squares(x, self.side))


class ConvNeXtBlock(nn.Module):
  """7x7 depthwise convolution, layer norm and a two-layer MLP with exact GELU.

  Attributes:
    layer_scale: where the learned scale of the branch starts.
    drop_path: probability of dropping the branch for a row, in [0, 1).
    dtype: compute dtype.
  """

  layer_scale: float = 1e-6
  drop_path: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    width = x.shape[-1]
    options = {"kernel_init": normal_init, "dtype": self.dtype}
    depthwise = partial(nn.Conv, padding=3, feature_group_count=width, **options)
    y = depthwise(width, (7, 7), name="conv")(x)
    y = LayerNorm(dtype=self.dtype, name="norm")(y, train=train)
    y = exact_gelu(nn.Dense(4 * width, **options, name="dense1")(y))
    y = nn.Dense(width, **options, name="dense2")(y)
    y = LayerScale(self.layer_scale, name="scale")(y, train=train)
    return x + DropPath(self.drop_path, name="drop")(y, train=train, keys=keys)


class ConvNeXt(nn.Module):
  """A ConvNeXt without classifier; layer norm comes after the mean over positions.

  Attributes:
    layers: blocks per stage.
    channels: of the stages.
    stem: side of the squares that images are cut into, 4 in the paper; each later
      stage halves the resolution. Rows and columns that don't fill a square are left
      out, as in torch.
    layer_scale: where the learned scale of each branch starts.
    drop_path: stochastic depth. A number is that of the last block, linear from 0 at
      the first; a tuple has one rate per block. Needs `keys` in training.
    dtype: compute dtype; parameters and features are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  layers: tuple[int, ...]
  channels: tuple[int, ...]
  stem: int = 4
  layer_scale: float = 1e-6
  drop_path: float | tuple[float, ...] = 0.0
  dtype: Any = jnp.float32
  remat: str = "none"

  def setup(self):
    """Makes the norm of the mean; the rest is made where it is used."""
    self.norm = LayerNorm()

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to features [batch, channels[-1]].

    The patches that it sows are those before the mean, without the norm.

    Args:
      x: float images, in [0, 1] or normalised; both sides are at least `stem` times 2
        for each stage after the first: 32 pixels for four stages.
      train: whether to drop paths.
      keys: one per row, for `drop_path`.

    Returns:
      float32 features.

    Raises:
      InputError: `x` is not a batch of float images, or they are too small.
    """
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return self.norm(jnp.mean(patches, axis=1), train=train)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to what is before mean and norm, [batch, rows, columns, dim]."""
    check_images(x)
    self._check()
    rates = iter(drop_rates(self.drop_path, sum(self.layers)))
    for stage, count in enumerate(self.layers):
      x = self._shrink(x, stage, train)
      for i in range(count):
        block = self._block(next(rates), f"stage{stage + 1}_block{i + 1}")
        x = run_block(block, x, remat=self.remat, train=train, keys=keys)
    return x.astype(jnp.float32)

  def _check(self):
    if len(self.layers) != len(self.channels):
      raise InputError(
        f"ConvNeXt needs one width per stage; got {self.channels} for {self.layers}."
      )

  def _shrink(self, x, stage, train):
    name, width = f"shrink{stage + 1}", self.channels[stage]
    norm = LayerNorm(dtype=self.dtype, name=f"{name}_norm")
    if stage == 0:
      x = _Patchify(self.stem, width, dtype=self.dtype, name=name)(x)
      return norm(x, train=train)
    x = norm(x, train=train)
    return _Patchify(2, width, dtype=self.dtype, name=name)(x)

  def _block(self, rate, name):
    options = {"layer_scale": self.layer_scale, "dtype": self.dtype, "name": name}
    return ConvNeXtBlock(drop_path=rate, **options)


ConvNeXtTiny = partial(ConvNeXt, layers=(3, 3, 9, 3), channels=(96, 192, 384, 768))
ConvNeXtSmall = partial(ConvNeXt, layers=(3, 3, 27, 3), channels=(96, 192, 384, 768))
ConvNeXtBase = partial(ConvNeXt, layers=(3, 3, 27, 3), channels=(128, 256, 512, 1024))
