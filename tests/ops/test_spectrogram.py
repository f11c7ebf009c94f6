"""Spectra against torch.stft, mel bands against a slow loop, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import InputError
from jaxssl.ops import LogMel, as_pictures, cut_frames, log_mel, mel_bank, stft
from jaxssl.ops.spectrogram import hertz_to_mel, mel_to_hertz
from tests import golden

BANK = ("rate", "fft", "bands", "low", "high", "scale", "equal_area")
CASES = golden.load("log_mel")
cases = pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))


def assert_close(got, case, name):
  atol, rtol = case.tolerance[name]
  np.testing.assert_allclose(got, case.outputs[name], atol=atol, rtol=rtol)


def seconds(case):
  """The case's options as `log_mel` takes them: window and hop in seconds."""
  options = {n: case.options[n] for n in (*BANK, "power", "floor")}
  rate = options["rate"]
  return options | {
    "window": case.options["length"] / rate,
    "hop": case.options["hop"] / rate,
  }


@cases
def test_stft_is_that_of_torch(case):
  sizes = {n: case.options[n] for n in ("length", "hop", "fft")}
  got = np.abs(stft(jnp.asarray(case.inputs["wave"]), **sizes))
  assert_close(got, case, "magnitude")


@cases
def test_mel_bank_is_that_of_the_slow_loop(case):
  assert_close(mel_bank(**{n: case.options[n] for n in BANK}), case, "bank")


@cases
def test_log_mel_is_that_of_the_reference(case):
  got = jax.jit(lambda x: log_mel(x, **seconds(case)))(case.inputs["wave"])
  assert_close(got, case, "log_mel")


def test_a_batch_is_its_rows():
  waves = jax.random.normal(jax.random.key(0), (2, 3, 400))
  options = {"rate": 8000, "bands": 8}
  rows = [[log_mel(x, **options) for x in block] for block in waves]
  np.testing.assert_allclose(log_mel(waves, **options), jnp.array(rows), atol=1e-5)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_inverses(scale):
  hertz = np.linspace(0.0, 8000.0, 50)
  back = mel_to_hertz(hertz_to_mel(hertz, scale=scale), scale=scale)
  np.testing.assert_allclose(back, hertz, atol=1e-8)
  assert float(hertz_to_mel(1000.0, scale=scale)) == pytest.approx(
    {"htk": 1000.0, "slaney": 15.0}[scale], abs=0.1
  )


def test_a_tone_is_loudest_in_its_band():
  time = jnp.arange(4000) / 8000
  spectrum = log_mel(jnp.sin(2 * jnp.pi * 1000.0 * time), rate=8000, bands=20)
  peak = hertz_to_mel(np.array([60.0, 1000.0, 4000.0]), scale="htk")
  expected = (peak[1] - peak[0]) / (peak[2] - peak[0]) * 21 - 1
  assert abs(int(spectrum.mean(0).argmax()) - expected) <= 1.0


def test_silence_has_a_finite_gradient():
  grad = jax.grad(lambda x: log_mel(x, rate=1000, bands=4).sum())(jnp.zeros(100))
  assert np.isfinite(grad).all()


def test_front_fills_frames_and_fits():
  waves = 0.1 * np.random.default_rng(0).standard_normal((4, 270)).astype(np.float32)
  front = LogMel(rate=1000, bands=8, window=0.032, hop=0.016, low=20.0, multiple=4)
  assert front(waves).shape == (4, 16, 8, 1)
  np.testing.assert_allclose(front(waves)[:, -1], np.log(1e-5), rtol=1e-6)
  fitted = front.fitted(waves)
  images = np.asarray(fitted(waves))
  assert images.mean() == pytest.approx(0.0, abs=1e-4)
  assert images.std() == pytest.approx(0.5, abs=1e-4)
  np.testing.assert_allclose(fitted(waves[0]), images[0], atol=1e-5)
  assert hash(fitted) == hash(front.fitted(waves))


def test_span_counts_from_the_loudest():
  waves = 0.1 * np.random.default_rng(0).standard_normal((2, 270)).astype(np.float32)
  waves[:, 200:] = 0.0
  options = {"rate": 1000, "bands": 8, "window": 0.032, "hop": 0.016, "low": 20.0}
  front = LogMel(**options, span=3.0, multiple=4)
  images = np.asarray(front(waves))
  assert images.max() == 0.0 and images.min() == -3.0
  np.testing.assert_array_equal(images[:, 13:], -3.0)  # padded, or filled frames
  np.testing.assert_allclose(
    LogMel(**options, span=3.0, multiple=4)(9 * waves), images, atol=1e-5
  )
  plain = np.asarray(LogMel(**options, multiple=4)(waves))
  close = plain > plain.max((1, 2, 3), keepdims=True) - 3.0
  loudest = np.broadcast_to(plain.max((1, 2, 3), keepdims=True), plain.shape)
  np.testing.assert_allclose(images[close], (plain - loudest)[close], atol=1e-5)


def test_pictures_have_time_to_the_right_and_high_bands_on_top():
  picture = as_pictures(jnp.array([[-1.0, 0.0], [0.5, 1.0], [-9.0, 9.0]])[..., None])
  expected = [[0.5, 1.0, 1.0], [0.0, 0.75, 0.0]]
  np.testing.assert_array_equal(picture[..., 0], expected)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"rate": 8000, "bands": 8, "window": 0.2}, "shorter than a frame"),
    ({"rate": 8000, "bands": 8, "high": 5000.0}, "high <= 4000"),
    ({"rate": 8000, "bands": 200}, "hold no frequency"),
    ({"rate": 8000, "bands": 8, "scale": "slany"}, "Did you mean 'slaney'"),
    ({"rate": 8000, "bands": 8, "power": 3}, "allowed are 1"),
    ({"rate": 8000, "bands": 8, "fft": 128}, "shorter than the window"),
    ({"rate": 8000, "bands": 8, "hop": 0.0}, "at least 1"),
    ({"rate": 1, "bands": 8}, "from 60 to 0.5 Hz of waves with 1 samples a second"),
  ],
)
def test_bad_input(options, message):
  with pytest.raises(InputError, match=message):
    log_mel(jnp.zeros(1000), **options)


def test_silence_cannot_be_fitted():
  with pytest.raises(InputError, match="silence"):
    LogMel(rate=1000, bands=4).fitted(np.zeros((2, 100), np.float32))


def test_frames_leave_out_what_fills_none():
  frames = cut_frames(jnp.arange(10.0), length=4, hop=3)
  np.testing.assert_array_equal(frames[:, 0], [0.0, 3.0, 6.0])
