"""Two towers: an image and a sentence as vectors of one space (CLIP, SigLIP, LiT)."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.data.captions import Captioned

MOST = math.log(100.0)  # of the log scale


class Towers(NamedTuple):
  """What two towers make of captioned images, one row per example.

  Attributes:
    features: [batch, features] of the image encoder, for evaluation and export.
    image: [batch, dim], the image's projection, not normalised.
    text: [batch, dim], the caption's projection, not normalised.
  """

  features: jax.Array
  image: jax.Array
  text: jax.Array


class TextTower(nn.Module):
  """A text encoder and a linear projection without bias.

  Attributes:
    encoder: token ids, int32 [batch, length] -> features [batch, width].
    dim: of the projection, which is that of the images.
  """

  encoder: nn.Module
  dim: int

  @nn.compact
  def __call__(self, text: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps token ids, int32 [batch, length], to [batch, dim]."""
    features = self.encoder(text, train=train, keys=keys)
    return _projection(self.dim, "projection")(features)


class TwoTowers(nn.Module):
  """An image encoder, a text tower, and the learned scale (and offset) of the cosines.

  Parameters at the top: `log_scale`, of which the exponential multiplies the cosines,
  and `logit_bias` where `bias` is given. The loss uses them, not the net.

  Attributes:
    encoder: images -> features [batch, width]; None: what comes in place of images are
      features already, as wide as the text's projection (LiT).
    text: the text tower.
    scale: of the cosines at the start: 1 / 0.07 in CLIP, 10 in SigLIP.
    bias: added to the scaled cosines at the start; -10 in SigLIP, None in CLIP: none.
  """

  encoder: nn.Module | None
  text: TextTower
  scale: float = 1 / 0.07
  bias: float | None = None

  def setup(self):
    """Makes the projection and the two numbers."""
    if self.encoder is not None:
      self.projection = _projection(self.text.dim, None)
    constant = lambda value: nn.initializers.constant(value)
    self.log_scale = self.param("log_scale", constant(math.log(self.scale)), ())
    if self.bias is not None:
      self.logit_bias = self.param("logit_bias", constant(self.bias), ())

  def __call__(self, x: Captioned, *, train: bool, keys: jax.Array | None = None):
    """Maps captioned images, of which the first caption counts, to `Towers`."""
    features, image = self.encode_image(x.image, train=train, keys=keys)
    text = self.encode_text(x.text[:, 0], train=train, keys=keys)
    return Towers(features, image, text)

  def encode_image(
    self, image: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> tuple[jax.Array, jax.Array]:
    """Maps images to the encoder's features and to their projection [batch, dim]."""
    if self.encoder is None:
      return image, image
    features = self.encoder(image, train=train, keys=keys)
    return features, self.projection(features)

  def encode_text(
    self, text: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps token ids, int32 [batch, length], to projections [batch, dim]."""
    return self.text(text, train=train, keys=keys)


def _projection(dim, name):
  return nn.Dense(dim, use_bias=False, kernel_init=_by_width, name=name)


def _by_width(key, shape, dtype=jnp.float32):
  """A normal of 1 / sqrt(width), as CLIP's projections start."""
  return jax.random.normal(key, shape, dtype) / jnp.sqrt(jnp.asarray(shape[0], dtype))
