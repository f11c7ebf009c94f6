"""Clips as rows of cubes, some frames deep, and back."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

Cube = tuple[int, int, int]


def cut_cubes(clips: jax.Array, cube: Cube) -> jax.Array:
  """Cuts clips into cubes: those of the first frames first, each of these row by row.

  Args:
    clips: [batch, frames, height, width, channels].
    cube: frames, rows and columns of a cube; must divide those of the clips.

  Returns:
    [batch, cubes, frames * rows * columns * channels]; a cube is read frame by frame
    and row by row, its channels innermost, as in VideoMAE (arXiv 2203.12602).

  Raises:
    InputError: on another rank, or if the cubes don't fill the clips.
  """
  (times, rows, columns), (deep, high, wide) = cube_grid(clips.shape, cube), cube
  batch, channels = clips.shape[0], clips.shape[-1]
  x = clips.reshape(batch, times, deep, rows, high, columns, wide, channels)
  x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7)
  return x.reshape(batch, times * rows * columns, deep * high * wide * channels)


def join_cubes(cubes: jax.Array, *, cube: Cube, grid: Cube) -> jax.Array:
  """Puts what `cut_cubes` gives back together.

  Args:
    cubes: [batch, cubes, frames * rows * columns * channels].
    cube: frames, rows and columns of a cube.
    grid: how many cubes lie along each of these, from `cube_grid`.

  Returns:
    [batch, frames, height, width, channels].
  """
  (times, rows, columns), (deep, high, wide) = grid, cube
  x = cubes.reshape(-1, times, rows, columns, deep, high, wide, _channels(cubes, cube))
  x = x.transpose(0, 1, 4, 2, 5, 3, 6, 7)
  return x.reshape(-1, times * deep, rows * high, columns * wide, x.shape[-1])


def cube_grid(shape: tuple[int, ...], cube: Cube) -> Cube:
  """Returns how many cubes lie along the frames, rows and columns of clips.

  Args:
    shape: of clips, [batch, frames, height, width, channels].
    cube: frames, rows and columns of a cube.

  Returns:
    Three numbers.

  Raises:
    InputError: on another rank, or if the cubes don't fill the clips.
  """
  if len(shape) != 5:
    raise InputError(
      f"Clips must be [batch, frames, height, width, channels]; got {tuple(shape)}."
    )
  sides = tuple(shape[1:4])
  if min(cube) < 1 or any(n % c for n, c in zip(sides, cube, strict=True)):
    raise InputError(
      f"Clips of {sides[0]} frames of {sides[1]} x {sides[2]} pixels do not split into "
      f"cubes of {' x '.join(map(str, cube))}; each must be a multiple."
    )
  return tuple(n // c for n, c in zip(sides, cube, strict=True))


def cube_moments(cubes: jax.Array, cube: Cube) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of each channel of each cube, as VideoMAE's code takes them.

  Args:
    cubes: [batch, cubes, frames * rows * columns * channels].
    cube: frames, rows and columns of a cube.

  Returns:
    The mean and sqrt(variance) + 1e-6, float32, of the shape of `cubes`; the variance
    is the unbiased one.

  Raises:
    InputError: if a cube is a single pixel, which has no variance.
  """
  if cube == (1, 1, 1):
    raise InputError("A cube of one pixel has no deviation; take larger cubes.")
  x = cubes.astype(jnp.float32).reshape(*cubes.shape[:2], -1, _channels(cubes, cube))
  mean = jnp.mean(x, axis=2, keepdims=True)
  deviation = jnp.sqrt(jnp.var(x, axis=2, keepdims=True, ddof=1)) + 1e-6
  spread = lambda moment: jnp.broadcast_to(moment, x.shape).reshape(cubes.shape)
  return spread(mean), spread(deviation)


def _channels(cubes, cube):
  return cubes.shape[-1] // (cube[0] * cube[1] * cube[2])
