"""Crops, noise, shifts and masks of waves and spectrograms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError

KEY = jax.random.key(0)
WAVE = jnp.concatenate([jnp.linspace(0.1, 0.9, 30), jnp.zeros(20)])
SPECTRUM = jnp.ones((20, 10))


def many(view, x, count=200):
  """`view` of `x` by many keys."""
  return np.asarray(jax.vmap(lambda k: view(k, x))(jax.random.split(KEY, count)))


def test_crops_stay_before_the_zeros():
  crops = many(partial(augment.crop_wave, samples=10), WAVE)
  assert crops.shape == (200, 10) and (crops > 0.0).all()
  starts = np.unique(crops[:, 0])
  np.testing.assert_allclose(starts, np.asarray(WAVE)[:21], rtol=1e-6)


def test_a_crop_longer_than_what_is_heard_is_its_beginning():
  crops = many(partial(augment.crop_wave, samples=40), WAVE, count=5)
  np.testing.assert_array_equal(crops, np.tile(WAVE[:40], (5, 1)))


def test_noise_has_its_deviation():
  made = augment.wave_noise(KEY, jnp.zeros(20_000), deviation=0.1)
  assert float(made.std()) == pytest.approx(0.1, rel=0.05)


def test_shifts_go_round_and_both_ways():
  shifted = many(partial(augment.time_shift, most=2), jnp.arange(5.0))
  assert sorted(np.unique(shifted[:, 0])) == [0.0, 1.0, 2.0, 3.0, 4.0]
  np.testing.assert_array_equal(
    np.sort(shifted, axis=1), np.tile(np.arange(5), (200, 1))
  )


def test_gain_is_even_in_decibels():
  made = many(partial(augment.gain, least=-20.0, most=0.0), jnp.ones(1), count=2000)
  decibels = 20.0 * np.log10(made)
  assert decibels.min() >= -20.01 and decibels.max() <= 0.01
  assert decibels.mean() == pytest.approx(-10.0, abs=0.6)


@pytest.mark.parametrize(
  ("view", "axis"), [(augment.time_mask, 0), (augment.frequency_mask, 1)]
)
def test_masks_cover_whole_lines_and_at_most_their_width(view, axis):
  made = many(partial(view, width=4, fill=-1.0), SPECTRUM)
  lines = np.moveaxis(made, axis + 1, 1)
  hidden = (lines == -1.0).all(axis=2)
  assert (hidden == (lines == -1.0).any(axis=2)).all()
  widths = hidden.sum(axis=1)
  assert sorted(np.unique(widths)) == [0, 1, 2, 3, 4]
  assert hidden.any(axis=0).all()  # every line is hidden by some key
  runs = (np.diff(hidden.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
  assert runs.max() == 1


def test_a_share_bounds_the_time_mask():
  made = many(partial(augment.time_mask, width=100, share=0.2), SPECTRUM)
  assert (made == 0.0).all(axis=2).sum(axis=1).max() == 4


def test_spec_augment_masks_both_ways_and_keeps_channels():
  view = partial(augment.spec_augment, frequency=3, time=5)
  made = many(view, jnp.ones((20, 10, 2)))
  np.testing.assert_array_equal(made[..., 0], made[..., 1])
  assert (made[..., 0] == 0).all(axis=1).any() and (made[..., 0] == 0).all(axis=2).any()
  assert 0.5 < made.mean() < 0.9


def test_altered_frames():
  spectrum = jnp.arange(1.0, 13.0)[:, None, None] * jnp.ones((12, 2, 1))
  mask = jnp.arange(12) < 3
  made = many(lambda k, x: augment.alter_frames(k, x, mask), spectrum, count=1000)
  np.testing.assert_array_equal(made[:, 3:], np.tile(spectrum[3:], (1000, 1, 1, 1)))
  zero = (made[:, :3] == 0.0).all(axis=(1, 2, 3))
  same = (made[:, :3] == np.asarray(spectrum[:3])).all(axis=(1, 2, 3))
  assert zero.mean() == pytest.approx(0.8, abs=0.05)
  assert same.mean() == pytest.approx(0.1, abs=0.04)


def test_altered_frames_are_never_of_padding():
  spectrum = jnp.where(jnp.arange(12) < 7, jnp.arange(1.0, 13.0), -5.0)[:, None, None]
  own, mask = jnp.arange(12) < 7, jnp.arange(12) < 3
  alter = lambda k, x: augment.alter_frames(k, x, mask, own=own)
  made = many(alter, spectrum, count=1000)
  assert set(made[:, :3].ravel()) == set(range(8))  # 0, and the frames 1 to 7
  everywhere = lambda k, x: augment.alter_frames(k, x, mask, own=own | True)
  plain = lambda k, x: augment.alter_frames(k, x, mask)
  np.testing.assert_array_equal(many(everywhere, spectrum), many(plain, spectrum))


def test_views_of_cola_are_two_crops_of_unit_waves():
  anchor, positive = augment.cola_views(samples=10, noise=0.0)(KEY, WAVE)
  loud, _ = augment.cola_views(samples=10, noise=0.0)(KEY, 0.1 * WAVE)
  np.testing.assert_allclose(anchor, loud, rtol=1e-5)
  whole = np.asarray(WAVE) / np.linalg.norm(WAVE)
  for crop in (anchor, positive):
    start = int(np.abs(whole - crop[0]).argmin())
    np.testing.assert_allclose(crop, whole[start : start + 10], rtol=1e-5)
  _, noisy = augment.cola_views(samples=10, noise=0.5)(KEY, WAVE)
  assert np.abs(noisy - positive).max() > 0.1


def test_speed_moves_a_tone_and_keeps_its_beginning():
  tone = jnp.asarray(np.sin(2 * np.pi * 50 * np.arange(1000) / 1000), jnp.float32)
  made = many(lambda k, x: augment.change_speed(k, x, most=1.5), tone)
  # the first 600 samples hold no zeros, whatever the speed
  hertz = np.abs(np.fft.rfft(made[:, :600] * np.hanning(600), 6000)).argmax(1) / 6
  assert 50 / 1.55 < hertz.min() < 37 and 68 < hertz.max() < 1.55 * 50
  np.testing.assert_array_equal(made[:, 0], tone[0])
  same = augment.change_speed(KEY, tone, most=1.0)
  np.testing.assert_allclose(same, tone, atol=1e-5)


def test_crops_of_cola_are_played_at_speeds_of_their_own():
  tone = jnp.asarray(np.sin(2 * np.pi * 50 * np.arange(1000) / 1000), jnp.float32)
  views = augment.cola_views(samples=500, noise=0.0, speed=1.5)
  made = jax.vmap(lambda key: jnp.stack(views(key, tone)))(jax.random.split(KEY, 50))
  hertz = np.abs(np.fft.rfft(made, axis=-1)).argmax(-1)
  assert (hertz[:, 0] != hertz[:, 1]).mean() > 0.5 and np.ptp(hertz) > 10


def test_rolled_view_stays_a_wave():
  made = many(augment.rolled_view(most=12.0), WAVE)
  assert made.shape == (200, 50) and np.abs(made).max() == 1.0


def test_rolled_view_leaves_padding_at_the_end():
  wave = jnp.where(jnp.arange(50) < 20, 0.01 * jnp.arange(1.0, 51.0), 0.0)
  made = np.asarray(many(augment.rolled_view(most=0.0), wave))
  assert (made[:, 20:] == 0.0).all()
  starts = np.round(100 * made[:, 0]).astype(int) - 1
  assert len(set(starts)) == 20
  rolled = np.stack([np.roll(wave[:20], -start) for start in starts])
  np.testing.assert_allclose(made[:, :20], rolled, rtol=1e-6)
  whole = many(augment.rolled_view(most=0.0), wave + 0.1)
  np.testing.assert_allclose(whole.sum(1), (wave + 0.1).sum(), rtol=1e-4)


@pytest.mark.parametrize(
  ("view", "x", "message"),
  [
    (partial(augment.crop_wave, samples=51), WAVE, "no more than there are"),
    (partial(augment.crop_wave, samples=0), WAVE, "at least 1"),
    (partial(augment.wave_noise, deviation=-1.0), WAVE, "0 or more"),
    (partial(augment.time_shift, most=-1), WAVE, "0 or more"),
    (partial(augment.gain, least=1.0, most=0.0), WAVE, "lower first"),
    (partial(augment.time_shift, most=1), SPECTRUM, "jax.vmap"),
    (partial(augment.time_mask, width=-1), SPECTRUM, "width from 0"),
    (partial(augment.time_mask, width=1, share=2.0), SPECTRUM, "0 to 1"),
    (partial(augment.frequency_mask, width=1, count=0), SPECTRUM, "number from 1"),
    (partial(augment.frequency_mask, width=1), WAVE, "A spectrogram is"),
  ],
)
def test_bad_input(view, x, message):
  with pytest.raises(InputError, match=message):
    view(KEY, x)
