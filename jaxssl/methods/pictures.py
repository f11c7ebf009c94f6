"""What the methods that make images show in the report."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.ops import to_float

COLUMNS = 8  # samples in a row of the report


def side_by_side(*images: jax.Array) -> jax.Array:
  """Returns batches of images as columns, [rows, columns, height, width, channels]."""
  columns = [jnp.clip(to_float(x), 0.0, 1.0) for x in images]
  return jnp.stack(columns, axis=1)


def sample_grid(draw: Callable, decode: Callable, keys: jax.Array) -> jax.Array:
  """Samples of a generative model, eight in a row.

  Args:
    draw: key -> code, [dim].
    decode: codes [batch, dim] -> images in [0, 1].
    keys: [rows], one per row.

  Returns:
    [rows, columns, height, width, channels] in [0, 1].
  """
  keys = jax.vmap(lambda key: jax.random.split(key, COLUMNS))(keys)
  images = decode(jax.vmap(draw)(keys.reshape(-1)))
  images = jnp.clip(images, 0.0, 1.0)
  return images.reshape(*keys.shape, *images.shape[1:])
