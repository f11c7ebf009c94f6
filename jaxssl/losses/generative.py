"""Losses of autoencoders, VAEs and adversarial games.

Reconstructions are summed over the pixels of an example, and the Gaussian KL over its
dimensions, so that both are in nats: with a mean over pixels, a weight of 1 on the KL
would be that of the number of pixels, and the posterior would collapse. All sums are
in float32. Nothing is detached: stop gradients where the method does.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_paired, check_positive


def gaussian_kl(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL divergence of a diagonal Gaussian from the standard one.

  Kingma and Welling 2013, arXiv:1312.6114, appendix B: half the sum over dimensions of
  `mean^2 + variance - 1 - log variance`.

  Args:
    mean: [batch, dim].
    log_variance: [batch, dim].

  Returns:
    One value per row, [batch], in nats, summed over the dimensions.

  Raises:
    InputError: on other ranks or unequal shapes.
  """
  return jnp.sum(gaussian_kl_terms(mean, log_variance), axis=1)


def gaussian_kl_terms(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """`gaussian_kl` of each dimension by itself, [batch, dim], in nats."""
  check_paired(mean=mean, log_variance=log_variance)
  mean, log_variance = (x.astype(jnp.float32) for x in (mean, log_variance))
  # expm1: near N(0, 1) variance - 1 cancels the log of the variance
  return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)


def free_bits(kl: jax.Array, *, least: float) -> jax.Array:
  """The KL of a batch, of which each dimension has `least` nats for free.

  Kingma et al. 2016, arXiv:1606.04934, appendix C.8: the sum over dimensions of
  `max(least, mean over the batch of the dimension's KL)`. A dimension at its floor
  has no gradient. The floor counts in the value, as in the paper.

  Args:
    kl: of each row and dimension, [batch, dim] (`gaussian_kl_terms`).
    least: nats per dimension, 0 or more.

  Returns:
    A scalar.

  Raises:
    InputError: on another rank, or if `least` is negative.
  """
  chex.assert_rank(kl, 2, exception_type=InputError)
  check_free_bits(least)
  mean = jnp.mean(kl.astype(jnp.float32), axis=0)
  return jnp.sum(jnp.where(mean > least, mean, least))


def check_free_bits(least: float) -> None:
  """Raises InputError if the floor of a dimension's KL is negative."""
  if not least >= 0.0:
    raise InputError(f"free bits of {least}; pass 0 or more nats per dimension.")


def bernoulli_reconstruction(logits: jax.Array, target: jax.Array) -> jax.Array:
  """Minus the log-likelihood of pixels in [0, 1] under independent Bernoullis.

  arXiv:1312.6114, appendix C.1: the sum over all pixels and channels of the binary
  cross-entropy.

  Args:
    logits: of each pixel, [batch, ...].
    target: in [0, 1], of the same shape.

  Returns:
    One value per row, [batch], in nats.

  Raises:
    InputError: on unequal shapes.
  """
  _check_same(logits, target)
  logits, target = (x.astype(jnp.float32) for x in (logits, target))
  return _sum_rows(optax.sigmoid_binary_cross_entropy(logits, target))


def gaussian_reconstruction(
  prediction: jax.Array, target: jax.Array, *, deviation: float
) -> jax.Array:
  """Squared distance over twice the variance, summed over all pixels and channels.

  Minus the log-likelihood under Gaussians of a fixed deviation, up to a constant.

  Args:
    prediction: the means, [batch, ...].
    target: of the same shape.
    deviation: of the pixels, above 0.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on unequal shapes or a deviation that isn't positive.
  """
  check_positive(deviation=deviation)
  return squared_error(prediction, target) / (2.0 * deviation**2)


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Squared distance, summed over all pixels and channels of an example.

  Args:
    prediction: [batch, ...].
    target: of the same shape.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on unequal shapes.
  """
  _check_same(prediction, target)
  prediction, target = (x.astype(jnp.float32) for x in (prediction, target))
  return _sum_rows(jnp.square(prediction - target))


def adversarial_critic(real: jax.Array, fake: jax.Array) -> jax.Array:
  """The critic's loss: real is to be 1, fake 0.

  Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1, as binary cross-entropies of
  logits: the sum of both, 2 ln 2 for a critic that knows nothing. BiGAN's encoder and
  generator minimise the same with the labels flipped (Donahue et al. 2016,
  arXiv:1605.09782, section 3.4), `adversarial_critic(fake, real)`.

  Args:
    real: logits of real examples, [batch].
    fake: logits of made ones, [batch].

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks or unequal shapes.
  """
  _check_logits(real, fake)
  real, fake = (x.astype(jnp.float32) for x in (real, fake))
  return jax.nn.softplus(-real) + jax.nn.softplus(fake)


def adversarial_generator(fake: jax.Array) -> jax.Array:
  """The generator's loss that doesn't saturate, minus the log of D(G(z)).

  arXiv:1406.2661, section 3, in place of the log of 1 - D(G(z)).

  Args:
    fake: the critic's logits of made examples, [batch].

  Returns:
    One value per row, [batch]; ln 2 at a logit of 0.

  Raises:
    InputError: on another rank.
  """
  _check_logits(fake)
  return jax.nn.softplus(-fake.astype(jnp.float32))


def _sum_rows(x):
  return jnp.sum(x, axis=tuple(range(1, x.ndim)))


def _check_same(prediction, target):
  chex.assert_equal_shape(
    [prediction, target],
    custom_message="A reconstruction has the shape of its target",
    exception_type=InputError,
  )


def _check_logits(*logits):
  message = "Pass logits as [batch], one per example"
  for x in logits:
    chex.assert_rank(x, 1, custom_message=message, exception_type=InputError)
  chex.assert_equal_shape(
    list(logits), custom_message=message, exception_type=InputError
  )
