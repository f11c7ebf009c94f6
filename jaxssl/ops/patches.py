"""Images as rows of patches, and back."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


def cut_patches(images: jax.Array, patch: int) -> jax.Array:
  """Cuts images into squares, row by row.

  Args:
    images: [batch, height, width, channels].
    patch: side of a square in pixels; must divide both sides of the images.

  Returns:
    [batch, patches, patch * patch * channels]; a patch is read row by row, its
    channels innermost, as in MAE (arXiv 2111.06377).

  Raises:
    InputError: on another rank, or if the patches don't fill the images.
  """
  rows, columns = patch_grid(images.shape, patch)
  batch, *_, channels = images.shape
  x = images.reshape(batch, rows, patch, columns, patch, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, rows * columns, patch * patch * channels)


def join_patches(patches: jax.Array, *, patch: int, grid: tuple[int, int]) -> jax.Array:
  """Puts what `cut_patches` gives back together.

  Args:
    patches: [batch, rows * columns, patch * patch * channels].
    patch: side of a square in pixels.
    grid: rows and columns of patches.

  Returns:
    [batch, rows * patch, columns * patch, channels].
  """
  (rows, columns), channels = grid, patches.shape[-1] // patch**2
  x = patches.reshape(-1, rows, columns, patch, patch, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(-1, rows * patch, columns * patch, channels)


def patch_grid(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
  """Returns rows and columns of the patches of images of a shape.

  Args:
    shape: of images, [batch, height, width, channels].
    patch: side of a patch in pixels.

  Returns:
    Rows and columns.

  Raises:
    InputError: on another rank, or if the patches don't fill the images.
  """
  if len(shape) != 4:
    raise InputError(
      f"Images must be [batch, height, width, channels]; got shape {tuple(shape)}."
    )
  if patch < 1 or shape[1] % patch or shape[2] % patch:
    raise InputError(
      f"Images of {shape[1]} x {shape[2]} pixels do not split into patches of {patch}; "
      "both sides must be multiples of it."
    )
  return shape[1] // patch, shape[2] // patch


def patch_moments(patches: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of each patch, as MAE's official code takes them.

  Args:
    patches: [..., values], 2 values or more.

  Returns:
    The mean and sqrt(variance + 1e-6), float32 [..., 1]; the variance is the unbiased
    one, over values - 1.

  Raises:
    InputError: if a patch is a single value, which has no variance.
  """
  if patches.shape[-1] < 2:
    raise InputError("A patch of one value has no deviation; take larger patches.")
  patches = patches.astype(jnp.float32)
  mean = jnp.mean(patches, axis=-1, keepdims=True)
  variance = jnp.var(patches, axis=-1, keepdims=True, ddof=1)
  return mean, jnp.sqrt(variance + 1e-6)
