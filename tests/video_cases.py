"""Toy forms of the methods of video."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.methods.frame_order import frame_order, shuffle_and_learn
from jaxssl.methods.future_frame import future_frame
from jaxssl.methods.tcn import tcn, tcn_multi_view
from jaxssl.methods.videomae import videomae
from jaxssl.models.layers import BatchNorm, LayerNorm
from jaxssl.models.masked import MAEDecoder
from jaxssl.models.video import (
  CubePositions,
  FrameDecoder,
  FrameEmbedder,
  FramePredictor,
  Framewise,
  OrderNet,
  VideoMAE,
  VideoViT,
)

FRAMES, SIDE = 8, 8
SCALE = 1 / 16  # of sums over 128 pixels: gradients of order 1
NORMS = {"batch": BatchNorm, "layer": LayerNorm}


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """Clips in which every pixel gets brighter, each at its own pace."""
  first, last = jax.random.uniform(
    jax.random.key(seed), (2, rows, 1, SIDE, SIDE, 1), maxval=0.5
  )
  time = jnp.linspace(0.0, 1.0, FRAMES)[None, :, None, None, None]
  index = jnp.arange(rows, dtype=jnp.int32)
  clips = first + time * (0.2 + last - 0.2 * first)
  return {"input": jnp.clip(clips, 0.0, 1.0), "index": index, "label": index % 4}


@functools.cache
def tiled(seed: int = 5, rows: int = 16) -> dict:
  """Clips of one cube each, again and again, under a little noise.

  The mean over cubes differs from clip to clip, where random pixels would leave little
  but the positions.
  """
  key_cube, key_noise = jax.random.split(jax.random.key(seed))
  cube = jax.random.uniform(key_cube, (rows, 2, 2, 2, 1))
  noise = jax.random.uniform(key_noise, (rows, FRAMES, SIDE, SIDE, 1))
  clips = 0.9 * jnp.tile(cube, (1, FRAMES // 2, SIDE // 2, SIDE // 2, 1)) + 0.1 * noise
  return {**batch(seed, rows), "input": clips}


def noisy(key, clip):
  """The clip with a little noise, in [0, 1]."""
  noise = 0.02 * jax.random.normal(key, clip.shape)
  return (jnp.clip(clip + noise, 0.0, 1.0),)


def two_cameras(key, clip):
  """The clip, and the clip seen by a camera that stands on its head."""
  (clip,) = noisy(key, clip)
  return clip, clip[:, ::-1]


class ClipEncoder(nn.Module):
  """A dense layer for each square of 2 x 2 pixels of each frame, a norm and a ReLU."""

  norm: str
  axis_name: str | None = None

  def __call__(self, x, *, train, keys=None):
    """The mean over all positions, 32 features."""
    found = self.feature_map(x, train=train, keys=keys)
    patches = found.reshape(len(found), -1, found.shape[-1])
    self.sow("intermediates", "patches", patches)
    return patches.mean(axis=1)

  @nn.compact
  def feature_map(self, x, *, train, keys=None):
    """[batch, frames, 4, 4, 32]."""
    from tests import cases

    x = x.reshape(*x.shape[:2], 4, 2, 4, 2).swapaxes(3, 4)
    x = x.reshape(*x.shape[:4], -1)
    return cases.Layer(32, self.norm, self.axis_name)(x, train=train, keys=keys)


def towers(norm: str, axis_name: str | None = None):
  """The test suite's encoder for each frame."""
  from tests import cases

  return Framewise(cases.Encoder(norm, axis_name))


def head(norm: str, axis_name: str | None = None, *, out: int = 12):
  """The test suite's head."""
  from tests import cases

  return cases.Head(norm, axis_name, out)


def make_future_frame(norm: str = "batch", axis_name: str | None = None):
  """The last 2 of 8 frames, and their edges."""
  normed = {"norm": NORMS[norm], "axis_name": axis_name}
  decoder = FrameDecoder((2, SIDE, SIDE, 1), widths=(16,), **normed)
  net = FramePredictor(ClipEncoder(norm, axis_name), decoder)
  error = lambda made, true: SCALE * losses.squared_error(made, true)
  return future_frame(net, noisy, future=2, error=error, gradient_weight=0.1 * SCALE)


def make_frame_order(norm: str = "batch", axis_name: str | None = None):
  """The order of 3 of 6 frames, of a tower for each."""
  parts = towers(norm, axis_name), head(norm, axis_name, out=3)
  return frame_order(OrderNet(*parts), noisy, frames=3, span=6)


def make_shuffle_and_learn(norm: str = "batch", axis_name: str | None = None):
  """In order or not, of towers with projectors."""
  parts = towers(norm, axis_name), head(norm, axis_name, out=2), head(norm, axis_name)
  return shuffle_and_learn(OrderNet(*parts), noisy, span=8, positives=0.5)


def embedder(norm: str, axis_name: str | None = None):
  """An embedding of each frame."""
  return FrameEmbedder(towers(norm, axis_name), head(norm, axis_name))


def make_tcn(norm: str = "batch", axis_name: str | None = None):
  """One camera, semi-hard triplets."""
  ranges = {"positive_range": 2, "negative_range": 4}
  return tcn(embedder(norm, axis_name), noisy, pairs=3, **ranges)


def make_tcn_multi_view(norm: str = "batch", axis_name: str | None = None):
  """Two cameras, n pairs."""
  net = embedder(norm, axis_name)
  return tcn_multi_view(net, two_cameras, moments=4, contrast=losses.n_pairs)


def make_videomae(norm: str = "batch", axis_name: str | None = None):
  """Cubes of 2 frames of 2 x 2 pixels, three quarters of the places hidden."""
  del norm, axis_name  # the ViT has layer norms
  kernel = {"kernel_init": nn.initializers.lecun_normal()}
  encoder = VideoViT(width=32, depth=1, heads=2, patch=(2, 2, 2), **kernel)
  decoder = MAEDecoder(width=16, depth=1, heads=2, positions=CubePositions, **kernel)
  return videomae(VideoMAE(encoder, decoder), noisy, ratio=0.75, normalize=False)


def _nothing(state):
  del state
  return ()


ROWS = (
  ("future_frame", make_future_frame, _nothing, batch),
  ("frame_order", make_frame_order, _nothing, batch),
  ("shuffle_and_learn", make_shuffle_and_learn, _nothing, batch),
  ("tcn", make_tcn, _nothing, batch),
  ("tcn_multi_view", make_tcn_multi_view, _nothing, batch),
  ("videomae", make_videomae, _nothing, tiled),
)
