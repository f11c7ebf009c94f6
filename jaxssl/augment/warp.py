"""Warps of small images: affine and elastic in one resampling."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

CONTROLS = 3  # control points a side of the elastic displacement


def warp(
  image: jax.Array, *, matrix: jax.Array, shift: jax.Array, displacement: jax.Array
) -> jax.Array:
  """Samples an image at moved positions, bilinearly; 0 outside of it.

  Output pixel p, measured from the image's centre in (row, column), shows the input
  at `matrix @ p + shift + displacement(p)`. The weights are dense, [pixels, side], so
  it suits sides up to about 64 and needs no gather.

  Args:
    image: [height, width, channels], float32.
    matrix: [2, 2], from output to input positions.
    shift: [2], pixels.
    displacement: [3, 3, 2], pixels at control points spread over the image,
      interpolated linearly between them.

  Returns:
    The warped image, of the same shape.
  """
  height, width, channels = image.shape
  rows, columns = _centred(height), _centred(width)
  down, across = _hat(rows, _controls(height)), _hat(columns, _controls(width))
  moved = jnp.einsum("ia,jb,abc->ijc", down, across, displacement)
  grid = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)
  source = grid @ matrix.T + shift[None, None] + moved
  source = source.reshape(-1, 2)
  from_rows = _hat(source[:, 0], rows)
  from_columns = _hat(source[:, 1], columns)
  sampled = jnp.einsum("pi,pj,ijc->pc", from_rows, from_columns, image)
  return sampled.reshape(height, width, channels)


def random_warp(
  key: jax.Array,
  image: jax.Array,
  *,
  rotation: float,
  scale: float,
  shift: float,
  shear: float,
  elastic: float,
) -> jax.Array:
  """`warp` with rotation, scale and shear of each axis, shift and elastic drawn.

  Args:
    key: PRNG key.
    image: [height, width, channels], float32.
    rotation: greatest angle in degrees, either way, uniform.
    scale: greatest factor of each axis, log-uniform from 1 / scale to scale.
    shift: greatest shift in pixels of each axis, either way, uniform.
    shear: greatest shear of each axis in pixels per pixel, either way, uniform.
    elastic: standard deviation in pixels of the control points' displacement.

  Returns:
    The warped image, of the same shape.

  Raises:
    InputError: for another rank, or a scale below 1.
  """
  if image.ndim != 3 or scale < 1:
    raise InputError(
      f"random_warp takes an image [height, width, channels] and a scale of at least "
      f"1; got shape {image.shape} and {scale}."
    )
  keys = jax.random.split(key, 5)
  uniform = lambda i, shape: jax.random.uniform(keys[i], shape, minval=-1.0, maxval=1.0)
  angle = uniform(0, ()) * rotation * (jnp.pi / 180.0)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  first, second = uniform(1, (2,)) * shear
  one = jnp.ones(())
  turn = jnp.stack([cos, -sin, sin, cos]).reshape(2, 2)
  slant = jnp.stack([one, second, first, one]).reshape(2, 2)
  factors = jnp.exp(uniform(2, (2,)) * jnp.log(scale))
  return warp(
    image,
    matrix=(turn @ slant) / factors[None, :],
    shift=uniform(3, (2,)) * shift,
    displacement=jax.random.normal(keys[4], (CONTROLS, CONTROLS, 2)) * elastic,
  )


def _centred(size):
  return jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2


def _controls(size):
  return jnp.linspace(-(size - 1) / 2, (size - 1) / 2, CONTROLS)


def _hat(at, knots):
  """Weights of linear interpolation between evenly spaced knots, [at, knots]."""
  gap = knots[1] - knots[0]
  return jnp.maximum(0.0, 1.0 - jnp.abs(at[:, None] - knots[None, :]) / gap)
