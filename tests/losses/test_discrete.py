"""The losses of the discrete VAE against numbers worked out otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError


def test_the_kl_of_uniform_codes_is_0_and_of_one_code_ln_of_all():
  np.testing.assert_allclose(losses.code_kl(jnp.full((2, 3, 8), 5.0)), 0, atol=1e-6)
  alone = 1e4 * jnp.eye(8)[:2]
  np.testing.assert_allclose(losses.code_kl(alone), np.log(8), rtol=1e-6)


def test_the_kl_equals_the_sum_over_codes():
  logits = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
  q = np.exp(np.float64(logits))
  q /= q.sum(1, keepdims=True)
  expected = [sum(p * np.log(p * 6) for p in row) for row in q]
  np.testing.assert_allclose(losses.code_kl(logits), expected, rtol=1e-5)
  half = losses.code_kl(jnp.asarray(logits, jnp.bfloat16))
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half, expected, rtol=0.05)


def test_the_logit_laplace_is_a_density():
  """Its exponential integrates to 1 over (0, 1), whatever location and scale."""
  x = (np.arange(200_000) + 0.5) / 200_000
  pixels = jnp.asarray((x - 0.1) / 0.8, jnp.float32)
  for location, log_scale in ((0.0, 0.0), (0.7, -1.0), (-1.0, 0.2)):
    shape = pixels.shape
    minus_log = losses.logit_laplace(
      jnp.full(shape, location), jnp.full(shape, log_scale), pixels
    )
    np.testing.assert_allclose(np.exp(-np.float64(minus_log)).mean(), 1, atol=0.02)


def test_the_logit_laplace_of_the_paper():
  pixel, location, scale = 0.3, 0.4, 0.5
  x = 0.8 * pixel + 0.1
  distance = abs(np.log(x / (1 - x)) - location)
  expected = distance / scale + np.log(2 * scale * x * (1 - x))
  got = losses.logit_laplace(*map(jnp.float32, (location, np.log(scale), pixel)))
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_likeliest_image_is_the_image():
  image = jnp.linspace(0.0, 1.0, 11)
  x = 0.8 * image + 0.1
  location = jnp.log(x / (1.0 - x))
  np.testing.assert_allclose(losses.logit_laplace_image(location), image, atol=1e-5)
  slope = jax.grad(lambda a: losses.logit_laplace(a, jnp.zeros(11), image).sum())
  assert (slope(location + 0.1) > 0).all() and (slope(location - 0.1) < 0).all()


def test_bad_input_is_refused():
  with pytest.raises(InputError, match="2 codes"):
    losses.code_kl(jnp.zeros((3, 1)))
  with pytest.raises(AssertionError):
    losses.logit_laplace(jnp.zeros(3), jnp.zeros(2), jnp.zeros(3))
