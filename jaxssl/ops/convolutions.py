"""Convolutions of images that are fast on a CPU too.

On a CPU the gradient of XLA's 3x3 convolution is slow (for 512 maps of 32x32x64 a ninth
of the speed of a matrix product), slower still inside a loop, and under `vmap` over
kernels. Here it is matrix products, made a few images at a time, so that what they need
stays in the cache: Winograd's where these save more than they cost, otherwise of nine
shifted copies. For 256 maps of 32x32x64 that takes half of XLA's time and a fifth for
the gradient, of 4x4x512 four fifths and two thirds. Elsewhere it is XLA's.
"""

import functools
import math

import jax
import jax.numpy as jnp

from jaxssl.ops import winograd

POSITIONS = 2048  # of a chunk, measured with 32 to 512 channels
TILED = 4096  # the same for Winograd's
WORTH = 2**28  # products; fewer would need some 100 steps to make up for the compiler
NARROW = 16  # channels; with fewer the transforms take longer than what they save
SMALL = 32  # side of the maps that are shifted as a whole where there are no chunks
FEW = 4  # a kernel that widens its input more than so many times has few inputs
LEAST = 4  # chunks smaller than this part of the best cost more than they save


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
  """Convolves without bias, padded symmetrically by half the kernel, as torch.

  Where a CPU is the only device of the process, a 3x3 kernel takes `in_chunks` if the
  batch has several, as Winograd's products if there is enough to do (`WORTH`) and both
  sides are even; otherwise, on a CPU, maps of up to 32 pixels take one product of nine
  shifts, and larger ones XLA's convolution. Chunks have no forward-mode gradient
  (`jax.jvp`).

  Args:
    x: [batch, height, width, in].
    kernel: [side, side, in, out], of the dtype of `x`; an even side is padded by one
      more at the end.
    stride: distance between two outputs.

  Returns:
    [batch, rows, columns, out].
  """
  if kernel.shape[0] != 3:
    return convolution(x, kernel, stride=stride)
  return jax.lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_on_cpu, stride=stride),
    default=functools.partial(convolution, stride=stride),
  )


def convolution(
  x: jax.Array, kernel: jax.Array, *, stride: int = 1, dtype: jnp.dtype | None = None
) -> jax.Array:
  """XLA's convolution, padded as `convolve`; `dtype`: of what comes out."""
  side = kernel.shape[0]
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(stride, stride),
    padding=[((side - 1) // 2, side // 2)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    preferred_element_type=dtype,
  )


def shifted(x: jax.Array, stride: int) -> jax.Array:
  """Joins the nine shifts of images [batch, height, width, channels] by channel."""
  _, height, width, _ = x.shape
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  rows = [slice(i, i + height, stride) for i in range(3)]
  columns = [slice(j, j + width, stride) for j in range(3)]
  views = [padded[:, row, column] for row in rows for column in columns]
  return jnp.concatenate(views, axis=-1)


def product_of_shifts(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """A 3x3 convolution as one matrix product; see `convolve`."""
  patches = shifted(x, stride)
  kernel = kernel.reshape(-1, kernel.shape[-1])
  y = patches.reshape(-1, kernel.shape[0]) @ kernel  # 2-d: the fast path on a CPU
  return y.reshape(*patches.shape[:3], kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def in_chunks(
  x: jax.Array, kernel: jax.Array, stride: int, images: int, tiled: bool
) -> jax.Array:
  """A 3x3 convolution, a few images at a time.

  Args:
    x: as in `convolve`.
    kernel: as in `convolve`, [3, 3, in, out].
    stride: distance between two outputs.
    images: of a chunk; divides the batch.
    tiled: whether by Winograd's products, in float32 at least (stride 1 and even sides
      only); else `product_of_shifts`.

  Returns:
    As in `convolve`. The kernel's gradient is summed in float32 at least.
  """
  wide = _wide(kernel)

  def turn(_, x):
    if tiled:
      return None, winograd.convolve(x.astype(wide), kernel.astype(wide)).astype(
        x.dtype
      )
    return None, product_of_shifts(x, kernel, stride)

  return _joined(jax.lax.scan(turn, None, _cut(x, images))[1])


def _forward(x, kernel, stride, images, tiled):
  return in_chunks(x, kernel, stride, images, tiled), (x, kernel)


def _backward(stride, images, tiled, saved, cotangent):
  x, kernel = saved
  pull, wide = _pull_of(kernel, stride, tiled), _wide(kernel)

  def turn(total, piece):
    d_x, d_kernel = pull(piece[0], kernel, piece[1])
    return total + d_kernel.astype(wide), d_x.astype(x.dtype)

  pieces = _cut(x, images), _cut(cotangent, images)
  zeros = jnp.zeros(kernel.shape, wide)
  total, d_x = jax.lax.scan(turn, zeros, pieces)
  return _joined(d_x), total.astype(kernel.dtype)


in_chunks.defvjp(_forward, _backward)


def _wide(kernel):
  return kernel.dtype if kernel.dtype.itemsize > 4 else jnp.float32


def _pull_of(kernel, stride, tiled):
  if tiled:
    return lambda *given: winograd.pull(*(a.astype(_wide(kernel)) for a in given))
  if stride > 1 or kernel.shape[3] > FEW * kernel.shape[2]:
    return functools.partial(_pull, stride=stride)
  return _pull_shifted


def _pull(x, kernel, g, *, stride):
  return jax.vjp(functools.partial(product_of_shifts, stride=stride), x, kernel)[1](g)


def _pull_shifted(x, kernel, g):
  """Both gradients from the same nine shifts of the output's."""
  _, _, narrow, wide = kernel.shape
  patches = shifted(g, 1).reshape(-1, 9 * wide)
  turned = kernel[::-1, ::-1].swapaxes(2, 3).reshape(9 * wide, narrow)
  found = (x.reshape(-1, narrow).T @ patches).reshape(narrow, 3, 3, wide)
  d_kernel = found[:, ::-1, ::-1].transpose(1, 2, 0, 3)
  return (patches @ turned).reshape(x.shape), d_kernel


def _on_cpu(x, kernel, *, stride):
  tiled = stride == 1 and _worth_tiles(x, kernel)
  most = [TILED, POSITIONS] if tiled else [POSITIONS]
  images = next(filter(None, (_images_of_a_chunk(x, n) for n in most)), 0)
  if images and jax.device_count() == 1:
    return in_chunks(x, kernel, stride, images, tiled)
  if max(x.shape[1:3]) <= SMALL:
    return product_of_shifts(x, kernel, stride)
  return convolution(x, kernel, stride=stride)


def _worth_tiles(x, kernel):
  even = x.shape[1] % 2 == x.shape[2] % 2 == 0
  wide = min(kernel.shape[2:]) >= NARROW
  return even and wide and math.prod(x.shape[:3]) * kernel.size >= WORTH


def _images_of_a_chunk(x, positions):
  """A divisor of the batch that makes chunks of a good size; 0 without any."""
  most = max(1, positions // max(1, math.prod(x.shape[1:3])))
  manual = jax.sharding.get_abstract_mesh().manual_axes  # in `shard_map` loops vary
  if len(x) <= most or manual:
    return 0
  found = next(n for n in range(most, 0, -1) if len(x) % n == 0)
  return found if LEAST * found >= most else 0


def _cut(x, images):
  return x.reshape(-1, images, *x.shape[1:])


def _joined(x):
  return x.reshape(-1, *x.shape[2:])
