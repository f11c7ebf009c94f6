"""Losses of a discrete variational autoencoder: its likelihood and its prior."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

MARGIN = 0.1  # DALL-E's epsilon: pixels are mapped to [MARGIN, 1 - MARGIN]


def code_kl(logits: jax.Array) -> jax.Array:
  """Divergence of a categorical distribution from the uniform one, in nats.

  Ramesh et al., arXiv 2102.12092, section 2.1: `ln(vocabulary) - entropy`, 0 for equal
  logits and `ln(vocabulary)` for one code alone.

  Args:
    logits: [..., vocabulary].

  Returns:
    float32 [...].

  Raises:
    InputError: for a vocabulary of fewer than 2.
  """
  if logits.ndim < 1 or logits.shape[-1] < 2:
    raise InputError(
      f"`logits` must be [..., vocabulary], 2 codes or more; got shape {logits.shape}."
    )
  log_q = jax.nn.log_softmax(logits.astype(jnp.float32))
  return jnp.sum(jnp.exp(log_q) * log_q, axis=-1) + jnp.log(float(logits.shape[-1]))


def logit_laplace(
  location: jax.Array, log_scale: jax.Array, image: jax.Array
) -> jax.Array:
  """Minus the log-density of pixels under DALL-E's logit-Laplace, in nats.

  Ramesh et al., arXiv 2102.12092, appendix A.3: the logit of a pixel is
  Laplace-distributed, so that all mass is on values that pixels can have. Pixels are
  mapped to `x = 0.8 * pixel + 0.1` first, and the value is
  `|logit(x) - location| / scale + ln(2 * scale * x * (1 - x))`.

  Args:
    location: any shape.
    log_scale: the same shape.
    image: pixels in [0, 1], the same shape.

  Returns:
    float32, the same shape.
  """
  chex.assert_equal_shape([location, log_scale, image])
  x = image.astype(jnp.float32) * (1.0 - 2.0 * MARGIN) + MARGIN
  logit = jnp.log(x) - jnp.log1p(-x)
  log_scale = log_scale.astype(jnp.float32)
  distance = jnp.abs(logit - location.astype(jnp.float32))
  return distance * jnp.exp(-log_scale) + log_scale + jnp.log(2.0 * x * (1.0 - x))


def logit_laplace_image(location: jax.Array) -> jax.Array:
  """The pixels that a location of `logit_laplace` stands for, clipped to [0, 1]."""
  x = jax.nn.sigmoid(location.astype(jnp.float32))
  return jnp.clip((x - MARGIN) / (1.0 - 2.0 * MARGIN), 0.0, 1.0)
