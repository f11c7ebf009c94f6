"""Spectra of waves: short-time Fourier transform, mel bands, their logarithm.

Lengths are in samples where they are integers and in seconds where they are floats.
Everything works on one wave [samples] or on any batch of them [..., samples].
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError, nearest

SCALES = ("htk", "slaney")
BEND = 1000.0  # hertz: Slaney's scale is linear below and logarithmic above
LINEAR = 200.0 / 3.0  # hertz a mel of Slaney's below the bend
LOG_STEP = math.log(6.4) / 27.0  # Slaney's above the bend, a mel


def cut_frames(wave: jax.Array, *, length: int, hop: int) -> jax.Array:
  """Cuts waves into frames that overlap; samples that fill no frame are left out.

  Args:
    wave: [..., samples].
    length: samples of a frame.
    hop: samples from the start of a frame to that of the next.

  Returns:
    [..., frames, length], frames = 1 + (samples - length) // hop.

  Raises:
    InputError: if the wave is shorter than a frame.
  """
  count = frame_count(wave.shape[-1], length=length, hop=hop)
  places = hop * np.arange(count)[:, None] + np.arange(length)
  return wave[..., places]


def frame_count(samples: int, *, length: int, hop: int) -> int:
  """Returns how many frames `cut_frames` makes of so many samples.

  Raises:
    InputError: if there is none.
  """
  if length < 1 or hop < 1:
    raise InputError(
      f"Frames of {length} samples every {hop}: both must be at least 1."
    )
  if samples < length:
    raise InputError(
      f"A wave of {samples} samples is shorter than a frame of {length} samples; take"
      " longer waves or shorter frames."
    )
  return 1 + (samples - length) // hop


def heard_samples(wave: jax.Array) -> jax.Array:
  """Returns how many samples there are before the zeros at the end, int32 [...].

  Args:
    wave: [..., samples].
  """
  places = 1 + jnp.arange(wave.shape[-1])
  return jnp.max(jnp.where(wave != 0.0, places, 0), axis=-1)


def stft(wave: jax.Array, *, length: int, hop: int, fft: int) -> jax.Array:
  """Short-time Fourier transform with a periodic Hann window, without padding.

  Args:
    wave: [..., samples], float.
    length: samples of the window.
    hop: samples from window to window.
    fft: points of the transform, at least `length`; zeros follow the window.

  Returns:
    Complex [..., frames, fft // 2 + 1].

  Raises:
    InputError: if the wave is shorter than the window, or the transform is.
  """
  if fft < length:
    raise InputError(
      f"A transform of {fft} points is shorter than the window of {length} samples."
    )
  frames = cut_frames(wave.astype(jnp.float32), length=length, hop=hop)
  angles = 2.0 * np.pi * np.arange(length) / length
  window = (0.5 - 0.5 * np.cos(angles)).astype(np.float32)
  shape = (1,) * (frames.ndim - 1) + (length,)
  return jnp.fft.rfft(frames * window.reshape(shape), n=fft, axis=-1)


def hertz_to_mel(hertz: np.ndarray, *, scale: str) -> np.ndarray:
  """Pitch in mels: "htk" 2595 log10(1 + f / 700); "slaney" linear up to 1 kHz."""
  _check_scale(scale)
  hertz = np.asarray(hertz, np.float64)
  if scale == "htk":
    return 2595.0 * np.log10(1.0 + hertz / 700.0)
  above = BEND / LINEAR + np.log(np.maximum(hertz, BEND) / BEND) / LOG_STEP
  return np.where(hertz < BEND, hertz / LINEAR, above)


def mel_to_hertz(mel: np.ndarray, *, scale: str) -> np.ndarray:
  """The inverse of `hertz_to_mel`."""
  _check_scale(scale)
  mel = np.asarray(mel, np.float64)
  if scale == "htk":
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
  bend = BEND / LINEAR
  above = BEND * np.exp(LOG_STEP * (np.maximum(mel, bend) - bend))
  return np.where(mel < bend, mel * LINEAR, above)


def _check_scale(scale):
  if scale not in SCALES:
    raise InputError(
      f"There is no mel scale '{scale}'; allowed are {', '.join(SCALES)}."
      f"{nearest(scale, SCALES)}"
    )


@functools.lru_cache(maxsize=32)
def mel_bank(
  *,
  rate: int,
  fft: int,
  bands: int,
  low: float,
  high: float,
  scale: str = "htk",
  equal_area: bool = False,
) -> np.ndarray:
  """Triangles that overlap by half, their corners equally spaced in mels.

  Args:
    rate: samples a second.
    fft: points of the transform.
    bands: number of triangles.
    low: hertz where the first begins.
    high: hertz where the last ends, at most half of `rate`.
    scale: "htk" or "slaney".
    equal_area: whether a triangle has area 1 in hertz (librosa's default); else its
      peak is 1 (HTK's).

  Returns:
    float32 [fft // 2 + 1, bands], not writable.

  Raises:
    InputError: for frequencies that the rate does not have, or bands so narrow that
      some hold no frequency of the transform.
  """
  if not 0.0 <= low < high <= rate / 2:
    raise InputError(
      f"Mel bands from {low:g} to {high:g} Hz of waves with {rate} samples a second;"
      f" allowed is 0 <= low < high <= {rate / 2:g}."
    )
  ends = hertz_to_mel(np.array([low, high]), scale=scale)
  corners = mel_to_hertz(np.linspace(*ends, bands + 2), scale=scale)
  hertz = np.linspace(0.0, rate / 2, fft // 2 + 1)[:, None]
  left, middle, right = corners[:-2], corners[1:-1], corners[2:]
  rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
  bank = np.maximum(0.0, np.minimum(rising, falling))
  _check_bands(bank, fft)
  bank = (bank * 2.0 / (right - left) if equal_area else bank).astype(np.float32)
  bank.flags.writeable = False
  return bank


def _check_bands(bank, fft):
  empty = np.flatnonzero(~bank.any(axis=0))
  if len(empty):
    raise InputError(
      f"{len(empty)} of {bank.shape[1]} mel bands (the first: {empty[0]}) hold no"
      f" frequency of a transform of {fft} points; take fewer bands or a longer one."
    )


def log_mel(
  wave: jax.Array,
  *,
  rate: int,
  bands: int,
  window: float = 0.025,
  hop: float = 0.01,
  fft: int | None = None,
  low: float = 60.0,
  high: float | None = None,
  power: int = 1,
  scale: str = "htk",
  equal_area: bool = False,
  floor: float = 1e-5,
) -> jax.Array:
  """Natural logarithm of the energy in mel bands.

  With 64 bands from 60 to 7800 Hz, a transform of 1024 points and the defaults it is
  the input of COLA (arXiv 2010.10915) at 16 kHz.

  Args:
    wave: [..., samples] in [-1, 1].
    rate: samples a second.
    bands: number of mel bands.
    window: seconds of a frame.
    hop: seconds from frame to frame.
    fft: points of the transform; None: the power of 2 from the window's samples on.
    low: hertz where the first band begins.
    high: hertz where the last ends; None: half of `rate`.
    power: 1: bands of magnitudes; 2: of their squares.
    scale: "htk" or "slaney".
    equal_area: as in `mel_bank`.
    floor: what is less counts as this much.

  Returns:
    float32 [..., frames, bands].

  Raises:
    InputError: for a wave shorter than a frame, a power other than 1 and 2, or what
      `mel_bank` refuses.
  """
  if power not in (1, 2):
    raise InputError(f"power is {power}; allowed are 1 (magnitudes) and 2 (squares).")
  length, step = frame_samples(rate, window=window, hop=hop)
  fft = fft or 2 ** math.ceil(math.log2(max(length, 1)))
  high = rate / 2 if high is None else high
  bank = mel_bank(
    rate=rate,
    fft=fft,
    bands=bands,
    low=low,
    high=high,
    scale=scale,
    equal_area=equal_area,
  )
  spectrum = stft(wave, length=length, hop=step, fft=fft)
  energy = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
  if power == 1:
    energy = jnp.sqrt(jnp.maximum(energy, 1e-20))  # 0 has no gradient
  mel = jnp.matmul(energy, bank, precision=jax.lax.Precision.HIGHEST)
  return jnp.log(jnp.maximum(mel, floor))


def frame_samples(rate: int, *, window: float, hop: float) -> tuple[int, int]:
  """Returns window and hop, which are seconds, in samples."""
  return round(window * rate), round(hop * rate)


@dataclasses.dataclass(frozen=True)
class LogMel:
  """Waves to images: what stands in front of an encoder of images.

  `LogMel(rate=8000)(wave)` is [..., frames, bands, 1] of `wave` [..., samples].

  Attributes:
    rate: samples a second.
    bands: number of mel bands, the image's width.
    window: seconds of a frame.
    hop: seconds from frame to frame.
    fft: as in `log_mel`, like those that follow.
    low: hertz where the first band begins.
    high: hertz where the last ends.
    power: 1: bands of magnitudes; 2: of their squares.
    scale: "htk" or "slaney".
    floor: what is less counts as this much.
    multiple: frames are added at the end, silent ones, until their number is a
      multiple of this: for patches.
    span: None, or logarithms count from a wave's loudest one, and what lies more than
      so much below it lies there: neither loudness nor the zeros behind a short wave
      count then. 9.2 are 80 dB, as in Whisper's code (arXiv 2212.04356).
    mean: is taken off the logarithms.
    spread: divides them then.
  """

  rate: int
  bands: int = 64
  window: float = 0.025
  hop: float = 0.01
  fft: int | None = None
  low: float = 60.0
  high: float | None = None
  power: int = 1
  scale: str = "htk"
  floor: float = 1e-5
  multiple: int = 1
  span: float | None = None
  mean: float = 0.0
  spread: float = 1.0

  def __call__(self, wave: jax.Array) -> jax.Array:
    """Maps waves [..., samples] to images, float32 [..., frames, bands, 1]."""
    own = ("multiple", "span", "mean", "spread")
    options = {n: v for n, v in dataclasses.asdict(self).items() if n not in own}
    x, silence = log_mel(wave, **options), math.log(self.floor)
    if self.span is not None:
      loudest = x.max(axis=(-2, -1), keepdims=True)
      x, silence = jnp.maximum(x - loudest, -self.span), -self.span
    missing = -x.shape[-2] % self.multiple
    pads = [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)]
    x = jnp.pad(x, pads, constant_values=silence)
    return ((x - self.mean) / self.spread)[..., None]

  def fitted(self, waves: np.ndarray) -> "LogMel":
    """Returns this so that images of such waves have mean 0 and deviation 0.5.

    As in Audio-MAE (arXiv 2207.06405).

    Args:
      waves: [n, samples]; some hundreds of a data set are enough.

    Raises:
      InputError: if they have one and the same value everywhere, as silence does.
    """
    plain = dataclasses.replace(self, mean=0.0, spread=1.0)
    values = np.asarray(jax.jit(plain)(waves), np.float64)
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation > 0.0:
      raise InputError("These waves have one and the same spectrum, as silence does.")
    return dataclasses.replace(self, mean=mean, spread=2.0 * deviation)


def as_pictures(images: jax.Array) -> jax.Array:
  """Spectrograms as people draw them: time to the right, high bands on top.

  Args:
    images: [..., frames, bands, channels], of a fitted `LogMel`: -1 becomes black, 1
      white.

  Returns:
    [..., bands, frames, channels] in [0, 1].
  """
  turned = jnp.flip(jnp.swapaxes(images, -3, -2), axis=-3)
  return jnp.clip(0.5 + 0.5 * turned, 0.0, 1.0)
