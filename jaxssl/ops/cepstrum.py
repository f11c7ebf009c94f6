"""Cepstral coefficients of speech: what HuBERT's first clusters are made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.spectrogram import log_mel


def cepstrum(spectrum: jax.Array, *, coefficients: int) -> jax.Array:
  """The first coefficients of the orthonormal cosine transform (DCT-II) of each frame.

  Args:
    spectrum: log energies, [..., frames, bands].
    coefficients: how many, at most as many as bands.

  Returns:
    float32 [..., frames, coefficients].

  Raises:
    InputError: for more coefficients than bands, or none.
  """
  bands = spectrum.shape[-1]
  if not 1 <= coefficients <= bands:
    raise InputError(
      f"{coefficients} coefficients of {bands} bands; pass 1 to {bands}."
    )
  basis = jnp.asarray(_cosines(bands, coefficients))
  return jnp.matmul(spectrum.astype(jnp.float32), basis, precision="highest")


@functools.cache
def _cosines(bands, coefficients):
  k, n = np.arange(coefficients)[None, :], np.arange(bands)[:, None]
  basis = np.sqrt(2.0 / bands) * np.cos(np.pi * k * (2 * n + 1) / (2 * bands))
  basis[:, 0] /= np.sqrt(2.0)
  return basis.astype(np.float32)


def slopes(x: jax.Array, *, reach: int = 2) -> jax.Array:
  """Slope of the regression line through the frames around each ("deltas").

  Args:
    x: [..., frames, dim]; the first and last frames are repeated outwards.
    reach: frames on each side.

  Returns:
    The shape of `x`.
  """
  around = ((0, 0),) * (x.ndim - 2) + ((reach, reach), (0, 0))
  padded, frames = jnp.pad(x, around, mode="edge"), x.shape[-2]
  shifted = [
    n * jax.lax.slice_in_dim(padded, reach + n, reach + n + frames, axis=-2)
    for n in range(-reach, reach + 1)
  ]
  return sum(shifted) / (2.0 * sum(n * n for n in range(1, reach + 1)))


def mfcc(
  wave: jax.Array, *, rate: int, coefficients: int = 13, bands: int = 23, **options
) -> jax.Array:
  """Mel-frequency cepstral coefficients with first and second slopes.

  As HuBERT clusters them (arXiv 2106.07447, section 4.2): 13 coefficients and slopes,
  39 values a frame of 25 ms every 10 ms.

  Args:
    wave: [..., samples] in [-1, 1].
    rate: samples a second.
    coefficients: of the cosine transform.
    bands: mel bands.
    **options: of `log_mel`.

  Returns:
    float32 [..., frames, 3 * coefficients].
  """
  spectrum = log_mel(wave, rate=rate, bands=bands, power=2, **options)
  x = cepstrum(spectrum, coefficients=coefficients)
  first = slopes(x)
  return jnp.concatenate([x, first, slopes(first)], axis=-1)
