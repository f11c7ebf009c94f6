"""What a denoising autoencoder takes away from its input: `(key, image) -> image`.

Images are float32 in [0, 1], [height, width, channels], before and after. A pixel is
corrupted in all of its channels or in none.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.augment.image import check_image
from jaxssl.augment.random_image import gaussian_noise
from jaxssl.augment.views import View
from jaxssl.errors import InputError, nearest


def masking_noise(key: jax.Array, image: jax.Array, *, share: float) -> jax.Array:
  """Sets each pixel to 0 with probability `share`; the others are not rescaled.

  Vincent et al. 2010 (JMLR 11, section 3.3), "masking noise". Unlike dropout: the
  clean image is the target, so nothing has to keep its mean.

  Args:
    key: PRNG key.
    image: [height, width, channels].
    share: probability that a pixel is masked, from 0 to 1.

  Returns:
    An image of the same shape.

  Raises:
    InputError: if the share is outside its range.
  """
  check_image(image)
  _check_share("masking noise", share)
  masked = jax.random.bernoulli(key, share, (*image.shape[:2], 1))
  return jnp.where(masked, 0.0, image)


def salt_and_pepper(key: jax.Array, image: jax.Array, *, share: float) -> jax.Array:
  """Makes each pixel white or black, by a fair coin, with probability `share`.

  Vincent et al. 2010 (JMLR 11, section 3.3).

  Args:
    key: PRNG key.
    image: [height, width, channels].
    share: probability that a pixel is replaced, from 0 to 1.

  Returns:
    An image of the same shape.

  Raises:
    InputError: if the share is outside its range.
  """
  check_image(image)
  _check_share("salt and pepper", share)
  drawn = jax.random.uniform(key, (*image.shape[:2], 1))
  extreme = jnp.where(drawn < 0.5 * share, 1.0, 0.0)
  return jnp.where(drawn < share, extreme, image)


def _gaussian(amount):
  if not amount >= 0.0:
    raise InputError(f"Gaussian noise of deviation {amount}; pass 0 or more.")
  return partial(gaussian_noise, deviation=amount)


def _masking(amount):
  _check_share("masking noise", amount)
  return partial(masking_noise, share=amount)


def _salt_and_pepper(amount):
  _check_share("salt and pepper", amount)
  return partial(salt_and_pepper, share=amount)


CORRUPTIONS: dict[str, Callable[[float], View]] = {
  "gaussian": _gaussian,
  "masking": _masking,
  "salt_and_pepper": _salt_and_pepper,
}


def corruption(name: str, *, amount: float) -> View:
  """Returns a corruption by name.

  Args:
    name: one of `CORRUPTIONS`: "gaussian", "masking" or "salt_and_pepper".
    amount: the deviation of Gaussian noise, 0 or more; the share of pixels, from 0 to
      1, of the others.

  Returns:
    (key, image) -> corrupted image.

  Raises:
    InputError: for another name (the nearest is shown) or an amount out of range.
  """
  if name not in CORRUPTIONS:
    raise InputError(
      f"There is no corruption '{name}'.{nearest(name, CORRUPTIONS)} There are: "
      f"{', '.join(CORRUPTIONS)}."
    )
  return CORRUPTIONS[name](amount)


def _check_share(what, share):
  if not 0.0 <= share <= 1.0:
    raise InputError(f"{what} of a share of {share}; pass a number from 0 to 1.")
