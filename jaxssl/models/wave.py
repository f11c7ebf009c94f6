"""Nets over waveforms: strided convolutions to frames, and context over the frames.

Waves are float [batch, samples] in [-1, 1], frames [batch, frames, width].
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  DropPath,
  Factory,
  LayerNorm,
  Norm,
  RowDropout,
  exact_gelu,
  run_block,
)
from jaxssl.models.transformer import TokenBlock


class ChannelNorm(Norm):
  """Each channel is standardised over the frames of its row.

  The group norm with one group per channel of wav2vec 2.0's first convolution. See
  `Norm` for the attributes.
  """

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, frames, channels] to as many."""
    x = x.astype(jnp.float32)
    x = x - jnp.mean(x, axis=1, keepdims=True)
    variance = jnp.mean(jnp.square(x), axis=1, keepdims=True)
    return self.affine(x * jax.lax.rsqrt(variance + self.epsilon))


class WaveEncoder(nn.Module):
  """Strided convolutions from a waveform to frames.

  The defaults are those of wav2vec 2.0 (arXiv 2006.11477): 16 kHz to 49 frames a
  second, the first convolution alone with a norm. CPC (arXiv 2002.02848) has widths of
  256, kernels 10, 8, 4, 4, 4, strides 5, 4, 2, 2, 2, padding 3, 2, 1, 1, 1, biases,
  ReLU, and `LayerNorm` in all layers (the original, arXiv 1807.03748, has batch norm).

  Attributes:
    widths: channels of each convolution.
    kernels: length of each, in frames of the one before.
    strides: of each.
    padding: zeros on both sides of the input of each; None: there are none.
    first_norm: factory of the norm behind the first convolution, or None.
    norm: factory of the norms behind all others, or None.
    activation: behind each norm.
    use_bias: whether the convolutions have biases.
    dtype: compute dtype; parameters and frames are float32.
  """

  widths: tuple[int, ...] = (512,) * 7
  kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
  strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
  padding: tuple[int, ...] | None = None
  first_norm: Factory | None = ChannelNorm
  norm: Factory | None = None
  activation: Callable = exact_gelu
  use_bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps waves [batch, samples] to frames, float32 [batch, frames, widths[-1]].

    Raises:
      InputError: for what isn't a batch of float waves, waves too short for a frame,
        or layers that are not described alike.
    """
    check_waves(x)
    self.frames(x.shape[1])
    x = x[:, :, None]
    for i, (width, *shape) in enumerate(self._layers()):
      x = self._convolve(i, width, shape)(x)
      norm = self.norm if i else self.first_norm
      if norm is not None:
        x = norm(dtype=self.dtype, name=f"norm{i}")(x, train=train)
      x = self.activation(x)
    return x.astype(jnp.float32)

  def _convolve(self, i, width, shape):
    kernel, stride, padding = shape
    return nn.Conv(
      width,
      (kernel,),
      strides=(stride,),
      padding=[(padding, padding)],
      use_bias=self.use_bias,
      kernel_init=nn.initializers.he_normal(),
      dtype=self.dtype,
      name=f"conv{i}",
    )

  def _layers(self):
    padding = self.padding or (0,) * len(self.widths)
    parts = (self.widths, self.kernels, self.strides, padding)
    if len({len(p) for p in parts}) != 1:
      raise InputError(
        "A width, kernel, stride and padding for each convolution; got "
        f"{', '.join(str(len(p)) for p in parts)} of them."
      )
    return list(zip(*parts, strict=True))

  def frames(self, samples: int) -> int:
    """Returns how many frames waves of so many samples have.

    Raises:
      InputError: if there is none.
    """
    count = samples
    for _, kernel, stride, padding in self._layers():
      count = (count + 2 * padding - kernel) // stride + 1
      if count < 1:
        raise InputError(
          f"Waves of {samples} samples are too short for one frame of convolutions "
          f"{self.kernels} with strides {self.strides}; take longer clips."
        )
    return count


def check_waves(x: jax.Array) -> None:
  """Raises InputError unless `x` is float and [batch, samples]."""
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
    raise InputError(
      "Waves must be floats [batch, samples] in [-1, 1]; got "
      f"{x.dtype} of shape {x.shape}."
    )


def own_frames(wave: jax.Array, frames: int) -> jax.Array:
  """Which frames are of the recording, and which of the zeros at its end.

  Data sets pad shorter recordings with zeros. No frame attends to what is padded, no
  loss asks for it, and features don't average over it.

  Args:
    wave: [batch, samples].
    frames: how many frames it has.

  Returns:
    bool [batch, frames]; the first frame is always True.
  """
  places = jnp.arange(1, wave.shape[1] + 1)
  samples = jnp.max(jnp.where(wave != 0, places[None], 0), axis=1)
  own = jnp.ceil(samples.astype(jnp.float32) * (frames / wave.shape[1]))
  return jnp.arange(float(frames))[None] < jnp.maximum(own, 1.0)[:, None]


def mean_of_own(frames: jax.Array, own: jax.Array) -> jax.Array:
  """The mean over a recording's own frames: [batch, frames, dim] -> [batch, dim]."""
  weight = own.astype(frames.dtype)[:, :, None]
  return jnp.sum(frames * weight, axis=1) / jnp.sum(weight, axis=1)


class PositionConv(nn.Module):
  """Relative positions: a long grouped convolution with weight norm, and GELU.

  Mohamed et al., arXiv 1904.11660, as in wav2vec 2.0: the kernel's scale is learned
  for each of its taps.

  Attributes:
    kernel: frames that it sees.
    groups: of channels; divides them.
    dtype: compute dtype.
  """

  kernel: int = 128
  groups: int = 16
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps frames [batch, frames, width] to what is added to them."""
    width = x.shape[-1]
    if self.groups < 1 or width % self.groups:
      raise InputError(f"{width} channels do not split into {self.groups} groups.")
    weight = self._weight(width)
    bias = self.param("bias", nn.initializers.zeros, (width,))
    y = jax.lax.conv_general_dilated(
      x.astype(self.dtype),
      weight.astype(self.dtype),
      window_strides=(1,),
      padding=[(self.kernel // 2, (self.kernel - 1) // 2)],
      dimension_numbers=("NWC", "WIO", "NWC"),
      feature_group_count=self.groups,
    )
    return exact_gelu(y + bias[None, None].astype(self.dtype))

  def _weight(self, width):
    init = nn.initializers.normal((4.0 / (self.kernel * width)) ** 0.5)
    shape = (self.kernel, width // self.groups, width)
    direction = self.param("direction", init, shape)
    square = jnp.sum(jnp.square(direction), axis=(1, 2), keepdims=True)
    scale = self.param("scale", lambda key: jnp.sqrt(square[:, 0, 0]))
    return direction * jax.lax.rsqrt(jnp.maximum(square, 1e-24)) * scale[:, None, None]


class FrameTransformer(nn.Module):
  """A post-norm transformer over frames, with relative positions by convolution.

  The context net of wav2vec 2.0 and HuBERT, their base size by default.

  Attributes:
    width: channels.
    depth: blocks.
    heads: of each attention.
    kernel: frames that the positions' convolution sees.
    groups: of that convolution.
    dropout: of the input and of each branch, in [0, 1); needs `keys` in training.
    layer_drop: probability of leaving a block out for a row; needs `keys` as well. The
      official code leaves it out for the whole batch.
    mlp_ratio: hidden width of the MLPs, in channels.
    kernel_init: how kernels start: a normal of 0.02.
    dtype: compute dtype; parameters and what comes out are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  width: int = 768
  depth: int = 12
  heads: int = 12
  kernel: int = 128
  groups: int = 16
  dropout: float = 0.0
  layer_drop: float = 0.0
  mlp_ratio: int = 4
  kernel_init: Callable = nn.initializers.normal(0.02)
  dtype: Any = jnp.float32
  remat: str = "none"

  def setup(self):
    """Makes the layers."""
    self.position = PositionConv(self.kernel, self.groups, self.dtype)
    self.norm = LayerNorm(epsilon=1e-5, dtype=self.dtype)
    self.drop = RowDropout(self.dropout)
    self.blocks = [self._block() for _ in range(self.depth)]
    self.leave_out = [DropPath(self.layer_drop) for _ in range(self.depth)]

  def _block(self):
    return TokenBlock(
      self.heads,
      pre_norm=False,
      dropout=self.dropout,
      mlp_ratio=self.mlp_ratio,
      kernel_init=self.kernel_init,
      residual_init=self.kernel_init,
      dtype=self.dtype,
    )

  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    own: jax.Array | None = None,
    layers: int | None = None,
  ) -> jax.Array:
    """Maps frames [batch, frames, width] to as many.

    Args:
      x: the frames.
      train: whether to drop.
      keys: one per row, for the drops.
      own: bool [batch, frames] of `own_frames`; None: all are.
      layers: how many blocks to go through; None: all.

    Returns:
      float32, the shape of `x`.

    Raises:
      InputError: for other layers than there are.
    """
    count = block_count(layers, self.depth)
    x = x if own is None else jnp.where(own[:, :, None], x, 0.0)
    x = self.norm(x + self.position(x), train=train)
    x = self.drop(x, train=train, keys=keys)
    ones = jnp.ones((len(x), 1, 1))
    for block, leave_out in zip(self.blocks[:count], self.leave_out, strict=False):
      options = {"train": train, "keys": keys, "mask": own}
      y = run_block(block, x, remat=self.remat, **options)
      x = jnp.where(leave_out(ones, train=train, keys=keys) > 0, y, x)
    return x.astype(jnp.float32)


def block_count(layers: int | None, depth: int) -> int:
  """How many of `depth` blocks are gone through: `layers`, or all for None.

  Raises:
    InputError: unless there are so many, and one at least.
  """
  if layers is None:
    return depth
  if not 1 <= layers <= depth:
    raise InputError(f"layers is {layers}; the net has {depth} blocks: 1 to {depth}.")
  return layers


class Recurrent(nn.Module):
  """One recurrent layer over frames: the context net of CPC.

  Attributes:
    width: of the state.
    cell: factory of a cell: LSTM (arXiv 2002.02848), or `nn.GRUCell` (1807.03748).
  """

  width: int = 256
  cell: Factory = nn.OptimizedLSTMCell

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps frames [batch, frames, dim] to context [batch, frames, width]."""
    return nn.RNN(self.cell(self.width), name="rnn")(x)


class StepPredictions(nn.Module):
  """CPC's predictions: a matrix without bias for each step ahead (arXiv 1807.03748).

  Attributes:
    steps: frames ahead.
    width: channels of a frame.
  """

  steps: int
  width: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps context [batch, frames, dim] to [batch, frames, steps, width]."""
    y = nn.Dense(self.steps * self.width, use_bias=False, name="dense")(x)
    return y.reshape(*x.shape[:2], self.steps, self.width)


class StepTransformers(nn.Module):
  """CPC's predictions by a transformer layer for each step ahead (arXiv 2002.02848).

  Attributes:
    steps: frames ahead.
    width: channels of a frame.
    heads: of each attention.
  """

  steps: int
  width: int
  heads: int = 8

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps context [batch, frames, dim] to [batch, frames, steps, width]."""
    before = jnp.tril(jnp.ones((1, x.shape[1], x.shape[1]), bool))
    block = partial(TokenBlock, self.heads, pre_norm=False)
    dense = partial(nn.Dense, self.width, use_bias=False)
    seen = [
      dense(name=f"dense{k}")(block(name=f"block{k}")(x, train=train, mask=before))
      for k in range(self.steps)
    ]
    return jnp.stack(seen, axis=2)
