"""Toy forms of the methods that learn from captioned images."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses, models
from jaxssl.augment import captioned_view
from jaxssl.data import Captioned
from jaxssl.methods.clip import clip
from jaxssl.methods.lit import lit
from jaxssl.methods.seed import Teacher
from jaxssl.methods.siglip import siglip

NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
SIDE, CAPTIONS, LENGTH, VOCABULARY = 8, 3, 6, 12
FEATURES, DIM = 32, 12


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """A batch of random images, each with three captions of one to six tokens."""
  keys = jax.random.split(jax.random.key(seed), 3)
  images = jax.random.uniform(keys[0], (rows, SIDE, SIDE, 1))
  shape = (rows, CAPTIONS, LENGTH)
  ids = jax.random.randint(keys[1], shape, 1, VOCABULARY, jnp.int32)
  lengths = jax.random.randint(keys[2], (*shape[:2], 1), 1, LENGTH + 1)
  text = jnp.where(jnp.arange(LENGTH)[None, None] < lengths, ids, 0)
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": Captioned(images, text), "index": index, "label": index % 4}


def noisy(key, image):
  """The image with a little noise."""
  return image + 0.1 * jax.random.normal(key, image.shape)


def views(key, example):
  """One view: a noisy image, one of the captions."""
  return (captioned_view(noisy)(key, example),)


class Words(nn.Module):
  """The mean of the words' vectors, each by its place: the smallest text encoder."""

  @nn.compact
  def __call__(self, text, *, train, keys=None):
    vectors = nn.Embed(VOCABULARY, 16, embedding_init=nn.initializers.normal(1.0))(text)
    places = self.param("places", nn.initializers.normal(1.0), (LENGTH, 16))
    return jnp.mean(jnp.tanh(vectors * places[None]), axis=1)


def text_tower(dim: int = DIM) -> models.TextTower:
  """The words and a projection."""
  return models.TextTower(Words(), dim)


def towers(norm: str, axis_name: str | None = None, **options) -> models.TwoTowers:
  """Two small towers."""
  encoder = models.ConvNet(
    (16, FEATURES), pools=(2, 2), norm=NORMS[norm], axis_name=axis_name
  )
  return models.TwoTowers(encoder, text_tower(), **options)


def teacher() -> Teacher:
  """A linear encoder of rows of pixels, pooled to 32 features."""
  weights = jax.random.normal(jax.random.key(9), (SIDE, FEATURES)) / 2

  def encode(variables, images, patches=False):
    rows = jnp.tanh(images[..., 0] @ variables["weights"])
    return rows if patches else jnp.max(rows, axis=1)

  return Teacher(encode, {"weights": weights})


def make_clip(norm: str = "batch", axis_name: str | None = None, **options):
  """CLIP at a low scale."""
  return clip(towers(norm, axis_name, scale=5.0), views, **options)


def gentle(image, text, **options):
  """SigLIP's loss as a mean over the captions: gradients of order 1, not of 16."""
  return losses.siglip(image, text, **options) / len(text)


def make_siglip(norm: str = "batch", axis_name: str | None = None, **options):
  """SigLIP at a low scale."""
  net = towers(norm, axis_name, scale=3.0, bias=-2.0)
  return siglip(net, views, **{"contrast": gentle, **options})


def make_lit(norm: str = "batch", axis_name: str | None = None, **options):
  """LiT, whose nets have no norm over the batch."""
  del norm, axis_name
  net = models.TwoTowers(None, text_tower(FEATURES), scale=5.0)
  return lit(net, views, teacher(), **options)


def _nothing(state):
  del state
  return ()


def _teacher(state):
  return state.extra.teacher


ROWS = (
  ("clip", make_clip, _nothing, batch),
  ("siglip", make_siglip, _nothing, batch),
  ("lit", make_lit, _teacher, batch),
)
