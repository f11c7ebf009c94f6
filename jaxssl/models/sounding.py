"""Nets of clips with sound: an encoder each, step by step, and heads over the steps."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment.sounding import Moment
from jaxssl.data.sounding import Sounding, frame_spectrum
from jaxssl.models.convnet import ConvNet
from jaxssl.models.layers import BatchNorm, Factory


class TimeLayers(nn.Module):
  """Layers over steps of time, each of which sees a step and its two neighbours.

  Attributes:
    widths: of the layers; each has a norm and a ReLU.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...]
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [batch, steps, dim] to float32 [batch, steps, widths[-1]]."""
    for i, width in enumerate(self.widths):
      padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
      x = jnp.concatenate([padded[:, :-2], x, padded[:, 2:]], axis=2)
      x = nn.Dense(width, use_bias=False, dtype=self.dtype, name=f"dense{i}")(x)
      norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
      x = nn.relu(norm(x, train=train))
    return x.astype(jnp.float32)


class SoundingEncoder(nn.Module):
  """A clip's frames and its sound, each to features of every step of time.

  The features are the means over the steps, of the clip and then of the sound; the
  patches are the steps.

  Attributes:
    frames: an encoder with `each`, as `Framewise`: clips -> [batch, frames, dim].
    sound: spectra [batch, steps, bands] -> [batch, steps, dim], `TimeLayers`.
    rate: samples a second.
  """

  frames: nn.Module
  sound: nn.Module
  rate: int

  def __call__(self, x: Sounding, *, train: bool, keys: jax.Array | None = None):
    """Maps `Sounding`s to [batch, dim of the clip + dim of the sound]."""
    seen = self.frames.each(x.clip, train=train, keys=keys)
    steps = [seen, self.listen(x.wave, x.clip.shape[1], train=train)]
    found = jnp.concatenate(steps, axis=2)
    self.sow("intermediates", "patches", found)
    return jnp.mean(found, axis=1)

  def listen(self, wave: jax.Array, frames: int, *, train: bool):
    """Maps waves [batch, samples] to [batch, frames, dim]."""
    spectrum = frame_spectrum(wave, frames=frames, rate=self.rate)
    return self.sound(spectrum, train=train)


class Sounded(NamedTuple):
  """What a net makes of windows.

  Attributes:
    video: of the clip, [batch, dim].
    audio: of its sound and the shifted ones, [batch, 1 + shifted, dim].
  """

  video: jax.Array
  audio: jax.Array


class SoundingNet(nn.Module):
  """A `SoundingEncoder` and a head for each of the two, over all steps of a window.

  Attributes:
    encoder: `SoundingEncoder`.
    video_head: all steps of a clip [batch, frames * dim] -> [batch, out].
    audio_head: all steps of a sound -> [batch, out].
  """

  encoder: nn.Module
  video_head: nn.Module
  audio_head: nn.Module

  def __call__(self, x: Moment, *, train: bool, keys: jax.Array | None = None):
    """Maps windows to a `Sounded`."""
    batch, frames = x.clip.shape[:2]
    sounds = x.waves.shape[1]
    seen = self.encoder.frames.each(x.clip, train=train, keys=keys)
    waves = x.waves.reshape(batch * sounds, -1)
    heard = self.encoder.listen(waves, frames, train=train)
    video = self.video_head(seen.reshape(batch, -1), train=train)
    audio = self.audio_head(heard.reshape(batch * sounds, -1), train=train)
    return Sounded(video, audio.reshape(batch, sounds, -1))


class SoundPredictor(nn.Module):
  """The spectrum of the sound from the frames of a clip.

  Attributes:
    encoder: an encoder with `each`, as `Framewise`.
    context: `TimeLayers` over the frames' features.
    bands: of the spectrum.
  """

  encoder: nn.Module
  context: nn.Module
  bands: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps clips to spectra, [batch, frames, bands]."""
    seen = self.encoder.each(x, train=train, keys=keys)
    return nn.Dense(self.bands, name="out")(self.context(seen, train=train))


class PlaceNet(nn.Module):
  """Convolutions with pools of 2, then a dense layer of the whole map: tells places.

  Attributes:
    widths: channels of the blocks, each a 3x3 convolution, norm, ReLU and pool.
    out: dim of the features.
    norm: a factory of norms.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.
  """

  widths: tuple[int, ...]
  out: int
  norm: Factory = BatchNorm
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to [batch, out]."""
    shared = {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}
    convnet = ConvNet(self.widths, (2,) * len(self.widths), **shared)
    found = convnet.feature_map(x, train=train)
    dense = nn.Dense(self.out, use_bias=False, dtype=self.dtype, name="dense")
    norm = self.norm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
    return nn.relu(norm(dense(found.reshape(len(found), -1)), train=train))
