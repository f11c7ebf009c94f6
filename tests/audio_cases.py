"""Toy forms of the methods that learn from spectrograms of waves."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import models
from jaxssl.augment.audio import cola_views
from jaxssl.methods.cola import cola, cola_cosine
from jaxssl.methods.masked_spectrogram import masked_spectrogram, mockingjay
from jaxssl.models.audio import (
  Bilinear,
  ColaHead,
  FrameEncoder,
  FrameHead,
  FrameTeller,
  Spectral,
)
from jaxssl.ops.spectrogram import LogMel

NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
RATE, SAMPLES = 1000, 270
FRONT = LogMel(
  rate=RATE, bands=8, window=0.032, hop=0.016, low=20.0, mean=-2.0, spread=4.0
)
LECUN = nn.initializers.lecun_normal()


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """Tones of different pitch, loudness and noise."""
  keys = jax.random.split(jax.random.key(seed), 3)
  pitch = jax.random.uniform(keys[0], (rows, 1), minval=50.0, maxval=400.0)
  loud = jax.random.uniform(keys[1], (rows, 1), minval=0.3, maxval=0.9)
  time = jnp.arange(SAMPLES, dtype=jnp.float32)[None] / RATE
  noise = 0.02 * jax.random.normal(keys[2], (rows, SAMPLES))
  waves = jnp.clip(loud * jnp.sin(2.0 * jnp.pi * pitch * time) + noise, -1.0, 1.0)
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": waves, "index": index, "label": index % 4}


def _convnet(norm, axis_name):
  encoder = models.ConvNet(
    (16, 32), pools=(2, 2), norm=NORMS[norm], axis_name=axis_name
  )
  return Spectral(encoder, FRONT, pool="max")


def make_cola(norm: str = "batch", axis_name: str | None = None):
  """COLA by its bilinear similarity."""
  similarity = Bilinear(nn.initializers.normal(0.3))
  net = models.Siamese(_convnet(norm, axis_name), ColaHead(12), similarity)
  return cola(net, cola_views(samples=200))


def make_cola_cosine(norm: str = "batch", axis_name: str | None = None):
  """COLA by cosines."""
  net = models.Siamese(_convnet(norm, axis_name), ColaHead(12))
  return cola_cosine(net, cola_views(samples=200))


def keep(key, wave):
  """The wave as it is, as the only view."""
  del key
  return (wave,)


def make_masked_spectrogram(norm: str = "layer", axis_name: str | None = None):
  """MAE on 16 x 8 values in patches of 4; it has no batch norm."""
  del norm, axis_name
  options = {"patch": 4, "class_token": False, "kernel_init": LECUN}
  encoder = models.ViT(width=32, depth=1, heads=2, **options)
  decoder = models.MAEDecoder(width=16, depth=1, heads=2, kernel_init=LECUN)
  net = models.MAE(encoder, decoder)
  return masked_spectrogram(net, keep, FRONT_FILLED, ratio=0.5)


FRONT_FILLED = LogMel(
  **{**vars(FRONT), "multiple": 4},
)


def make_mockingjay(norm: str = "layer", axis_name: str | None = None):
  """Mockingjay with spans of 3; it has no batch norm."""
  del norm, axis_name
  encoder = FrameEncoder(width=32, depth=1, heads=2, kernel_init=LECUN)
  net = FrameTeller(encoder, FrameHead(FRONT.bands))
  return mockingjay(net, keep, FRONT, share=0.4, span=3)


def _nothing(state):
  del state
  return ()


ROWS = (
  ("cola", make_cola, _nothing, batch),
  ("cola_cosine", make_cola_cosine, _nothing, batch),
  ("masked_spectrogram", make_masked_spectrogram, _nothing, batch),
  ("mockingjay", make_mockingjay, _nothing, batch),
)
