"""The nets of a discrete variational autoencoder, as DALL-E's (arXiv 2102.12092)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import check_images, flatten_map
from jaxssl.ops.convolutions import convolve


class Coded(NamedTuple):
  """What a `DiscreteVAE` makes of images.

  Attributes:
    features: [batch, dim], the mean of the encoder's map.
    logits: float32 [batch, rows, columns, vocabulary], scores of the codes.
    decoded: float32 [batch, height, width, outputs].
  """

  features: jax.Array
  logits: jax.Array
  decoded: jax.Array


class Conv(nn.Module):
  """A convolution of stride 1 with bias that keeps the size of the map.

  Attributes:
    width: channels out.
    size: side of the kernel.
    dtype: compute dtype.
  """

  width: int
  size: int = 3
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [batch, height, width, channels] to as many positions."""
    shape = (self.size, self.size, x.shape[-1], self.width)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros, (1, 1, 1, self.width))
    made = convolve(x.astype(self.dtype), kernel.astype(self.dtype))
    return made + bias.astype(self.dtype)


class Refine(nn.Module):
  """DALL-E's residual block: three narrow 3x3 convolutions and a linear layer.

  Attributes:
    width: channels out, a multiple of 4.
    gain: factor of the branch, 1 / layers^2 in DALL-E, which has no norms.
    dtype: compute dtype.
  """

  width: int
  gain: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [batch, rows, columns, channels] to as many positions."""
    if self.width < 4:
      raise InputError(f"A block of a dVAE has 4 channels or more, not {self.width}.")
    dense = lambda name: nn.Dense(self.width, dtype=self.dtype, name=name)
    short = x if x.shape[-1] == self.width else dense("short")(x)
    for i in range(3):
      x = Conv(self.width // 4, dtype=self.dtype, name=f"conv{i}")(nn.relu(x))
    return short + self.gain * dense("out")(nn.relu(x))


class CodeEncoder(nn.Module):
  """DALL-E's encoder: groups of residual blocks with max pooling between them.

  Attributes:
    width: channels of the first group, doubled from group to group; 256 in DALL-E.
    groups: 4 in DALL-E; a patch is 2^(groups - 1) pixels wide.
    blocks: of a group.
    stem: side of the first kernel.
    dtype: compute dtype; parameters and features are float32.
  """

  width: int = 256
  groups: int = 4
  blocks: int = 2
  stem: int = 7
  dtype: Any = jnp.float32

  @property
  def stride(self) -> int:
    """Side of a patch in pixels."""
    return 2 ** (self.groups - 1)

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to features, [batch, dim]."""
    patches = flatten_map(self.feature_map(x, train=train, keys=keys))
    self.sow("intermediates", "patches", patches)
    return jnp.mean(patches, axis=1)

  @nn.compact
  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to features of patches, [batch, rows, columns, dim]."""
    del train, keys
    check_images(x)
    _check_sides(x, self.stride)
    x = Conv(self.width, self.stem, dtype=self.dtype, name="stem")(x)
    for i in range(self.groups):
      x = _max_pool(x) if i else x
      widths = (self.width * 2**i,) * self.blocks
      x = _refine(x, widths, self.groups * self.blocks, self.dtype, f"group{i}")
    return nn.relu(x).astype(jnp.float32)


class CodeDecoder(nn.Module):
  """DALL-E's decoder: `CodeEncoder` backwards, with nearest-neighbour upsampling.

  Attributes:
    out: numbers for each pixel.
    width: channels of the last group, halved from group to group; 256 in DALL-E.
    groups: as many as the encoder has.
    blocks: of a group.
    dtype: compute dtype; parameters and results are float32.
  """

  out: int
  width: int = 256
  groups: int = 4
  blocks: int = 2
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps codes [batch, rows, columns, dim] to [batch, height, width, out]."""
    del train, keys
    for i in reversed(range(self.groups)):
      widths = (self.width * 2**i,) * self.blocks
      x = _refine(x, widths, self.groups * self.blocks, self.dtype, f"group{i}")
      x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2) if i else x
    x = nn.Dense(self.out, dtype=self.dtype, name="out")(nn.relu(x))
    return x.astype(jnp.float32)


def _refine(x, widths: Sequence[int], layers: int, dtype, name: str):
  for i, width in enumerate(widths):
    x = Refine(width, 1 / layers**2, dtype=dtype, name=f"{name}_{i}")(x)
  return x


def _max_pool(x):
  batch, rows, columns, dim = x.shape
  return x.reshape(batch, rows // 2, 2, columns // 2, 2, dim).max((2, 4))


def _check_sides(x, stride):
  if x.shape[1] % stride or x.shape[2] % stride:
    raise InputError(
      f"Images of {x.shape[1]} x {x.shape[2]} pixels do not split into patches of "
      f"{stride}; both sides must be multiples of it."
    )


class DiscreteVAE(nn.Module):
  """Scores of codes for every patch, and images from codes.

  Attributes:
    encoder: has `feature_map`: `CodeEncoder`, or a `ConvNet` without batch norm.
    decoder: codes [batch, rows, columns, code_width] -> [batch, height, width, out].
    vocabulary: number of codes, 8,192 in DALL-E.
    code_width: channels of a code, 128 in DALL-E.
  """

  encoder: nn.Module
  decoder: nn.Module
  vocabulary: int
  code_width: int = 128

  def setup(self):
    """Makes the two layers between encoder and decoder."""
    self.scores = nn.Dense(self.vocabulary)
    self.codebook = nn.Dense(self.code_width)

  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    temperature: jax.Array | float = 1.0,
  ) -> Coded:
    """Encodes, draws relaxed codes and decodes them.

    Args:
      x: float images, [batch, height, width, channels].
      train: passed on to encoder and decoder.
      keys: one per row, for Gumbel noise; None draws none.
      temperature: of the relaxed codes, towards 0 they become one-hot.

    Returns:
      Features, logits and what was decoded.
    """
    features, logits = self.encode(x, train=train, keys=keys)
    codes = relaxed_codes(keys, logits, temperature)
    return Coded(features, logits, self.decode(codes, train=train))

  def encode(self, x: jax.Array, *, train: bool = False, keys: jax.Array | None = None):
    """Returns features [batch, dim] and logits [batch, rows, columns, vocabulary]."""
    hidden = self.encoder.feature_map(x, train=train, keys=keys)
    return hidden.mean((1, 2)), self.scores(hidden).astype(jnp.float32)

  def decode(self, codes: jax.Array, *, train: bool = False) -> jax.Array:
    """Maps weights of codes [batch, rows, columns, vocabulary] to images."""
    return self.decoder(self.codebook(codes), train=train)


def relaxed_codes(
  keys: jax.Array | None, logits: jax.Array, temperature: jax.Array | float
) -> jax.Array:
  """Draws from the Gumbel-softmax, a relaxed categorical (arXiv 1611.01144).

  Args:
    keys: one per row; None adds no noise.
    logits: [batch, ..., vocabulary].
    temperature: above 0; towards 0 the draws become one-hot.

  Returns:
    Weights that sum to 1 over the vocabulary, float32, the shape of `logits`.
  """
  logits = logits.astype(jnp.float32)
  if keys is not None:
    draw = lambda key: jax.random.gumbel(key, logits.shape[1:])
    logits = logits + jax.vmap(draw)(keys)
  return jax.nn.softmax(logits / temperature)
