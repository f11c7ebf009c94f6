"""Encoders behind a spectrogram, and their heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.ops import LogMel

FRONT = LogMel(rate=1000, bands=8, window=0.032, hop=0.016, low=20.0, mean=-2.0)
WAVES = 0.1 * jax.random.normal(jax.random.key(0), (2, 270))
KEY = jax.random.key(1)


def convnet():
  return models.ConvNet((4, 8), pools=(2, 2), norm=models.LayerNorm)


def test_parameters_are_those_of_the_encoder():
  hearing = models.Spectral(convnet(), FRONT).init(KEY, WAVES, train=False)
  seeing = convnet().init(KEY, FRONT(WAVES), train=False)
  shapes = lambda tree: jax.tree.map(jnp.shape, tree["params"])
  assert shapes(hearing) == shapes(seeing)
  own = models.Spectral(convnet(), FRONT).apply(seeing, WAVES, train=False)
  np.testing.assert_allclose(own, convnet().apply(seeing, FRONT(WAVES), train=False))


@pytest.mark.parametrize("pool", ["own", "max"])
def test_pools(pool):
  net = models.Spectral(convnet(), FRONT, pool=pool)
  variables = net.init(KEY, WAVES, train=False)
  out, seen = net.apply(variables, WAVES, train=False, mutable=["intermediates"])
  patches = seen["intermediates"]["patches"][0]
  reduce = {"own": jnp.mean, "max": jnp.max}[pool]
  np.testing.assert_allclose(out, reduce(patches, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
  ("net", "message"),
  [
    (models.Spectral(convnet(), FRONT, pool="mox"), "Did you mean 'max'"),
    (
      models.Spectral(models.MLP((4,), (True,), (None,)), FRONT, pool="max"),
      "no feature_map",
    ),
  ],
)
def test_bad_pools(net, message):
  with pytest.raises(InputError, match=message):
    net.init(KEY, WAVES, train=False)


def test_waves_are_checked():
  with pytest.raises(InputError, match="Waves must be"):
    models.Spectral(convnet(), FRONT).init(KEY, WAVES[..., None], train=False)


def test_bilinear_scores():
  x, y = jax.random.normal(KEY, (2, 3, 4))
  net = models.Bilinear()
  variables = net.init(KEY, x, train=False)
  kernel = variables["params"]["dense"]["kernel"]
  scores = net.apply(variables, x, train=False) @ y.T
  np.testing.assert_allclose(scores, x @ kernel @ y.T, rtol=1e-4, atol=1e-6)


def test_cola_head_is_within_one():
  out, _ = models.ColaHead(5).init_with_output(KEY, 9.0 * WAVES, train=False)
  assert out.shape == (2, 5) and np.abs(out).max() < 1.0


@pytest.mark.slow
def test_frames_see_the_others_and_their_place():
  net = models.FrameEncoder(width=8, depth=1, heads=2)
  images = FRONT(WAVES)
  variables = net.init(KEY, images, train=False)
  frames = lambda x: net.apply(variables, x, train=False, method=net.frames)
  whole = frames(images)
  assert whole.shape == (2, 15, 8)
  changed = frames(images.at[:, 0].add(1.0))
  assert np.abs(changed - whole)[:, 14].max() > 1e-6
  same = frames(jnp.ones_like(images))
  assert np.abs(same[:, 0] - same[:, 1]).max() > 1e-3
  pooled = net.apply(variables, images, train=False)
  np.testing.assert_allclose(pooled, whole.mean(1), rtol=1e-4, atol=1e-6)
