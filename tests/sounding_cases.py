"""Toy forms of the methods that learn from clips with sound."""

import functools

import jax
import jax.numpy as jnp

from jaxssl import augment, models
from jaxssl.data.sounding import Sounding
from jaxssl.methods.alignment import alignment, alignment_info_nce
from jaxssl.methods.cross_modal import cross_modal

NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
FRAMES, SIDE, EACH, RATE = 6, 4, 128, 2048
WINDOW = 2


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """Clips whose brightness is heard as a pitch, frame by frame."""
  keys = jax.random.split(jax.random.key(seed), 3)
  height = jax.random.uniform(keys[0], (rows, FRAMES))
  noise = jax.random.uniform(keys[1], (rows, FRAMES, SIDE, SIDE, 1))
  clip = 0.5 * noise + 0.5 * height[:, :, None, None, None]
  time = jnp.arange(EACH) / RATE
  pitch = 100.0 * 2.0 ** (3.0 * height)
  tone = jnp.sin(2.0 * jnp.pi * pitch[:, :, None] * time[None, None])
  hiss = 0.1 * jax.random.uniform(keys[2], (rows, FRAMES * EACH))
  wave = 0.5 * tone.reshape(rows, -1) + hiss
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": Sounding(clip, wave), "index": index, "label": index % 4}


def frames(norm: str, axis_name: str | None, out: int) -> models.Framewise:
  """A small encoder of each frame."""
  normed = {"norm": NORMS[norm], "axis_name": axis_name}
  return models.Framewise(models.PlaceNet((8,), out, **normed))


def net(norm: str, axis_name: str | None) -> models.SoundingNet:
  """A small net of 16 features of the clip and 16 of the sound."""
  normed = {"norm": NORMS[norm], "axis_name": axis_name}
  sound = models.TimeLayers((16,), **normed)
  encoder = models.SoundingEncoder(frames(norm, axis_name, 16), sound, RATE)
  head = lambda: models.moco_head(hidden=16, out=12)
  return models.SoundingNet(encoder, head(), head())


def make_alignment(norm: str = "batch", axis_name: str | None = None):
  """Alignment by the margin loss, a quarter of the negatives hard."""
  views = augment.window_views(frames=WINDOW, shifted=1)
  return alignment(net(norm, axis_name), views, hard=lambda step: 0.25)


def make_alignment_info_nce(norm: str = "batch", axis_name: str | None = None):
  """Alignment by InfoNCE with two shifted sounds."""
  views = augment.window_views(frames=WINDOW, shifted=2)
  return alignment_info_nce(net(norm, axis_name), views, temperature=0.5)


def make_cross_modal(norm: str = "batch", axis_name: str | None = None):
  """The spectrum from the frames."""
  normed = {"norm": NORMS[norm], "axis_name": axis_name}
  context = models.TimeLayers((16,), **normed)
  found = models.SoundPredictor(frames(norm, axis_name, 32), context, bands=24)
  return cross_modal(found, augment.window_views(frames=WINDOW), rate=RATE)


def _nothing(state):
  del state
  return ()


ROWS = (
  ("alignment", make_alignment, _nothing, batch),
  ("alignment_info_nce", make_alignment_info_nce, _nothing, batch),
  ("cross_modal", make_cross_modal, _nothing, batch),
)
