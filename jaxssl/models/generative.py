"""Nets that rebuild or invent their input: autoencoders, VAEs, players of a GAN."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.decoders import MLPDecoder
from jaxssl.models.layers import (
  BatchNorm,
  Factory,
  check_images,
  flatten_map,
  leaky_relu,
  normal_init,
)
from jaxssl.models.siamese import fold_in_rows

# Batch norm without gain and bias, as BiGAN's script has it.
PlainBatchNorm = partial(BatchNorm, use_scale=False, use_bias=False)


class AutoEncoder(nn.Module):
  """Encoder and decoder with the encoder's features, [batch, dim], in between.

  Attributes:
    encoder: inputs -> features.
    decoder: features -> images (`MLPDecoder`, `ConvDecoder`).
  """

  encoder: nn.Module
  decoder: nn.Module

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Returns the rebuilt images, as the decoder puts them out."""
    features = self.encoder(x, train=train, keys=keys)
    return self.decoder(features, train=train, keys=keys)


class Posterior(NamedTuple):
  """What a VAE makes of each example.

  Attributes:
    features: mean of the posterior, [batch, latent].
    log_variance: of the posterior, [batch, latent].
    image: decoded from a draw of it, as the decoder puts it out.
  """

  features: jax.Array
  log_variance: jax.Array
  image: jax.Array


class VAE(nn.Module):
  """A variational autoencoder (arXiv 1312.6114): two heads between two nets.

  Trained, it decodes `mean + deviation * noise` with the noise from each row's own key;
  in evaluation, and without keys, it decodes the mean.

  Attributes:
    encoder: inputs -> features.
    decoder: codes -> images.
    latent: dimensions of the code.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    features = self.encoder(x, train=train, keys=keys)
    mean = nn.Dense(self.latent, name="mean")(features)
    log_variance = nn.Dense(self.latent, name="log_variance")(features)
    z = mean
    if train and keys is not None:
      noise = jax.vmap(lambda key: jax.random.normal(key, (self.latent,)))
      z = mean + jnp.exp(0.5 * log_variance) * noise(fold_in_rows(keys, 0))
    return Posterior(mean, log_variance, self.decoder(z, train=train, keys=keys))

  def decode(self, z: jax.Array):
    """Images of given codes, [batch, latent], in evaluation mode."""
    return self.decoder(z, train=False)


class MLPEncoder(nn.Module):
  """Flattened images -> features by dense layers, each with norm and activation.

  Attributes:
    widths: of the layers; the last is that of the features.
    norms: the norm factory of each layer, or None.
    activation: after each layer.
    bias: whether the layers have a bias.
    kernel_init: how kernels start.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...]
  norms: tuple[Factory | None, ...]
  activation: Callable = nn.relu
  bias: bool = True
  kernel_init: Callable = nn.initializers.lecun_normal()
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    if len(self.widths) != len(self.norms):
      raise InputError(
        f"An MLPEncoder needs one norm (or None) per layer; got {len(self.norms)} for "
        f"{len(self.widths)}."
      )
    x = x.reshape(x.shape[0], -1)
    for i, (width, norm) in enumerate(zip(self.widths, self.norms, strict=True)):
      x = _dense(self, width, f"dense{i}")(x)
      if norm is not None:
        norm = norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
        x = norm(x, train=train)
      x = self.activation(x)
    return x.astype(jnp.float32)


class Prior(NamedTuple):
  """Where the codes of a generator come from.

  Attributes:
    draw: key -> code, [dim].
    squash: a linear layer's outputs -> codes of the same range.
  """

  draw: Callable
  squash: Callable


def uniform_prior(dim: int) -> Prior:
  """Codes uniform in (-1, 1), as DCGAN's and BiGAN's; squashed by `2 sigmoid - 1`."""
  draw = lambda key: jax.random.uniform(key, (dim,), minval=-1.0, maxval=1.0)
  return Prior(draw, lambda x: jnp.tanh(0.5 * x))


def normal_prior(dim: int) -> Prior:
  """Codes from the standard normal distribution; not squashed."""
  return Prior(lambda key: jax.random.normal(key, (dim,)), lambda x: x)


class Code(NamedTuple):
  """What the encoder of a BiGAN makes of each example.

  Attributes:
    features: of the layer before its output, [batch, dim].
    logits: its output, [batch, latent], before the prior's `squash`.
  """

  features: jax.Array
  logits: jax.Array


class Inference(nn.Module):
  """The encoder of a BiGAN: an encoder and a linear layer to the code.

  Attributes:
    encoder: inputs -> features.
    latent: dimensions of the code.
    bias: whether the linear layer has one.
    kernel_init: how its kernel starts.
  """

  encoder: nn.Module
  latent: int
  bias: bool = True
  kernel_init: Callable = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    features = self.encoder(x, train=train, keys=keys)
    code = nn.Dense(
      self.latent, use_bias=self.bias, kernel_init=self.kernel_init, name="code"
    )
    return Code(features, code(features))


class Judgement(NamedTuple):
  """What a critic makes of each example.

  Attributes:
    logit: of being real, [batch].
    maps: features of its layers, each [batch, rows, columns, dim]; may be empty.
  """

  logit: jax.Array
  maps: tuple[jax.Array, ...]


class ConvCritic(nn.Module):
  """DCGAN's critic (arXiv 1511.06434): 4x4 convolutions of stride 2, leaky ReLU of 0.2.

  All but the first have a norm; kernels start from N(0, 0.02), and a dense layer on the
  last map gives the logit. The paper's kernels are 5x5.

  Attributes:
    widths: channels of the convolutions.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; maps and logit are float32.
  """

  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    check_images(x)
    self._check(x)
    maps = []
    for i, width in enumerate(self.widths):
      x = self._conv(i, width)(x)
      if i:
        norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
        x = norm(x, train=train)
      x = leaky_relu(x)
      maps.append(x.astype(jnp.float32))
    flat = maps[-1].reshape(x.shape[0], -1)
    logit = nn.Dense(1, kernel_init=normal_init, name="logit")(flat)
    return Judgement(logit[:, 0], tuple(maps))

  def _check(self, x):
    factor = 2 ** len(self.widths)
    if x.shape[1] < factor or x.shape[2] < factor:
      raise InputError(
        f"{len(self.widths)} convolutions of stride 2 need images of {factor} pixels "
        f"or more; got {x.shape[1]} x {x.shape[2]}."
      )

  def _conv(self, i, width):
    return nn.Conv(
      width,
      (4, 4),
      strides=(2, 2),
      padding=1,
      use_bias=i == 0,
      kernel_init=normal_init,
      dtype=self.dtype,
      name=f"conv{i}",
    )


def pooled_map(maps: tuple[jax.Array, ...]) -> jax.Array:
  """The mean of the last map, [batch, dim]: a critic's features."""
  return flatten_map(maps[-1]).mean(1)


def pyramid(maps: tuple[jax.Array, ...], *, side: int = 4) -> jax.Array:
  """All maps of a critic, max-pooled to `side` x `side` and joined (1511.06434, 5.1).

  Args:
    maps: each [batch, rows, columns, dim].
    side: rows and columns that are left of each; smaller maps stay as they are.

  Returns:
    [batch, features].
  """
  pooled = [_max_pool(x, side) for x in maps]
  return jnp.concatenate([x.reshape(x.shape[0], -1) for x in pooled], axis=1)


def _max_pool(x, side):
  """Adaptive: each of `side` windows reaches from floor to ceil of its share."""
  for axis in (1, 2):
    length, count = x.shape[axis], min(side, x.shape[axis])
    ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
    windows = [jax.lax.slice_in_dim(x, *pair, axis=axis).max(axis) for pair in ends]
    x = jnp.stack(windows, axis)
  return x


class PairCritic(nn.Module):
  """BiGAN's critic of pairs, D(x, z): dense layers, the code added to the last.

  Donahue et al. 2016, arXiv 1605.09782, the permutation-invariant net of the official
  code: image -> dense, activation; then dense of that plus dense of the code, norm,
  activation; then the logit.

  Attributes:
    widths: of the layers, two or more; the code enters the last.
    norm: a factory of norms for all but the first layer.
    activation: after each layer.
    bias: whether the layers have a bias.
    kernel_init: how kernels start.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; the logit is float32.
  """

  widths: tuple[int, ...]
  norm: Factory = PlainBatchNorm
  activation: Callable = leaky_relu
  bias: bool = True
  kernel_init: Callable = nn.initializers.lecun_normal()
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, pair, *, train: bool, keys: jax.Array | None = None):
    image, z = pair
    x, last = image.reshape(image.shape[0], -1), len(self.widths) - 1
    for i, width in enumerate(self.widths):
      x = _dense(self, width, f"dense{i}")(x)
      if i == last:
        x = x + _dense(self, width, "code")(z)
      if i:
        norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
        x = norm(x, train=train)
      x = self.activation(x)
    logit = _dense(self, 1, "logit")(x)
    return Judgement(logit[:, 0].astype(jnp.float32), ())


def mlp_bigan(
  shape: tuple[int, int, int], *, width: int, latent: int, axis_name: str | None = None
) -> tuple[Inference, MLPDecoder, PairCritic]:
  """The players of the permutation-invariant BiGAN (arXiv 1605.09782, section 4.2).

  Two hidden layers each, as the official code's `mnist_mlp`: no biases, batch norm
  without gain and bias on the second of encoder and critic and on both of the
  generator, leaky ReLU of 0.2 (ReLU in the generator), kernels from N(0, 0.02). There
  the code also enters the generator's second layer; here only the first.

  Args:
    shape: of the images.
    width: of the hidden layers; 1024 in the paper.
    latent: dimensions of the code; 50 in the paper.
    axis_name: the pmap axis for batch norm; None outside pmap.

  Returns:
    encoder, generator, critic.
  """
  plain = {"bias": False, "kernel_init": normal_init, "axis_name": axis_name}
  widths = (width, width)
  trunk = MLPEncoder(widths, (None, PlainBatchNorm), leaky_relu, **plain)
  encoder = Inference(trunk, latent, bias=False, kernel_init=normal_init)
  generator = MLPDecoder(shape, widths, PlainBatchNorm, **plain)
  return encoder, generator, PairCritic(widths, **plain)


def _dense(net, width, name):
  return nn.Dense(
    width,
    use_bias=net.bias,
    kernel_init=net.kernel_init,
    dtype=net.dtype,
    name=name,
  )
