"""Cepstra against scipy's transform, slopes against a regression."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from jaxssl import ops
from jaxssl.errors import InputError


def test_cepstrum_is_the_orthonormal_cosine_transform():
  x = np.random.default_rng(0).normal(size=(2, 4, 9)).astype(np.float32)
  expected = scipy.fft.dct(x, norm="ortho")[..., :6]
  np.testing.assert_allclose(ops.cepstrum(x, coefficients=6), expected, atol=1e-5)
  with pytest.raises(InputError, match="10 coefficients of 9 bands"):
    ops.cepstrum(x, coefficients=10)


def test_slopes_are_those_of_regression_lines():
  x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
  got = ops.slopes(jnp.asarray(x))
  expected = np.polyfit(np.arange(5), x[2:7], 1)[0]
  np.testing.assert_allclose(got[4], expected, atol=1e-5)
  line = jnp.arange(20.0)[:, None] * 0.5
  np.testing.assert_allclose(ops.slopes(line)[3:-3], 0.5, rtol=1e-5)


def test_mfcc_has_39_values_every_10_milliseconds():
  wave = 0.1 * np.random.default_rng(2).normal(size=8000).astype(np.float32)
  x = ops.mfcc(wave, rate=8000)
  assert x.shape == (98, 39)
  louder = ops.mfcc(2.0 * wave, rate=8000)  # loudness is in the first value alone
  np.testing.assert_allclose(louder[20:50, 1:13], x[20:50, 1:13], atol=0.05)
  assert (louder[20:50, 0] > x[20:50, 0] + 1.0).all()
