"""Toy forms of the methods that rebuild or invent: autoencoders, VAE, GAN, BiGAN."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.augment.corruption import corruption
from jaxssl.methods.autoencoder import Pixels, autoencoder, denoising
from jaxssl.methods.bigan import bigan
from jaxssl.methods.gan import gan
from jaxssl.methods.vae import vae
from jaxssl.models.generative import (
  VAE,
  AutoEncoder,
  Inference,
  Judgement,
  uniform_prior,
)

SCALE = 1 / 16  # of sums over 64 pixels: gradients of order 1
GAIN = 4.0  # of made pixels: a norm of features that hardly vary magnifies rounding
START = 3.0  # a critic that is wrong about half of what it sees: it has to learn


def scaled(error):
  """The error of few pixels."""
  return lambda output, image: SCALE * error(output, image)


SQUARED = Pixels(scaled(losses.squared_error), lambda output: output)
BERNOULLI = Pixels(scaled(losses.bernoulli_reconstruction), jax.nn.sigmoid)


def nothing(state):
  """No method of these keeps anything but batch statistics."""
  del state
  return ()


class Decoder(nn.Module):
  """A `Head` whose outputs are 8 x 8 pixels, times a gain."""

  norm: str
  axis_name: str | None = None
  gain: float = 1.0

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    from tests import cases

    x = cases.Head(self.norm, self.axis_name, 64)(x, train=train, keys=keys)
    return self.gain * x.reshape(-1, 8, 8, 1)


class Critic(nn.Module):
  """A `Layer` of all that it is given, and a logit that starts at `START`."""

  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, *, train, keys=None):
    from tests import cases

    rows = [x.reshape(x.shape[0], -1) for x in jax.tree.leaves(inputs)]
    x = cases.Layer(32, self.norm, self.axis_name)(
      jnp.concatenate(rows, axis=1), train=train, keys=keys
    )
    logit = nn.Dense(1, bias_init=nn.initializers.constant(START))(x)
    return Judgement(logit[:, 0], (x[:, None, None],))


def _parts(norm, axis_name, gain=1.0):
  from tests import cases

  return cases.Encoder(norm, axis_name), Decoder(norm, axis_name, gain), cases.one_view


def make_autoencoder(norm: str = "batch", axis_name: str | None = None):
  """Squared error of noisy views."""
  encoder, decoder, view = _parts(norm, axis_name)
  return autoencoder(AutoEncoder(encoder, decoder), view, pixels=SQUARED)


def make_denoising(norm: str = "batch", axis_name: str | None = None):
  """Masking noise of a quarter of the pixels."""
  encoder, decoder, view = _parts(norm, axis_name)
  masking = corruption("masking", amount=0.25)
  net = AutoEncoder(encoder, decoder)
  return denoising(net, view, corruption=masking, pixels=SQUARED)


def make_vae(norm: str = "batch", axis_name: str | None = None):
  """Bernoulli pixels, a little beta and free bits."""
  encoder, decoder, view = _parts(norm, axis_name)
  net = VAE(encoder, decoder, latent=32)
  return vae(net, view, pixels=BERNOULLI, beta=0.5 * SCALE, free_bits=0.02)


def make_gan(norm: str = "batch", axis_name: str | None = None):
  """Codes of 4 dimensions."""
  _, generator, view = _parts(norm, axis_name, GAIN)
  return gan(generator, Critic(norm, axis_name), view, prior=uniform_prior(4))


def make_bigan(norm: str = "batch", axis_name: str | None = None):
  """The same with an encoder."""
  encoder, generator, view = _parts(norm, axis_name, GAIN)
  players = Inference(encoder, latent=4), generator, Critic(norm, axis_name)
  return bigan(*players, view, prior=uniform_prior(4))


ROWS = tuple(
  (name, make, nothing)
  for name, make in (
    ("autoencoder", make_autoencoder),
    ("denoising", make_denoising),
    ("vae", make_vae),
    ("gan", make_gan),
    ("bigan", make_bigan),
  )
)
