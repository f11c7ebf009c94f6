"""Losses of autoencoders, VAEs and GANs: reference values, loops, exact points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses.common import assert_matches, half, normal

IMAGES = (3, 4, 5, 2)


@pytest.mark.parametrize("case", golden.load("gaussian_kl"), ids=lambda c: c.note[:20])
def test_kl_of_published_implementations(case):
  def mean(mean, log_variance):
    rows = losses.gaussian_kl(mean, log_variance)
    return jnp.mean(rows), rows

  inputs = case.inputs["mean"], case.inputs["log_variance"]
  both = jax.jit(jax.value_and_grad(mean, (0, 1), has_aux=True))
  (value, rows), gradients = both(*inputs)
  got = {"expected_mean": value, "expected_rows": rows}
  got |= {"grad_mean": gradients[0], "grad_log_variance": gradients[1]}
  assert_matches(got, case)


def test_kl_of_the_prior_from_itself_is_0():
  zeros = jnp.zeros((4, 6))
  np.testing.assert_array_equal(losses.gaussian_kl(zeros, zeros), 0.0)


def test_kl_is_a_sum_over_dimensions():
  ones = jnp.ones((2, 6))
  np.testing.assert_allclose(losses.gaussian_kl(ones, 0.0 * ones), 6 * 0.5)
  terms = losses.gaussian_kl_terms(ones, 0.3 * ones)
  np.testing.assert_allclose(losses.gaussian_kl(ones, 0.3 * ones), terms.sum(1))


def test_kl_is_exact_near_the_prior():
  """Half the square of a small log of the variance; 1 - 1 + 1e-4 would lose it."""
  tiny = jnp.full((1, 1), 1e-3)
  kl = losses.gaussian_kl(0.0 * tiny, tiny)
  np.testing.assert_allclose(kl, 0.25e-6, rtol=1e-2)


def test_free_bits_are_of_the_mean_over_the_batch():
  kl = jnp.array([[0.0, 3.0, 0.1], [1.0, 5.0, 0.1]])
  np.testing.assert_allclose(losses.free_bits(kl, least=0.25), 0.5 + 4.0 + 0.25)
  np.testing.assert_allclose(losses.free_bits(kl, least=0.0), kl.mean(0).sum())


def test_a_dimension_at_its_floor_has_no_gradient():
  kl = jnp.array([[0.0, 3.0, 0.25], [0.1, 5.0, 0.25]])
  gradient = jax.grad(lambda x: losses.free_bits(x, least=0.25))(kl)
  np.testing.assert_array_equal(gradient, [[0.0, 0.5, 0.0]] * 2)


def test_bernoulli_is_a_loop_over_pixels():
  logits, target = normal(IMAGES, IMAGES)
  target = 1 / (1 + np.exp(-target))
  p = 1 / (1 + np.exp(-np.float64(logits)))
  pixels = -(target * np.log(p) + (1 - target) * np.log(1 - p))
  expected = [sum(row.ravel()) for row in pixels]
  got = losses.bernoulli_reconstruction(logits, target)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_bernoulli_of_zero_logits_is_ln_2_per_pixel():
  images = jnp.zeros(IMAGES)
  got = losses.bernoulli_reconstruction(images, images + 0.3)
  np.testing.assert_allclose(got, 40 * np.log(2), rtol=1e-6)


def test_bernoulli_is_finite_at_large_logits():
  logits, target = jnp.array([[1e4, -1e4]]), jnp.array([[1.0, 0.0]])
  np.testing.assert_allclose(losses.bernoulli_reconstruction(logits, target), 0.0)
  got = losses.bernoulli_reconstruction(logits, 1.0 - target)
  np.testing.assert_allclose(got, 2e4)


def test_gaussian_is_the_squared_distance_over_twice_the_variance():
  prediction, target = normal(IMAGES, IMAGES)
  square = losses.squared_error(prediction, target)
  expected = [((p - t) ** 2).sum() for p, t in zip(prediction, target, strict=True)]
  np.testing.assert_allclose(square, expected, rtol=1e-5)
  got = losses.gaussian_reconstruction(prediction, target, deviation=0.5)
  np.testing.assert_allclose(got, 2 * square, rtol=1e-6)


def test_a_critic_that_knows_nothing_pays_2_ln_2():
  zeros = jnp.zeros(5)
  np.testing.assert_allclose(losses.adversarial_critic(zeros, zeros), 2 * np.log(2))
  np.testing.assert_allclose(losses.adversarial_generator(zeros), np.log(2))


def test_critic_and_generator_of_logs():
  real, fake = normal((6,), (6,))
  probability = lambda x: 1 / (1 + np.exp(-np.float64(x)))
  critic = -np.log(probability(real)) - np.log(1 - probability(fake))
  np.testing.assert_allclose(losses.adversarial_critic(real, fake), critic, rtol=1e-5)
  generator = -np.log(probability(fake))
  got = losses.adversarial_generator(fake)
  np.testing.assert_allclose(got, generator, rtol=1e-5)


def test_the_generators_gradient_does_not_vanish_where_the_critic_is_sure():
  sure = jnp.array([-20.0])
  gradient = jax.grad(lambda x: losses.adversarial_generator(x).sum())(sure)
  np.testing.assert_allclose(gradient, -1.0, atol=1e-6)


def test_half_precision_sums_in_float32():
  ones = half([np.ones((1, 64, 64, 3)), np.zeros((1, 64, 64, 3))])
  got = losses.squared_error(*ones)
  assert got.dtype == jnp.float32
  np.testing.assert_array_equal(got, 64 * 64 * 3)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: losses.gaussian_kl(jnp.ones(3), jnp.ones(3)), "batch, dim"),
    (lambda: losses.gaussian_kl(jnp.ones((3, 2)), jnp.ones((3, 1))), "same"),
    (lambda: losses.free_bits(jnp.ones((3, 2)), least=-0.1), "free bits"),
    (lambda: losses.free_bits(jnp.ones(3), least=0.1), "rank"),
    (lambda: losses.squared_error(jnp.ones((3, 2)), jnp.ones((3, 1))), "shape"),
    (
      lambda: losses.bernoulli_reconstruction(jnp.ones((3, 2)), jnp.ones((1, 2))),
      "shape",
    ),
    (
      lambda: losses.gaussian_reconstruction(
        jnp.ones((3, 2)), jnp.ones((3, 2)), deviation=0.0
      ),
      "deviation",
    ),
    (lambda: losses.adversarial_critic(jnp.ones(3), jnp.ones(1)), "batch"),
    (lambda: losses.adversarial_generator(jnp.ones((3, 1))), "batch"),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(InputError, match=message):
    call()
