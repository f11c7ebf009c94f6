"""Corruptions: shares, ranges, what stays, names."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import COLOR, GRAY

KEYS = jax.random.split(jax.random.key(0), 64)
GREY = np.full((16, 16, 3), 0.3, np.float32)


def many(name, amount, image=GREY):
  corrupt = augment.corruption(name, amount=amount)
  return np.asarray(jax.jit(jax.vmap(corrupt, (0, None)))(KEYS, image))


def near(share, expected):
  return abs(share - expected) < 5 * np.sqrt(0.25 / (64 * 256))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_masking_noise_has_its_share_and_is_not_rescaled(share):
  made = many("masking", share)
  assert near((made == 0.0).mean(), share)
  np.testing.assert_array_equal(made[made != 0.0], np.float32(0.3))


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_salt_and_pepper_are_equal_shares(share):
  made = many("salt_and_pepper", share)
  assert near((made == 1.0).mean(), share / 2)
  assert near((made == 0.0).mean(), share / 2)
  kept = made[(made != 0.0) & (made != 1.0)]
  np.testing.assert_array_equal(kept, np.float32(0.3))


@pytest.mark.parametrize("name", ["masking", "salt_and_pepper"])
def test_a_pixel_is_corrupted_in_all_channels(name):
  made = many(name, 0.5)
  hit = made != np.float32(0.3)
  np.testing.assert_array_equal(hit.any(-1), hit.all(-1))


def test_gaussian_noise_has_its_deviation():
  made = many("gaussian", 0.05)
  np.testing.assert_allclose(made.std(), 0.05, rtol=0.02)
  np.testing.assert_allclose(made.mean(), 0.3, atol=0.002)


@pytest.mark.parametrize("name", augment.CORRUPTIONS)
@pytest.mark.parametrize("image", [COLOR, GRAY])
def test_images_stay_images(name, image):
  made = many(name, 0.9, image)
  assert made.shape == (64, *image.shape) and made.dtype == np.float32
  assert made.min() >= 0.0 and made.max() <= 1.0


@pytest.mark.parametrize("name", augment.CORRUPTIONS)
def test_nothing_is_corrupted_by_0(name):
  np.testing.assert_array_equal(many(name, 0.0, COLOR), np.stack([COLOR] * 64))


def test_everything_is_masked_by_1():
  np.testing.assert_array_equal(many("masking", 1.0), 0.0)


@pytest.mark.parametrize("name", augment.CORRUPTIONS)
def test_a_row_depends_on_its_key_alone(name):
  corrupt = augment.corruption(name, amount=0.5)
  batch = many(name, 0.5, COLOR)
  np.testing.assert_allclose(batch[3], corrupt(KEYS[3], COLOR), atol=1e-6)
  assert len(np.unique(batch.reshape(64, -1), axis=0)) == 64


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (partial(augment.corruption, "maskin", amount=0.5), "Did you mean 'masking'"),
    (partial(augment.corruption, "xyzzy", amount=0.5), "There are: gaussian"),
    (partial(augment.corruption, "gaussian", amount=-0.1), "0 or more"),
    (partial(augment.corruption, "gaussian", amount=float("nan")), "0 or more"),
    (partial(augment.corruption, "masking", amount=1.5), "from 0 to 1"),
    (partial(augment.corruption, "salt_and_pepper", amount=-0.1), "from 0 to 1"),
    (partial(augment.masking_noise, KEYS[0], GRAY, share=2.0), "from 0 to 1"),
    (partial(augment.salt_and_pepper, KEYS[0], GRAY, share=2.0), "from 0 to 1"),
    (partial(augment.masking_noise, KEYS[0], jnp.ones((2, 4)), share=0.5), "shape"),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(InputError, match=message):
    call()
