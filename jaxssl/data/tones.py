"""Tones, sweeps and warbles: recordings that need no download, made on the spot."""

import numpy as np

from jaxssl.data.sources import ArraySource, DataSet

SHAPES = ("tone", "rising", "falling", "warble")
PITCHES = {"low": 1 / 32, "middle": 1 / 16, "high": 1 / 8}  # of the rate
TRAIN, TEST = 1200, 480


def tones(*, rate: int, samples: int) -> DataSet:
  """Makes 1,200 training and 480 test waves of 12 classes, always the same ones.

  A class is a shape (a steady tone, one that rises or falls by half an octave and
  more, a warble) at a pitch (low, middle or high). Pitch, loudness, phase, beginning,
  length, overtone and noise differ from wave to wave.

  Args:
    rate: samples a second.
    samples: length of a wave.

  Returns:
    The data set; waves are float32 [samples] in [-1, 1].
  """
  rng = np.random.default_rng(0)
  splits = [_split(rng, count, rate, samples) for count in (TRAIN, TEST)]
  classes = tuple(f"{pitch} {shape}" for pitch in PITCHES for shape in SHAPES)
  return DataSet("tones", *splits, classes)


def _split(rng, count, rate, samples):
  labels = rng.permutation(np.arange(count) % (len(SHAPES) * len(PITCHES)))
  waves = np.stack([_wave(rng, label, rate, samples) for label in labels])
  return ArraySource({"input": waves, "label": labels.astype(np.int32)})


def _wave(rng, label, rate, samples):
  """One wave of a class, float32 [samples] in [-1, 1]."""
  pitch = [*PITCHES.values()][label // len(SHAPES)] * 2.0 ** rng.uniform(-0.4, 0.4)
  length = int(samples * rng.uniform(0.4, 0.8))
  along = np.linspace(-1.0, 1.0, length)
  bend = {
    "tone": np.zeros(length),
    "rising": rng.uniform(0.3, 0.45) * along,
    "falling": -rng.uniform(0.3, 0.45) * along,
    "warble": 0.15 * np.sin(2 * np.pi * rng.uniform(5, 8) * np.arange(length) / rate),
  }[SHAPES[label % len(SHAPES)]]
  turns = np.cumsum(pitch * 2.0**bend) + rng.uniform()
  overtone = rng.uniform(0.0, 0.7) * np.sin(4 * np.pi * turns + rng.uniform(0, 6))
  envelope = np.minimum(1.0, (1.0 - np.abs(along)) * rng.uniform(4.0, 20.0))
  sound = envelope * (np.sin(2 * np.pi * turns) + overtone)
  wave = rng.uniform(0.02, 0.12) * rng.standard_normal(samples)
  start = rng.integers(0, samples - length + 1)
  wave[start : start + length] += sound
  wave *= 10.0 ** rng.uniform(-1.0, 0.0) / np.abs(wave).max()
  return wave.astype(np.float32)
