"""What may happen to a wave or a spectrogram: crops, noise, shifts, masks.

`(key, wave) -> wave` of one wave [samples], `(key, spectrum) -> spectrum` of one
spectrogram [frames, bands] or [frames, bands, channels].
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.augment.views import View, Views
from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize
from jaxssl.ops.spectrogram import heard_samples


def crop_wave(key: jax.Array, wave: jax.Array, *, samples: int) -> jax.Array:
  """Cuts a stretch out of a wave, anywhere before the zeros at its end.

  A recording that was padded is cropped as if it were not; one that is shorter than the
  crop keeps its beginning.

  Args:
    key: PRNG key.
    wave: [samples before].
    samples: length of the crop.

  Returns:
    [samples].

  Raises:
    InputError: if the crop is longer than the wave, or empty.
  """
  _check_wave(wave)
  if not 1 <= samples <= len(wave):
    raise InputError(
      f"A crop of {samples} samples out of a wave of {len(wave)}; pass at least 1 and"
      " no more than there are."
    )
  last = jnp.maximum(heard_samples(wave) - samples, 0)
  start = jax.random.randint(key, (), 0, last + 1)
  return jax.lax.dynamic_slice(wave, (start,), (samples,))


def wave_noise(key: jax.Array, wave: jax.Array, *, deviation: float) -> jax.Array:
  """Adds Gaussian noise, [samples] to [samples].

  Args:
    key: PRNG key.
    wave: [samples].
    deviation: of the noise, 0 or more.
  """
  _check_wave(wave)
  if not deviation >= 0.0:
    raise InputError(f"Gaussian noise of deviation {deviation}; pass 0 or more.")
  return wave + deviation * jax.random.normal(key, wave.shape, wave.dtype)


def time_shift(key: jax.Array, wave: jax.Array, *, most: int) -> jax.Array:
  """Moves a wave by up to `most` samples; what leaves one end enters the other.

  Args:
    key: PRNG key.
    wave: [samples].
    most: samples, 0 or more.

  Returns:
    [samples].
  """
  _check_wave(wave)
  if most < 0:
    raise InputError(f"A shift by at most {most} samples; pass 0 or more.")
  return jnp.roll(wave, jax.random.randint(key, (), -most, most + 1))


def gain(key: jax.Array, wave: jax.Array, *, least: float, most: float) -> jax.Array:
  """Multiplies a wave by a factor, even in decibels.

  Args:
    key: PRNG key.
    wave: [samples].
    least: decibels, below 0 for quieter.
    most: decibels.

  Returns:
    [samples], which may leave [-1, 1].
  """
  _check_wave(wave)
  if not least <= most:
    raise InputError(f"A gain from {least} to {most} decibels; pass the lower first.")
  decibels = jax.random.uniform(key, (), wave.dtype, least, most)
  return wave * 10.0 ** (decibels / 20.0)


def change_speed(key: jax.Array, wave: jax.Array, *, most: float) -> jax.Array:
  """Plays a wave faster or slower, so that it is higher or lower too.

  Speed perturbation (Ko et al., Interspeech 2015), by linear interpolation; the
  logarithm of the factor is even. What is played faster ends in zeros, what is played
  slower is cut at its end.

  Args:
    key: PRNG key.
    wave: [samples].
    most: greatest factor, and its inverse the smallest; 1 changes nothing.

  Returns:
    [samples].
  """
  _check_wave(wave)
  if not most >= 1.0:
    raise InputError(f"A speed of up to {most} times; pass 1 or more.")
  reach = math.log(most)
  factor = jnp.exp(jax.random.uniform(key, (), wave.dtype, -reach, reach))
  places = jnp.arange(len(wave), dtype=wave.dtype)
  return jnp.interp(factor * places, places, wave, right=0.0)


def time_mask(
  key: jax.Array,
  spectrum: jax.Array,
  *,
  width: int,
  share: float = 1.0,
  count: int = 1,
  fill: float = 0.0,
) -> jax.Array:
  """SpecAugment's time masks (Park et al., arXiv 1904.08779, section 2).

  A mask covers t frames, t even in 0 ... width, from a frame on that is even in
  0 ... frames - t; masks may overlap.

  Args:
    key: PRNG key.
    spectrum: [frames, bands] or [frames, bands, channels].
    width: T, the most frames of a mask.
    share: p, the most frames of a mask as a share of all.
    count: m_T, number of masks.
    fill: what a mask puts there; 0 is the mean of standardised spectrograms.

  Returns:
    The shape of `spectrum`.

  Raises:
    InputError: on another rank, or options out of range.
  """
  _check_spectrum(spectrum, width, count, share)
  most = min(width, int(share * spectrum.shape[0]))
  return _mask(key, spectrum, axis=0, most=most, count=count, fill=fill)


def frequency_mask(
  key: jax.Array,
  spectrum: jax.Array,
  *,
  width: int,
  count: int = 1,
  fill: float = 0.0,
) -> jax.Array:
  """SpecAugment's frequency masks; as `time_mask`, along the bands.

  Args:
    key: PRNG key.
    spectrum: [frames, bands] or [frames, bands, channels].
    width: F, the most bands of a mask.
    count: m_F, number of masks.
    fill: what a mask puts there.

  Returns:
    The shape of `spectrum`.

  Raises:
    InputError: on another rank, or options out of range.
  """
  _check_spectrum(spectrum, width, count, 1.0)
  most = min(width, spectrum.shape[1])
  return _mask(key, spectrum, axis=1, most=most, count=count, fill=fill)


def _mask(key, spectrum, *, axis, most, count, fill):
  size = spectrum.shape[axis]
  places = jnp.arange(size)[None, :]
  key_width, key_start = jax.random.split(key)
  width = jax.random.randint(key_width, (count, 1), 0, most + 1)
  start = jax.random.randint(key_start, (count, 1), 0, size - width + 1)
  hidden = ((places >= start) & (places < start + width)).any(axis=0)
  shape = [1] * spectrum.ndim
  shape[axis] = size
  return jnp.where(hidden.reshape(shape), jnp.asarray(fill, spectrum.dtype), spectrum)


def spec_augment(
  key: jax.Array,
  spectrum: jax.Array,
  *,
  frequency: int = 27,
  frequency_masks: int = 2,
  time: int = 100,
  time_masks: int = 2,
  share: float = 1.0,
  fill: float = 0.0,
) -> jax.Array:
  """SpecAugment's masks (arXiv 1904.08779), by default its policy LD for LibriSpeech.

  For frames of 10 ms and 80 bands; LB has one mask of each. There is no time warping,
  which the paper finds to help least.

  Args:
    key: PRNG key.
    spectrum: [frames, bands] or [frames, bands, channels].
    frequency: F, the most bands of a mask.
    frequency_masks: m_F, how many there are.
    time: T, the most frames of a mask.
    time_masks: m_T, how many there are.
    share: p, the most frames of a mask as a share of all; 0.2 for Switchboard.
    fill: what masks put there.

  Returns:
    The shape of `spectrum`.
  """
  first, second = jax.random.split(key)
  bands = partial(frequency_mask, width=frequency, count=frequency_masks, fill=fill)
  frames = partial(time_mask, width=time, share=share, count=time_masks, fill=fill)
  return frames(second, bands(first, spectrum))


def alter_frames(
  key: jax.Array,
  spectrum: jax.Array,
  mask: jax.Array,
  *,
  own: jax.Array | None = None,
) -> jax.Array:
  """Mockingjay's alteration of masked frames (arXiv 1910.12638, section 2.2).

  All masked frames of a spectrogram together: set to 0 with probability 0.8, replaced
  by the frames some distance on (going round) with 0.1, else left as they are.

  Args:
    key: PRNG key.
    spectrum: [frames, bands, channels].
    mask: bool [frames], True where masked.
    own: bool [frames], True for the frames of the recording, which come first: others
      replace none; None: all are.

  Returns:
    The shape of `spectrum`.
  """
  _check_spectrum(spectrum, 0, 1, 1.0)
  count = len(spectrum) if own is None else jnp.maximum(own.sum(), 1)
  key_which, key_distance = jax.random.split(key)
  drawn = jax.random.uniform(key_which)
  distance = jax.random.randint(key_distance, (), 1, jnp.maximum(count, 2))
  ahead = (jnp.arange(len(spectrum)) + distance) % count
  moved = jnp.where(drawn < 0.9, spectrum[ahead], spectrum)
  altered = jnp.where(drawn < 0.8, jnp.zeros_like(spectrum), moved)
  return jnp.where(mask.reshape(-1, *[1] * (spectrum.ndim - 1)), altered, spectrum)


def cola_views(*, samples: int, noise: float = 0.001, speed: float = 1.0) -> Views:
  """COLA's views: two crops of a wave of unit length, the second with noise.

  arXiv 2010.10915 and its official code, which adds the noise to the positive alone.

  Args:
    samples: length of a crop.
    noise: deviation of the noise.
    speed: greatest factor of `change_speed`, drawn for each crop before it is cut:
      voices then say less than words do. 1, the paper's, leaves it out.

  Returns:
    views(key, wave) -> anchor, positive, [samples] each.
  """

  def views(key: jax.Array, wave: jax.Array):
    wave = l2_normalize(wave)
    first, second, third = jax.random.split(key, 3)
    anchor, positive = (crop(k, wave) for k in (first, second))
    return anchor, wave_noise(third, positive, deviation=noise)

  def crop(key: jax.Array, wave: jax.Array) -> jax.Array:
    if speed != 1.0:
      key, how_fast = jax.random.split(key)
      wave = change_speed(how_fast, wave, most=speed)
    return crop_wave(key, wave, samples=samples)

  return views


def rolled_view(*, most: float = 6.0) -> View:
  """Audio-MAE's view: the wave rolled by any distance, louder or quieter.

  The zeros at the end of a short recording stay there: what is before them is rolled.

  Args:
    most: decibels of the loudest and, negative, of the quietest.

  Returns:
    (key, wave) -> wave.
  """

  def view(key: jax.Array, wave: jax.Array) -> jax.Array:
    first, second = jax.random.split(key)
    moved = _roll_heard(first, wave, most=len(wave) // 2)
    return jnp.clip(gain(second, moved, least=-most, most=most), -1.0, 1.0)

  return view


def _roll_heard(key, wave, *, most):
  """`time_shift` of what is before the zeros at the end."""
  _check_wave(wave)
  heard = jnp.maximum(heard_samples(wave), 1)
  places = jnp.arange(len(wave))
  source = (places - jax.random.randint(key, (), -most, most + 1)) % heard
  return wave[jnp.where(places < heard, source, places)]


def _check_wave(wave):
  if wave.ndim != 1 or not jnp.issubdtype(wave.dtype, jnp.floating):
    raise InputError(
      f"A wave is float [samples]; got {wave.dtype} of shape {wave.shape}. Use"
      " jax.vmap with a key each for a batch."
    )


def _check_spectrum(spectrum, width, count, share):
  if spectrum.ndim not in (2, 3):
    raise InputError(
      f"A spectrogram is [frames, bands] or [frames, bands, channels]; got shape"
      f" {spectrum.shape}."
    )
  if width < 0 or count < 1 or not 0.0 <= share <= 1.0:
    raise InputError(
      f"Masks of width {width}, {count} of them, at most a share of {share}; pass a"
      " width from 0, a number from 1 and a share from 0 to 1."
    )
