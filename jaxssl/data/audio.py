"""Recordings: folders of wav and flac files, .npz files, and tones made on the spot.

An example is a wave, float32 [samples] in [-1, 1]; all waves of a data set have one
rate and one length. What is done to recordings to get there (resampled, padded, cut) is
said once, by the logger "jaxssl.data.audio".
"""

import contextlib
import functools
import itertools
import logging
import math
import os
import pathlib
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data import folders
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind, Sound
from jaxssl.data.sources import (
  RESIDENT_BYTES,
  ArraySource,
  DataSet,
  LazySource,
  _read,
  threads,
)
from jaxssl.data.tones import tones
from jaxssl.errors import InputError, nearest
from jaxssl.ops.spectrogram import frame_samples, heard_samples, log_mel

EXTENSIONS = (".flac", ".wav")
TIME_BINS, BANDS = 5, 32  # of the features that need no net
PICTURE_BANDS = 40
NAMED = 5  # how many files a message names
LOG = logging.getLogger(__name__)


class Form(NamedTuple):
  """What every wave of a data set is brought to: a rate, and a length in samples."""

  rate: int
  samples: int


class Recording(NamedTuple):
  """A recording as it was found.

  Attributes:
    wave: float32 [samples] in [-1, 1], one channel.
    rate: samples a second.
  """

  wave: np.ndarray
  rate: int


class _Found(NamedTuple):
  """What is said of a recording: its name, its rate, its length in seconds."""

  name: str
  rate: int
  seconds: float


def open_audio(
  spec: str | os.PathLike,
  *,
  rate: int,
  seconds: float,
  hold_out: Sequence[str] = (),
  resident_bytes: int = RESIDENT_BYTES,
) -> DataSet:
  """Opens recordings as a data set of waves of one rate and one length.

  `spec` is one of

  - "tones": tones, sweeps and warbles at three pitches, made on the spot.
  - A folder of .wav and .flac files (flac needs the package soundfile, the extra
    "audio"). Subfolders are classes, and `train` with `test`, `val` or `validation`
    beside it are splits, as in a folder of images. Several channels become their
    mean. Files that cannot be read or are empty are left out and named in
    `source.skipped`.
  - An .npz file: `audio`, all recordings one after the other, int16 or float in
    [-1, 1]; `offsets`, int [n + 1], where each begins and the last ends;
    `sample_rate`; and, where known, `label` (integers from 0), `class_names`,
    `is_test` (bool, which recordings are the test split) and `speaker`, all [n].

  Recordings at another rate are resampled (polyphase). Longer ones are cut at their
  end, shorter ones are padded there with zeros.

  Args:
    spec: as above.
    rate: samples a second.
    seconds: length of an example.
    hold_out: speakers of an .npz whose recordings are the test split, in place of
      `is_test`: no speaker is in both splits.
    resident_bytes: splits of a folder up to this size are kept in memory.

  Returns:
    The data set. `like` opens other recordings at this rate and length.

  Raises:
    InputError: if there is no such data, or it is not as said here.
  """
  form = _form(rate, seconds)
  spec = os.fspath(spec)
  if hold_out and not spec.endswith(".npz"):
    raise InputError("hold_out names speakers; only an .npz with `speaker` has them.")
  if is_kept(spec):
    found = read_kept(spec).data_set(audio_kind(form.rate))
  elif spec == "tones":
    found = tones(rate=form.rate, samples=form.samples)
  elif spec.endswith(".npz"):
    found = _npz(pathlib.Path(spec).expanduser(), form, tuple(hold_out))
  else:
    found = _folder(_existing(spec), form, resident_bytes)
  like = functools.partial(open_audio, rate=rate, seconds=seconds)
  return found._replace(kind=audio_kind(form.rate), like=like)


def _form(rate, seconds):
  if rate < 1 or rate != int(rate):
    raise InputError(f"rate is {rate}; it is in samples a second, a whole number.")
  if not seconds * rate >= 1:
    raise InputError(f"seconds is {seconds}; it is the length of an example, above 0.")
  return Form(int(rate), round(seconds * rate))


def _existing(spec):
  path = pathlib.Path(spec).expanduser()
  if not path.is_dir():
    hint = nearest(spec, ("tones",))
    raise InputError(
      f"there is no folder {spec}; audio is 'tones', a folder of wav and flac files,"
      f" or an .npz.{hint}"
    )
  return path


@functools.cache
def audio_kind(rate: int) -> Kind:
  """Returns the kind of waves at `rate` samples a second.

  Its raw features are a log-spectrum of 5 stretches of time x 32 mel bands: the mean
  of the logarithms in each fifth of a wave, without the zeros at its end, less the
  wave's mean, so that loudness does not count.
  """
  raw = functools.partial(log_spectrum, rate=rate)
  return Kind("audio", check_waves, raw, _raw_name, functools.partial(_sounds, rate))


def _raw_name(inputs):
  del inputs
  return f"log-spectrum {TIME_BINS}x{BANDS}"


def check_waves(waves: Any, *, name: str = "input") -> None:
  """Checks a batch of waves.

  Args:
    waves: [batch, samples], float in [-1, 1].
    name: what the message calls them.

  Raises:
    InputError: for another rank or type, no samples, or values that are not finite
      or out of range.
  """
  waves = np.asarray(waves)
  if waves.ndim != 2 or not waves.size:
    raise InputError(f"{name} has shape {waves.shape}; waves are [batch, samples].")
  if waves.dtype.kind != "f" and waves.dtype.name != "bfloat16":
    raise InputError(
      f"{name} is {waves.dtype}; waves are float in [-1, 1] (divide int16 by 32768)."
    )
  _check_range(waves, name)


def _check_range(wave, name):
  largest = float(np.abs(wave).max())
  if not np.isfinite(largest):
    raise InputError(f"{name} holds values that are not finite; waves are in [-1, 1].")
  if largest > 1.0:
    raise InputError(f"{name} has values up to {largest:g}; waves are in [-1, 1].")


@functools.partial(jax.jit, static_argnames=("patches", "rate"))
def log_spectrum(waves: jax.Array, patches: bool = False, *, rate: int) -> jax.Array:
  """Features of waves that need no net; see `audio_kind`.

  Args:
    waves: [batch, samples].
    patches: whether the stretches of time are kept apart.
    rate: samples a second.

  Returns:
    float32 [batch, 5 * 32], or with `patches` [batch, 5, 32].
  """
  window = min(0.032, waves.shape[-1] / rate)
  length, hop = frame_samples(rate, window=window, hop=window / 3)
  spectrum = log_mel(
    waves,
    rate=rate,
    bands=BANDS,
    window=window,
    hop=window / 3,
    fft=_points(rate, window),
    power=2,
    floor=1e-8,
  )
  share = _shares(_own_frames(waves, length, hop, spectrum.shape[1]), spectrum.shape[1])
  means = jnp.einsum("nbt,ntf->nbf", share, spectrum, precision="highest")
  means -= means.mean((1, 2), keepdims=True)
  return means if patches else means.reshape(len(means), -1)


def _points(rate, window):
  """Points of a transform: enough that narrow bands of low rates hold a frequency."""
  return max(256, 2 ** math.ceil(math.log2(round(rate * window))))


def _own_frames(waves, length, hop, frames):
  """How many frames each wave has before the zeros at its end, int32 [batch]."""
  return jnp.clip(1 + (heard_samples(waves) - length) // hop, 1, frames)


def _shares(own, frames):
  """Weight of each frame in each fifth of a wave, [batch, 5, frames]; fifths sum to 1.

  A frame counts in proportion to its overlap with the fifth.
  """
  edges = jnp.linspace(0.0, 1.0, TIME_BINS + 1)[None] * own[:, None].astype(jnp.float32)
  start, stop = edges[:, :-1, None], edges[:, 1:, None]
  frame = jnp.arange(frames, dtype=jnp.float32)[None, None]
  overlap = jnp.minimum(stop, frame + 1.0) - jnp.maximum(start, frame)
  return jnp.maximum(overlap, 0.0) / (stop - start)


def _sounds(rate, waves):
  """Waves as `Sound`s."""
  waves = np.asarray(waves, np.float32)
  if waves.ndim != 2:
    raise InputError(f"waves are [batch, samples], not {waves.shape}")
  seconds = waves.shape[1] / rate
  window = min(0.032, seconds)
  hop = max(window / 4, seconds / 512)
  spectra = log_mel(
    waves,
    rate=rate,
    bands=PICTURE_BANDS,
    window=window,
    hop=hop,
    fft=_points(rate, window),
  )
  pairs = zip(waves, np.asarray(spectra), strict=True)
  return [Sound(wave, rate, spectrum) for wave, spectrum in pairs]


def fit_wave(recording: Recording, form: Form) -> np.ndarray:
  """Brings a recording to a rate and a length.

  Args:
    recording: the recording.
    form: what it is brought to.

  Returns:
    float32 [form.samples] in [-1, 1], resampled, then cut or padded with zeros.
  """
  wave = recording.wave
  if recording.rate != form.rate:
    from scipy.signal import resample_poly

    common = math.gcd(form.rate, recording.rate)
    wave = resample_poly(wave, form.rate // common, recording.rate // common)
    wave = np.clip(wave, -1.0, 1.0)  # the filter overshoots
  fitted = np.zeros(form.samples, np.float32)
  kept = wave[: form.samples]
  fitted[: len(kept)] = kept
  return fitted


def _say(name, form, found: Sequence[_Found]):
  """Says once what was done to the recordings of a data set."""
  seconds = form.samples / form.rate
  other = [f for f in found if f.rate != form.rate]
  short = [f for f in found if f.seconds * form.rate < form.samples - 1]
  long = [f for f in found if f.seconds * form.rate > form.samples + 1]
  if other:
    rates = ", ".join(str(rate) for rate in sorted({f.rate for f in other}))
    what = f"at {rates} Hz resampled to {form.rate} Hz"
    LOG.warning("%s: %s", name, _counted(other, found, what))
  if short:
    what = f"shorter than {seconds:g} s and padded with zeros"
    LOG.warning("%s: %s", name, _counted(short, found, what))
  if long:
    what = f"longer than {seconds:g} s and cut at their end"
    LOG.warning("%s: %s", name, _counted(long, found, what))


def _counted(those, found, what):
  names = ", ".join(f.name for f in those[:NAMED])
  more = f" and {len(those) - NAMED} more" if len(those) > NAMED else ""
  return f"{len(those)} of {len(found)} recordings are {what}: {names}{more}"


def read_recording(path: str | os.PathLike) -> Recording:
  """Reads a .wav or .flac file.

  Args:
    path: the file; several channels become their mean.

  Raises:
    InputError: if it is flac and the package soundfile is missing.
    ValueError: if it cannot be read or holds no samples, or values out of [-1, 1].
  """
  flac = pathlib.Path(path).suffix.lower() == ".flac"
  values, rate = _read_flac(path) if flac else _read_wav(path)
  wave = _to_wave(values)
  if not len(wave):
    raise ValueError("it has no samples")
  _check_range(wave, "the file")
  return Recording(wave, rate)


def _read_wav(path):
  from scipy.io import wavfile

  try:
    rate, values = wavfile.read(path)
  except (OSError, MemoryError):
    raise
  except Exception as error:  # scipy raises half a dozen types for broken headers
    raise ValueError(f"no sound can be read: {error}") from error
  if rate < 1:
    raise ValueError(f"its header says {rate} samples a second")
  return values, rate


def _read_flac(path):
  try:
    import soundfile
  except ImportError as error:
    raise InputError(
      f"{path} is flac, which needs the package soundfile: pip install jaxssl[audio]"
    ) from error
  return soundfile.read(path, dtype="float32")


def _to_wave(values):
  """Samples [n] or [n, channels] of any type of wav -> float32 [n]."""
  scale = {"uint8": 2**7, "int16": 2**15, "int32": 2**31}.get(values.dtype.name, 1)
  offset = 128.0 if values.dtype == np.uint8 else 0.0
  wave = (values.astype(np.float64) - offset) / scale
  return (wave.mean(1) if wave.ndim == 2 else wave).astype(np.float32)


def _folder(root, form, resident_bytes):
  train_root, test_root = folders._split_folders(root)
  train = _list_recordings(train_root)
  test = _list_recordings(test_root) if test_root else None
  if test:
    folders._check_classes(train, test)
  found: list[_Found] = []
  read = lambda listing: _read_split(
    listing, train.classes, form, found, resident_bytes
  )
  sources = read(train), read(test) if test else None
  name = root.resolve().name
  _say(name, form, found)
  return DataSet(name, *sources, train.classes)


def _list_recordings(root):
  """Finds the recordings below `root`, an InputError if there are none."""
  files = sorted(folders._walk(root))
  paths = [f for f in files if f.lower().endswith(EXTENSIONS)]
  if not paths:
    raise InputError(
      f"no recordings in {root}: found {folders._count_extensions(files)}; recordings"
      f" end in {', '.join(EXTENSIONS)}"
    )
  labelled = all("/" in f for f in paths)
  classes = sorted({f.split("/")[0] for f in paths}) if labelled else []
  return folders.Listing(root, paths, tuple(classes))


def _read_split(listing, classes, form, found, resident_bytes):
  """Reads every file once; keeps the waves where they fit, else reads them again."""
  resident = 4 * len(listing.paths) * form.samples <= resident_bytes

  def visit(path):
    try:
      recording = read_recording(listing.root / path)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
      if isinstance(error, InputError) and "soundfile" in str(error):
        raise
      return " ".join(str(error).split()) or type(error).__name__
    length = len(recording.wave) / recording.rate
    wave = fit_wave(recording, form) if resident else None
    return _Found(path, recording.rate, length), wave

  results = _visit_all(visit, listing.paths)
  keep = [i for i, result in enumerate(results) if not isinstance(result, str)]
  pairs = zip(listing.paths, results, strict=True)
  skipped = tuple(f"{path}: {r}" for path, r in pairs if isinstance(r, str))
  if not keep:
    raise InputError(
      f"none of the {len(listing.paths)} recordings in {listing.root} can be read; the"
      f" first: {skipped[0]}"
    )
  found.extend(results[i][0] for i in keep)
  files = tuple(listing.paths[i] for i in keep)
  labels = folders._labels(listing, classes, keep)
  if resident:
    waves = np.stack([results[i][1] for i in keep])
    return ArraySource(folders._batch(waves, labels), skipped, files)
  read = functools.partial(_read_again, listing.root, files, labels, form)
  return LazySource(read, len(files), skipped, files)


def _visit_all(visit, paths):
  """Calls `visit` for each path, in threads."""
  with whole_recordings(), ThreadPoolExecutor(threads()) as pool:
    return list(pool.map(visit, paths))


@contextlib.contextmanager
def whole_recordings() -> Iterator[None]:
  """Inside, a .wav that is cut short cannot be read; it is for one thread to enter."""
  from scipy.io.wavfile import WavFileWarning

  with warnings.catch_warnings():
    warnings.simplefilter("ignore", WavFileWarning)  # chunks that are not sound
    warnings.filterwarnings("error", "Reached EOF", WavFileWarning)
    yield


def _read_again(root, files, labels, form, indices):
  try:
    waves = [fit_wave(read_recording(root / files[i]), form) for i in indices]
  except ValueError as error:
    raise InputError(
      f"a file of {root} could be read when the folder was opened and cannot be any"
      f" more: {error}"
    ) from error
  return folders._batch(np.stack(waves), labels[indices])


def _npz(path, form, hold_out):
  """Opens an .npz of ragged recordings; see `open_audio`."""
  arrays = _load(path)
  recordings = _cut(arrays, path)
  labels = _per_recording(arrays, "label", len(recordings), path)
  test = _test_rows(arrays, len(recordings), hold_out, path)
  waves = np.stack([fit_wave(r, form) for r in recordings])
  numbers = [f"number {i}" for i in range(len(recordings))]
  lengths = [len(r.wave) / r.rate for r in recordings]
  rates = [r.rate for r in recordings]
  _say(path.stem, form, list(map(_Found, numbers, rates, lengths)))
  data = {"input": waves}
  if labels is not None:
    data["label"] = labels.astype(np.int32)
  pick = lambda rows: ArraySource({name: x[rows] for name, x in data.items()})
  sources = pick(~test), pick(test) if test.any() else None
  return DataSet(path.stem, *sources, _class_names(arrays, labels, path))


def _load(path):
  if not path.is_file() or not zipfile.is_zipfile(path):
    raise InputError(f"there is no .npz file {path} (written by numpy.savez)")
  with np.load(path) as archive:
    missing = {"audio", "offsets", "sample_rate"} - set(archive.files)
    if missing:
      raise InputError(
        f"{path} has no {', '.join(sorted(missing))}; it has"
        f" {', '.join(archive.files) or 'nothing'}. Recordings are `audio` (all in a"
        " row), `offsets` (n + 1) and `sample_rate`."
      )
    return {name: _read(archive, name, path) for name in archive.files}


def _cut(arrays, path):
  """Cuts `audio` at `offsets`, with all that can be wrong about them."""
  audio, offsets, rate = (arrays[n] for n in ("audio", "offsets", "sample_rate"))
  if audio.ndim != 1 or audio.dtype.name not in ("int16", "float32", "float64"):
    raise InputError(
      f"'audio' of {path} is {audio.dtype} {audio.shape}; it is int16, or float in"
      " [-1, 1], all recordings in one row."
    )
  if offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
    raise InputError(
      f"'offsets' of {path} must be integers [n + 1] for n recordings; they are"
      f" {offsets.dtype} {offsets.shape}."
    )
  offsets = offsets.astype(np.int64)
  if offsets[0] < 0 or offsets[-1] > len(audio) or (np.diff(offsets) < 1).any():
    raise InputError(
      f"'offsets' of {path} must ascend from 0 to at most {len(audio)}, the samples"
      " there are, and leave no recording empty."
    )
  wave, rate = _to_wave(audio), int(rate)
  if rate < 1:
    raise InputError(f"'sample_rate' of {path} is {rate}; it is samples a second.")
  _check_range(wave, f"'audio' of {path}")
  bounds = itertools.pairwise(offsets)
  return [Recording(wave[start:stop], rate) for start, stop in bounds]


def _per_recording(arrays, name, count, path):
  """Returns the array `name`, one entry a recording, or None if there is none."""
  values = arrays.get(name)
  if values is None:
    return None
  if values.shape != (count,):
    raise InputError(
      f"'{name}' of {path} has shape {values.shape}; there are {count} recordings."
    )
  if name == "label" and (values.dtype.kind not in "iu" or values.min() < 0):
    raise InputError(f"'label' of {path} must be integers from 0.")
  return values


def _test_rows(arrays, count, hold_out, path):
  """Which recordings are the test split, bool [count]."""
  if not hold_out:
    test = _per_recording(arrays, "is_test", count, path)
    test = np.zeros(count, bool) if test is None else test.astype(bool)
  else:
    speakers = _per_recording(arrays, "speaker", count, path)
    known = () if speakers is None else tuple(np.unique(speakers).astype(str))
    for name in hold_out:
      if name not in known:
        raise InputError(
          f"{path} has no speaker '{name}'; it has {', '.join(known) or 'none named'}."
          f"{nearest(name, known)}"
        )
    test = np.isin(speakers, list(hold_out))
  if test.all():
    raise InputError(f"every recording of {path} is in the test split; none is left.")
  return test


def _class_names(arrays, labels, path):
  count = 0 if labels is None else int(labels.max()) + 1
  names = arrays.get("class_names", np.arange(count)).astype(str)
  if len(names) < count:
    raise InputError(
      f"{path} has {len(names)} class names but labels up to {count - 1}."
    )
  return tuple(names.tolist())
