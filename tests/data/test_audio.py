"""Recordings: folders, .npz files, tones; rates, lengths, and what cannot be read."""

import sys

import numpy as np
import pytest
from scipy.io import wavfile

from jaxssl.data.audio import audio_kind, check_waves, log_spectrum, open_audio
from jaxssl.data.kinds import Sound
from jaxssl.errors import InputError

RATE = 8000
ONE = {"rate": RATE, "seconds": 0.1}


def wav(path, *, rate=RATE, seconds=0.1, pitch=500.0, dtype="int16", channels=1):
  """Writes a tone of half the full loudness."""
  path.parent.mkdir(parents=True, exist_ok=True)
  time = np.arange(round(rate * seconds)) / rate
  tone = 0.5 * np.sin(2 * np.pi * pitch * time)
  if dtype == "uint8":
    tone = np.round(128 + 128 * tone)
  elif dtype != "float32":
    tone = np.round(tone * np.iinfo(dtype).max)
  values = np.stack([tone] * channels, axis=1) if channels > 1 else tone
  wavfile.write(path, rate, values.astype(dtype))


@pytest.fixture
def folder(tmp_path):
  """Two classes in train and test; one file of train at 16 kHz."""
  wav(tmp_path / "train" / "ant" / "a.wav")
  wav(tmp_path / "train" / "bee" / "b.wav", rate=2 * RATE)
  wav(tmp_path / "train" / "bee" / "c.wav")
  wav(tmp_path / "test" / "bee" / "d.wav")
  return tmp_path


def waves(source):
  return source[np.arange(len(source))]["input"]


@pytest.mark.parametrize("limit", [0, 2**20])
def test_folder_with_splits_and_classes(folder, limit):
  data = open_audio(folder, **ONE, resident_bytes=limit)
  assert data.classes == ("ant", "bee") and data.kind.name == "audio"
  assert data.train.resident == data.test.resident == (limit > 0)
  batch = data.train[np.arange(3)]
  assert batch["input"].shape == (3, 800) and batch["input"].dtype == np.float32
  assert batch["label"].tolist() == [0, 1, 1]
  assert data.test[np.arange(1)]["label"].tolist() == [1]
  data.kind.check(batch["input"])


def test_mixed_rates_are_resampled_and_said_once(folder, caplog):
  data = open_audio(folder, **ONE)
  said = [r.getMessage() for r in caplog.records]
  assert len(said) == 1 and "1 of 4 recordings are at 16000 Hz resampled" in said[0]
  assert "bee/b.wav" in said[0]
  inner = waves(data.train)[:, 100:700]
  np.testing.assert_allclose(inner[1], inner[2], atol=0.01)


def test_one_rate_and_length_says_nothing(tmp_path, caplog):
  wav(tmp_path / "a.wav")
  data = open_audio(tmp_path, **ONE)
  assert not caplog.records and data.test is None and data.classes == ()
  assert "label" not in data.train[np.arange(1)]


def test_short_clips_are_padded_and_long_ones_cut_with_a_note(tmp_path, caplog):
  wav(tmp_path / "a.wav", seconds=0.05)
  wav(tmp_path / "b.wav", seconds=0.2)
  data = open_audio(tmp_path, **ONE)
  short, long = waves(data.train)
  assert not short[400:].any() and short[:400].any() and long[400:].any()
  said = " ".join(r.getMessage() for r in caplog.records)
  assert "1 of 2 recordings are shorter than 0.1 s and padded with zeros: a.wav" in said
  assert "1 of 2 recordings are longer than 0.1 s and cut at their end: b.wav" in said


def test_unreadable_files_are_counted_and_named(tmp_path, caplog):
  wav(tmp_path / "good.wav")
  whole = (tmp_path / "good.wav").read_bytes()
  (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
  (tmp_path / "text.wav").write_text("this is no sound")
  (tmp_path / "nothing.wav").write_bytes(b"")
  wav(tmp_path / "silent.wav", seconds=0.0)
  data = open_audio(tmp_path, **ONE)
  assert data.train.files == ("good.wav",) and len(data.train) == 1
  named = [line.split(":")[0] for line in data.train.skipped]
  assert named == ["cut.wav", "nothing.wav", "silent.wav", "text.wav"]
  assert not caplog.records


def test_a_wav_that_is_cut_anywhere_in_its_header_is_named(tmp_path):
  wav(tmp_path / "good.wav")
  whole = (tmp_path / "good.wav").read_bytes()
  for length in range(46):
    (tmp_path / f"{length:02d}.wav").write_bytes(whole[:length])
  data = open_audio(tmp_path, **ONE)
  assert data.train.files == ("good.wav",)
  assert len(data.train.skipped) == 46 and "45.wav: " in data.train.skipped[45]


@pytest.mark.parametrize("start", [20, 22, 24, 32])
def test_a_header_of_zeros_is_named(tmp_path, start):
  """No format, no channels, no rate, no bytes a sample."""
  wav(tmp_path / "good.wav")
  whole = bytearray((tmp_path / "good.wav").read_bytes())
  whole[start : start + 2] = b"\0\0"
  whole[26:28] = b"\0\0"
  (tmp_path / "zero.wav").write_bytes(bytes(whole))
  data = open_audio(tmp_path, **ONE)
  assert data.train.files == ("good.wav",)
  assert data.train.skipped[0].startswith("zero.wav: ")


def test_no_file_can_be_read(tmp_path):
  (tmp_path / "a.wav").write_text("this is no sound")
  with pytest.raises(InputError, match="none of the 1 recordings"):
    open_audio(tmp_path, **ONE)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_types_of_wav_agree(tmp_path, dtype):
  wav(tmp_path / "a.wav", dtype=dtype, channels=2)
  expected = 0.5 * np.sin(2 * np.pi * 500.0 * np.arange(800) / RATE)
  np.testing.assert_allclose(
    waves(open_audio(tmp_path, **ONE).train)[0], expected, atol=0.005
  )


def test_float_beyond_one_is_skipped(tmp_path):
  wav(tmp_path / "a.wav")
  wavfile.write(tmp_path / "b.wav", RATE, np.full(800, 300.0, np.float32))
  assert "values up to 300" in open_audio(tmp_path, **ONE).train.skipped[0]


def test_flac_needs_soundfile(tmp_path, monkeypatch):
  (tmp_path / "a.flac").write_bytes(b"fLaC")
  monkeypatch.setitem(sys.modules, "soundfile", None)
  with pytest.raises(InputError, match=r"jaxssl\[audio\]"):
    open_audio(tmp_path, **ONE)


def test_flac(tmp_path):
  soundfile = pytest.importorskip("soundfile")
  tone = 0.5 * np.sin(np.arange(800) / 5)
  soundfile.write(tmp_path / "a.flac", tone, RATE)
  np.testing.assert_allclose(
    waves(open_audio(tmp_path, **ONE).train)[0], tone, atol=1e-3
  )


@pytest.fixture
def archive(tmp_path):
  """Writes an .npz of 4 recordings of 2 speakers, some entries changed."""

  def write(**changed):
    lengths = [100, 200, 300, 900]
    arrays = {
      "audio": np.arange(1500, dtype=np.int16),
      "offsets": np.cumsum([0, *lengths]),
      "sample_rate": np.int64(RATE),
      "label": np.array([0, 1, 0, 1], np.uint8),
      "speaker": np.array(["anna", "anna", "ben", "ben"]),
      "is_test": np.array([False, True, False, True]),
      **changed,
    }
    path = tmp_path / "speech.npz"
    np.savez(path, **{n: v for n, v in arrays.items() if v is not None})
    return str(path)

  return write


def test_npz(archive):
  data = open_audio(archive(), **ONE)
  assert data.name == "speech" and data.classes == ("0", "1")
  arrays = data.train.arrays()
  assert arrays["label"].tolist() == [0, 0] and len(data.test) == 2
  np.testing.assert_allclose(arrays["input"][0, :100], np.arange(100) / 32768)
  assert not arrays["input"][0, 100:].any()
  again = data.like("tones")
  assert again.train[np.arange(1)]["input"].shape == (1, 800)


def test_npz_by_speaker(archive):
  data = open_audio(archive(), **ONE, hold_out=["ben"])
  assert waves(data.train)[:, 0].tolist() == [0.0, np.float32(100 / 32768)]
  assert len(data.test) == 2
  with pytest.raises(InputError, match="Did you mean 'ben'"):
    open_audio(archive(), **ONE, hold_out=["benn"])
  with pytest.raises(InputError, match="none is left"):
    open_audio(archive(), **ONE, hold_out=["anna", "ben"])


def test_npz_without_labels_and_split(archive):
  data = open_audio(archive(label=None, is_test=None, speaker=None), **ONE)
  assert data.test is None and data.classes == () and len(data.train) == 4
  assert "label" not in data.train.arrays()


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"offsets": None}, "has no offsets"),
    ({"offsets": np.array([0, 100, 50, 1500])}, "must ascend"),
    ({"offsets": np.array([0, 9999])}, "must ascend"),
    ({"offsets": np.array([0.0, 1.0])}, "must be integers"),
    ({"audio": np.zeros((2, 3), np.int16)}, "all recordings in one row"),
    ({"audio": np.full(1500, np.nan, np.float32)}, "not finite"),
    ({"sample_rate": np.int64(0)}, "samples a second"),
    ({"label": np.zeros(3, int)}, "there are 4 recordings"),
    ({"label": np.full(4, -1)}, "integers from 0"),
    ({"class_names": np.array(["zero"])}, "1 class names"),
  ],
)
def test_bad_npz(archive, changed, message):
  with pytest.raises(InputError, match=message):
    open_audio(archive(**changed), **ONE)


@pytest.mark.parametrize(
  ("spec", "options", "message"),
  [
    ("tonse", {}, "Did you mean 'tones'"),
    ("missing.npz", {}, "no .npz file"),
    ("tones", {"rate": 0}, "rate is 0"),
    ("tones", {"seconds": 0.0}, "seconds is 0"),
    ("tones", {"hold_out": ["ben"]}, "only an .npz"),
  ],
)
def test_bad_spec(spec, options, message):
  with pytest.raises(InputError, match=message):
    open_audio(spec, **{**ONE, **options})


def test_folder_without_recordings(tmp_path):
  (tmp_path / "a.mp3").write_bytes(b"")
  with pytest.raises(InputError, match="found 1 .mp3 file"):
    open_audio(tmp_path, **ONE)


def test_tones_are_always_the_same():
  first, second = (open_audio("tones", rate=1000, seconds=0.1) for _ in range(2))
  np.testing.assert_array_equal(waves(first.test), waves(second.test))
  labels = first.train.arrays()["label"]
  assert np.bincount(labels).tolist() == [100] * 12 and len(first.classes) == 12
  first.kind.check(waves(first.train))
  assert first.kind is second.kind


@pytest.mark.parametrize(
  ("values", "message"),
  [
    (np.zeros((2, 3, 4), np.float32), "shape"),
    (np.zeros((0, 4), np.float32), "shape"),
    (np.zeros((2, 4), np.int16), "divide int16"),
    (np.full((2, 4), 2.0, np.float32), "values up to 2"),
    (np.full((2, 4), np.inf, np.float32), "not finite"),
  ],
)
def test_bad_waves(values, message):
  with pytest.raises(InputError, match=message):
    check_waves(values)


def test_floor_ignores_loudness_and_trailing_zeros():
  wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3000)).astype(np.float32)
  padded = np.pad(wave, ((0, 0), (0, 5000)))
  found = log_spectrum(padded, rate=RATE)
  assert found.shape == (1, 160)
  np.testing.assert_allclose(found, log_spectrum(padded / 2, rate=RATE), atol=1e-3)
  np.testing.assert_allclose(found, log_spectrum(wave, rate=RATE), atol=1e-3)
  parts = log_spectrum(padded, True, rate=RATE)
  np.testing.assert_array_equal(parts.reshape(1, -1), found)


def test_kind_draws_sounds():
  kind = audio_kind(1000)
  sounds = kind.tiles(np.zeros((2, 300), np.float32))
  assert all(isinstance(s, Sound) and s.rate == 1000 for s in sounds)
  assert sounds[0].wave.shape == (300,) and sounds[0].spectrum.ndim == 2
  assert kind.raw_name(None) == "log-spectrum 5x32"
  with pytest.raises(InputError, match="waves are"):
    kind.tiles(np.zeros((2, 3, 3), np.float32))


def test_an_npz_of_objects_is_refused(archive):
  path = archive(audio=np.array([None, 1], object))
  with pytest.raises(InputError, match="cannot read 'audio'"):
    open_audio(path, **ONE)
