"""Clips with sound: bouncing digits, pairs of files, checks."""

import sys
import types
import wave

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxssl.data import Sounding, bouncing_digits, open_sounding
from jaxssl.data.sounding import PITCHES, RATE, check_sounding, frame_spectrum
from jaxssl.errors import InputError

SECOND = 2048  # samples


@pytest.fixture(scope="module")
def digits():
  """Short clips of the digits."""
  return bouncing_digits(frames=8)


def heights_of(clip):
  """The highest row with ink in each frame, [frames]."""
  return (clip[..., 0].sum(2) > 0).argmax(1)


def pitches_of(wave, frames):
  """The loudest frequency of each frame, [frames], hertz."""
  pieces = wave.reshape(frames, -1)
  spectrum = np.abs(np.fft.rfft(pieces * np.hanning(pieces.shape[1]), axis=1))
  return spectrum.argmax(1) * RATE / pieces.shape[1]


def test_bouncing_digits(digits):
  train, test = digits.train.arrays(), digits.test.arrays()
  assert (len(digits.train), len(digits.test)) == (1297, 500)
  assert train["input"].clip.shape == (1297, 8, 16, 16, 1)
  assert train["input"].wave.shape == (1297, 2048)
  assert train["input"].clip.dtype == np.uint8
  assert np.abs(test["input"].wave).max() <= 1.0
  check_sounding(test["input"])


def test_they_are_the_same_every_time(digits):
  again = bouncing_digits(frames=8).test.arrays()["input"]
  np.testing.assert_array_equal(again.wave, digits.test.arrays()["input"].wave)


def test_the_pitch_follows_the_height(digits):
  """Of digits that fill their 8 rows, so that the ink tells the height."""
  found = digits.test.arrays()["input"]
  rows = [i for i in range(100) if found.clip[i].any((2, 3)).sum(1).min() == 8]
  heights = np.concatenate([8 - heights_of(found.clip[i]) for i in rows])
  pitches = np.concatenate([pitches_of(found.wave[i], 8) for i in rows])
  assert len(rows) > 20
  low, high = PITCHES
  expected = np.log(low) + np.log(high / low) * heights / 8
  assert np.corrcoef(np.log(np.maximum(pitches, 100)), expected)[0, 1] > 0.8


def test_labels_are_bounces_or_digits(digits):
  assert set(digits.train.arrays()["label"].tolist()) == {0}  # 8 frames: up to 3
  assert digits.classes[0] == "up to 3"
  other = bouncing_digits(frames=2, label="digit")
  assert other.classes == tuple("0123456789")
  with pytest.raises(InputError, match="no label 'bounce'.*Did you mean 'bounces'"):
    bouncing_digits(label="bounce")
  with pytest.raises(InputError, match="above 8"):
    bouncing_digits(size=8)


def test_the_kind_draws_and_scores_both(digits):
  inputs = digits.train[np.arange(3)]["input"]
  (pictures, sound), *_ = digits.kind.tiles(inputs)
  assert pictures.images.shape == (8, 16, 16, 1)
  assert sound.wave.shape == (2048,) and sound.rate == RATE
  assert digits.kind.raw(inputs).shape == (3, 8 * (256 + 24))
  assert digits.kind.raw(inputs, patches=True).shape == (3, 8, 256 + 24)


def test_checks():
  clip, sound = np.zeros((2, 4, 8, 8, 1), np.uint8), np.zeros((2, 64), np.float32)
  check_sounding(Sounding(clip, sound))
  for bad, message in [
    (Sounding(clip, sound[:1]), "2 clips of 4 frames have 1 waves of 64"),
    (Sounding(clip, sound[:, :63]), "whole number of samples"),
    (Sounding(clip[0], sound), "the clips have shape"),
    (Sounding(clip, sound + 2), "waves are in"),
    (clip, "not ndarray"),
  ]:
    with pytest.raises(InputError, match=message):
      check_sounding(bad)


def test_the_spectrum_has_a_step_for_each_frame():
  time = np.arange(RATE) / RATE
  tone = jnp.asarray(0.5 * np.sin(2 * np.pi * 400 * time), jnp.float32)
  spectrum = frame_spectrum(tone, frames=16)
  assert spectrum.shape == (16, 24)
  assert len(set(np.asarray(spectrum.argmax(1)).tolist())) == 1
  with pytest.raises(InputError, match="do not split into 15 frames"):
    frame_spectrum(tone, frames=15)


def save_wave(path, seconds, rate=SECOND):
  with wave.open(str(path), "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    tone = np.sin(2 * np.pi * 200 * np.arange(int(seconds * rate)) / rate)
    file.writeframes((8000 * tone).astype(np.int16).tobytes())


def save_frames(folder, count):
  folder.mkdir()
  for i in range(count):
    Image.new("RGB", (12, 12), (20 * i, 0, 0)).save(folder / f"{i}.png")


OPTIONS = {"frames": 4, "size": 12, "rate": SECOND, "frame_rate": 8}


def test_pairs_of_a_folder(tmp_path):
  """Two clips of one pair; a wave of another rate; what has no picture is named."""
  save_frames(tmp_path / "a", 9)
  save_wave(tmp_path / "a.wav", 1.2)
  save_frames(tmp_path / "b", 4)
  save_wave(tmp_path / "b.wav", 0.5, rate=4096)
  save_wave(tmp_path / "alone.wav", 1.0)
  save_frames(tmp_path / "short", 4)
  save_wave(tmp_path / "short.wav", 0.2)
  data = open_sounding(tmp_path, **OPTIONS)
  found = data.train.arrays()["input"]
  assert found.clip.shape == (3, 4, 12, 12, 3) and found.wave.shape == (3, 1024)
  np.testing.assert_array_equal(found.clip[1, :, 0, 0, 0], [80, 100, 120, 140])
  assert data.train.skipped == (
    "alone.wav: no frames or video of that name beside it",
    "short.wav: the sound is shorter than a clip of 0.5 s",
  )
  again = data.like(str(tmp_path)).train.arrays()["input"]
  np.testing.assert_array_equal(again.wave, found.wave)


def test_pairs_whose_sound_is_cut_short_are_named(tmp_path):
  for name in "abc":
    save_frames(tmp_path / name, 9)
    save_wave(tmp_path / f"{name}.wav", 1.2)
  whole = (tmp_path / "a.wav").read_bytes()
  (tmp_path / "a.wav").write_bytes(whole[:30])
  (tmp_path / "b.wav").write_bytes(whole[: len(whole) // 2])
  data = open_sounding(tmp_path, **OPTIONS)
  assert len(data.train) == 2
  assert [line[:22] for line in data.train.skipped] == [
    "a.wav: no sound can be",
    "b.wav: no sound can be",
  ]


@pytest.mark.parametrize(("fps", "clips"), [(8.0, 2), (7.95, 2), (25.0, 0), (0.0, 2)])
def test_a_video_of_another_frame_rate_is_left_out(tmp_path, monkeypatch, fps, clips):
  """With a stand-in for the decoder, which is an optional dependency."""
  reader = types.SimpleNamespace(
    imiter=lambda path, **options: np.zeros((9, 12, 12, 3), np.uint8),
    immeta=lambda path, **options: {"fps": fps},
  )
  monkeypatch.setitem(sys.modules, "av", types.ModuleType("av"))
  monkeypatch.setitem(sys.modules, "imageio", types.SimpleNamespace(v3=reader))
  monkeypatch.setitem(sys.modules, "imageio.v3", reader)
  save_frames(tmp_path / "a", 4)
  save_wave(tmp_path / "a.wav", 0.5)
  (tmp_path / "b.mp4").write_bytes(b"")
  save_wave(tmp_path / "b.wav", 1.2)
  data = open_sounding(tmp_path, **OPTIONS)
  said = f"b.wav: {fps:g} frames a second, not 8; pass --frame-rate {fps:.0f}"
  assert len(data.train) == 1 + clips
  assert data.train.skipped == (() if clips else (said,))


def test_folders_without_pairs(tmp_path):
  with pytest.raises(InputError, match="there is no folder"):
    open_sounding(tmp_path / "none", **OPTIONS)
  with pytest.raises(InputError, match="no recordings in"):
    open_sounding(tmp_path, **OPTIONS)
  save_wave(tmp_path / "a.wav", 1.0)
  with pytest.raises(InputError, match=r"no pair .* can be used; the first: a.wav"):
    open_sounding(tmp_path, **OPTIONS)
  with pytest.raises(InputError, match="whole number of samples"):
    open_sounding(tmp_path, frames=4, size=12, rate=1000, frame_rate=7)
  with pytest.raises(InputError, match="4096 samples and 16 frames"):
    open_sounding("bouncing_digits", rate=8000)
