"""Toy forms of the methods that put back colours or a part of the image."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import models
from jaxssl.methods.colorization import colorization, colorization_regression
from jaxssl.methods.inpainting import inpainting, inpainting_adversarial
from jaxssl.ops import ab_bins

NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
TINT = np.array([[0.8, 0.3, 0.1]], np.float32)
HOLE = {"hole": 4, "overlap": 1, "fill": (0.5,), "ring_weight": 2.0}


def noisy(key, image):
  """The image with a little noise, in [0, 1]."""
  noise = 0.1 * jax.random.normal(key, image.shape)
  return (jnp.clip(image + noise, 0.0, 1.0),)


def tinted(key, image):
  """A grey image in colours: bright pixels are orange, dark ones blue."""
  (image,) = noisy(key, image)
  return (image @ TINT + (1.0 - image) @ TINT[:, ::-1],)


def _normed(norm, axis_name):
  return {"norm": NORMS[norm], "axis_name": axis_name}


def color_net(norm: str, axis_name: str | None, *, out: int):
  """A small encoder of 32 features, and positions half as fine as the pixels."""
  encoder = models.ConvNet((16, 32), pools=(2, 2), **_normed(norm, axis_name))
  return models.Restorer(encoder, models.ResizeDecoder(out, width=16))


def hole_net(norm: str, axis_name: str | None = None):
  """A small encoder of 32 features, and a decoder that makes 4 x 4 pixels."""
  normed = _normed(norm, axis_name)
  encoder = models.ConvNet((16, 32), pools=(2, 2), **normed)
  decoder = models.HoleDecoder((16,), channels=1, start=2, **normed)
  return models.Restorer(encoder, decoder)


def make_colorization(norm: str = "batch", axis_name: str | None = None):
  """Colorization by bins, bins of odd number weighing more."""
  weights = 0.5 + np.arange(len(ab_bins())) % 2
  return colorization(color_net(norm, axis_name, out=313), tinted, weights=weights)


def make_colorization_regression(norm: str = "batch", axis_name: str | None = None):
  """Colorization by regression."""
  return colorization_regression(color_net(norm, axis_name, out=2), tinted)


def make_inpainting(norm: str = "batch", axis_name: str | None = None):
  """Inpainting without critic."""
  return inpainting(hole_net(norm, axis_name), noisy, **HOLE)


def make_inpainting_adversarial(norm: str = "batch", axis_name: str | None = None):
  """Inpainting with a critic that counts for a tenth."""
  critic = models.HoleCritic((8, 16), **_normed(norm, axis_name))
  return inpainting_adversarial(
    hole_net(norm, axis_name), critic, noisy, **HOLE, reconstruction_weight=0.9
  )


def _weights(state):
  return state.extra.weights


def _nothing(state):
  del state
  return ()


ROWS = (
  ("colorization", make_colorization, _weights),
  ("colorization_regression", make_colorization_regression, _nothing),
  ("inpainting", make_inpainting, _nothing),
  ("inpainting_adversarial", make_inpainting_adversarial, _nothing),
)
