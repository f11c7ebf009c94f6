"""Clips with their sound: bouncing digits that one can hear, or recordings of your own.

An example is a `Sounding`. Every frame has as many samples as every other, so that a
window of frames is a window of samples.
"""

import os
import pathlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.audio import (
  Form,
  audio_kind,
  check_waves,
  fit_wave,
  read_recording,
  whole_recordings,
)
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind
from jaxssl.data.sources import ArraySource, DataSet, digits
from jaxssl.data.video import (
  VIDEO_FILES,
  check_clips,
  frames_a_second,
  raw_pixels,
  video_kind,
  videos,
)
from jaxssl.errors import InputError, nearest
from jaxssl.ops.spectrogram import log_mel

NAME = "bouncing_digits"
LABELS = ("bounces", "digit")
BOUNCES = ("up to 3", "4", "5", "6 or more")
RATE, FRAME_RATE = 4096, 16
PITCHES = (200.0, 1600.0)  # hertz at the bottom and at the top
CLICK = 0.04  # seconds in which a click fades to a third
BANDS = 24


class Sounding(NamedTuple):
  """Clips and their sound.

  Attributes:
    clip: uint8, or float in [0, 1], [..., frames, height, width, channels].
    wave: float32 [..., samples] in [-1, 1]; samples are a multiple of the frames.
  """

  clip: jax.Array
  wave: jax.Array


def open_sounding(
  spec: str | os.PathLike,
  *,
  frames: int = 32,
  size: int = 16,
  rate: int = RATE,
  frame_rate: int = FRAME_RATE,
  label: str = "bounces",
) -> DataSet:
  """Opens clips with sound.

  Args:
    spec: "bouncing_digits", or a folder with pairs: NAME.wav or NAME.flac beside a
      folder NAME of frames or a video file NAME.mp4 (or another of `VIDEO_FILES`). A
      pair is cut into clips that don't overlap; recordings without a picture, video
      files of another frame rate, and what is too short or cannot be read, are left
      out and named.
    frames: of a clip.
    size: side of the frames in pixels.
    rate: samples a second that recordings are brought to; a multiple of `frame_rate`.
    frame_rate: frames a second of the videos.
    label: of the digits: "bounces", how often one hits top or bottom, or "digit".

  Raises:
    InputError: if there is no such folder or no pair in it, or an option is out of its
      range.
  """
  if min(frames, size, rate, frame_rate) < 1 or rate % frame_rate:
    raise InputError(
      f"frames {frames}, size {size}, rate {rate}, frame_rate {frame_rate}: all must "
      "be 1 or more, and a frame has a whole number of samples"
    )
  again = partial(
    open_sounding,
    frames=frames,
    size=size,
    rate=rate,
    frame_rate=frame_rate,
    label=label,
  )
  kind = sounding_kind(rate=rate, frame_rate=frame_rate)
  if is_kept(spec):
    return read_kept(spec).data_set(kind, Sounding, again)
  if str(spec) == NAME:
    if (rate, frame_rate) != (RATE, FRAME_RATE):
      raise InputError(f"{NAME} have {RATE} samples and {FRAME_RATE} frames a second")
    made = bouncing_digits(frames=frames, size=size, label=label)
  else:
    made = _folder(spec, frames, size, rate, frame_rate)
  return made._replace(kind=kind, like=again)


def bouncing_digits(
  *, frames: int = 32, size: int = 16, label: str = "bounces", seed: int = 0
) -> DataSet:
  """Makes clips of scikit-learn's digits whose height is heard as a pitch.

  Each digit moves across a black canvas; at every bounce off the top or the bottom it
  clicks and takes another speed, so that no two moments of a clip sound alike for
  long. Pitch is 200 Hz at the bottom, 1600 Hz at the top.

  Args:
    frames: of a clip, 16 a second, 2 or more.
    size: side of the canvas in pixels, more than 8.
    label: "bounces", how often a digit hits top or bottom, or "digit".
    seed: draws the motion.

  Returns:
    The data set, of `Sounding`s: 1,297 to train on and 500 to test.
  """
  if label not in LABELS:
    raise InputError(
      f"There is no label '{label}'.{nearest(label, LABELS)} There are: "
      f"{', '.join(LABELS)}."
    )
  if size <= 8 or frames < 2:
    raise InputError(f"{frames} frames of {size} pixels; pass 2 or more, above 8")
  data, rng = digits(), np.random.default_rng(seed)
  splits = [_bouncing(s, frames, size, label, rng) for s in (data.train, data.test)]
  kind = sounding_kind(rate=RATE, frame_rate=FRAME_RATE)
  classes = BOUNCES if label == "bounces" else data.classes
  return DataSet(NAME, *splits, classes, kind=kind)


def frame_spectrum(wave: jax.Array, *, frames: int, rate: int = RATE) -> jax.Array:
  """Log-mel spectrum with one step for each frame of the clip.

  Args:
    wave: [..., samples], samples a multiple of `frames`.
    frames: steps.
    rate: samples a second.

  Returns:
    float32 [..., frames, 24]; -7 is silence, loud tones are above 0.
  """
  samples = wave.shape[-1]
  if frames < 1 or samples % frames:
    raise InputError(f"{samples} samples do not split into {frames} frames evenly")
  step = samples / frames / rate
  low = 2.0 / step  # below, a band would hold no frequency of so short a window
  return log_mel(
    wave, rate=rate, bands=BANDS, window=step, hop=step, low=low, floor=1e-3
  )


def sounding_kind(*, rate: int, frame_rate: int) -> Kind:
  """Returns the kind of clips with sound.

  What needs no net: pixels of the frames and `frame_spectrum`, side by side.
  """

  @partial(jax.jit, static_argnames="patches")
  def raw(inputs, patches=False):
    pixels = raw_pixels(inputs.clip, patches=True)
    sound = frame_spectrum(inputs.wave, frames=pixels.shape[1], rate=rate)
    values = jnp.concatenate([pixels, sound], axis=2)
    return values if patches else values.reshape(len(values), -1)

  pictures, sounds = video_kind(frame_rate), audio_kind(rate)

  def tiles(inputs):
    check_sounding(inputs)
    pairs = zip(pictures.tiles(inputs.clip), sounds.tiles(inputs.wave), strict=True)
    return [list(pair) for pair in pairs]

  name = lambda inputs: "raw pixels and spectrum"
  return Kind("sounding", check_sounding, raw, name, tiles)


def check_sounding(inputs: Any) -> None:
  """Raises InputError unless `inputs` are `Sounding`s, [batch, ...], that fit."""
  if not isinstance(inputs, Sounding):
    raise InputError(f"clips with sound are a `Sounding`, not {type(inputs).__name__}")
  check_clips(inputs.clip)
  check_waves(inputs.wave, name="wave")
  clips, frames = np.shape(inputs.clip)[:2]
  waves, samples = np.shape(inputs.wave)
  if clips != waves or samples % frames:
    raise InputError(
      f"{clips} clips of {frames} frames have {waves} waves of {samples} samples; pass "
      "one wave for each, with a whole number of samples a frame"
    )


def _bouncing(source, frames, size, label, rng):
  """The clips of a split of the digits."""
  arrays = source.arrays()
  images, rows = arrays["input"], len(arrays["label"])
  heights, hits = _heights(rows, frames, float(size - 8), rng)
  across = _across(rows, frames, float(size - 8), rng)
  clip = _drawn(images, heights, across, size)
  wave = _heard(heights / (size - 8), hits, rng)
  bounces = np.clip(hits[:, 1:frames].sum(1) - 3, 0, 3).astype(np.int32)
  labels = bounces if label == "bounces" else arrays["label"]
  return ArraySource({"input": Sounding(clip, wave), "label": labels})


def _heights(rows, frames, top, rng):
  """Heights [rows, frames + 1] from 0 to `top`, and where they have just bounced."""
  height = rng.uniform(0.0, top, rows)
  speed = rng.choice([-1.0, 1.0], rows) * rng.uniform(0.5, 2.0, rows)
  heights, hits = [height], [np.zeros(rows, bool)]
  for _ in range(frames):
    moved = height + speed
    hit = (moved < 0.0) | (moved > top)
    height = np.clip(np.where(moved > top, 2 * top - moved, np.abs(moved)), 0.0, top)
    another = -np.sign(speed) * rng.uniform(0.5, 2.0, rows)
    speed = np.where(hit, another, speed)
    heights.append(height)
    hits.append(hit)
  return np.stack(heights, 1), np.stack(hits, 1)


def _across(rows, frames, width, rng):
  """Places from left to right, [rows, frames], at a constant speed between walls."""
  start, speed = rng.uniform(0, 2 * width, rows), rng.uniform(-1.0, 1.0, rows)
  ahead = start[:, None] + speed[:, None] * np.arange(frames)
  return np.abs((ahead % (2 * width)) - width)


def _drawn(images, heights, across, size):
  """Clips uint8 [rows, frames, size, size, 1]; height 0 is the lowest row."""
  rows, frames = across.shape
  clip = np.zeros((rows, frames, size, size, 1), np.uint8)
  down = np.round(size - 8 - heights).astype(int)
  right = np.round(across).astype(int)
  row, frame = np.arange(rows)[:, None], np.arange(frames)[None]
  for i in range(8):
    for j in range(8):
      place = row, frame, down[:, :frames] + i, right + j
      clip[place] = images[:, i, j][:, None]
  return clip


def _heard(heights, hits, rng):
  """Waves [rows, frames * samples]: the pitch of the height in [0, 1], and clicks."""
  rows, frames = heights.shape[0], heights.shape[1] - 1
  each = RATE // FRAME_RATE
  part = (np.arange(each) / each)[None, None]
  between = heights[:, :-1, None] * (1 - part) + heights[:, 1:, None] * part
  low, high = PITCHES
  pitch = low * (high / low) ** between.reshape(rows, -1)
  phase = 2 * np.pi * (rng.uniform(size=(rows, 1)) + np.cumsum(pitch, 1) / RATE)
  fading = np.exp(-np.arange(each) / (CLICK * RATE))
  noise = rng.standard_normal((rows, frames, each)).clip(-2.5, 2.5)
  clicks = 0.2 * hits[:, :frames, None] * fading * noise
  quiet = 0.01 * rng.standard_normal((rows, frames * each))
  wave = 0.4 * np.sin(phase) + clicks.reshape(rows, -1) + quiet
  return wave.clip(-1.0, 1.0).astype(np.float32)


def _folder(spec, frames, size, rate, frame_rate):
  root = pathlib.Path(spec).expanduser()
  if not root.is_dir():
    raise InputError(f"there is no folder {root}; or give '{NAME}'")
  recordings = sorted(
    p for p in root.rglob("*") if p.suffix.lower() in (".wav", ".flac")
  )
  if not recordings:
    raise InputError(
      f"no recordings in {root}; a pair is NAME.wav and NAME.mp4 or NAME/"
    )
  parts, skipped = [], []
  for path in recordings:
    try:
      with whole_recordings():
        parts.append(_pair(path, frames, size, rate, frame_rate))
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
      skipped.append(f"{path.relative_to(root)}: {error}")
  if not parts:
    raise InputError(f"no pair in {root} can be used; the first: {skipped[0]}")
  rows = Sounding(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
  return DataSet(
    root.resolve().name, ArraySource({"input": rows}, tuple(skipped)), None, ()
  )


def _pair(path, frames, size, rate, frame_rate):
  """The clips of a recording and its picture, one after the other."""
  beside = [path.with_suffix(""), *(path.with_suffix(end) for end in VIDEO_FILES)]
  picture = next((p for p in beside if p.exists()), None)
  if picture is None:
    raise InputError("no frames or video of that name beside it")
  if not picture.is_dir():
    _check_rate(frames_a_second(picture), frame_rate)
  clips = videos(picture, size=size, frames=frames).train
  clips = clips[np.arange(len(clips))]["input"]
  each, recording = frames * rate // frame_rate, read_recording(path)
  whole = int(len(recording.wave) / recording.rate * rate / each + 1e-3)
  count = min(len(clips), whole)
  if not count:
    raise InputError(f"the sound is shorter than a clip of {each / rate:g} s")
  wave = fit_wave(recording, Form(rate, count * each))
  return Sounding(clips[:count], wave.reshape(count, each))


def _check_rate(found, frame_rate):
  """Raises InputError if sound and picture would drift apart by more than 1 %.

  A file that doesn't say its rate says 0.
  """
  if found and abs(found / frame_rate - 1) > 0.01:
    raise InputError(
      f"{found:g} frames a second, not {frame_rate}; pass --frame-rate {found:.0f}"
    )
