"""Views of examples of any modality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import compose, many_views, two_views
from jaxssl.errors import InputError
from tests.augment.examples import noise

KEY = jax.random.key(3)


def add_noise(key, x):
  return x + jax.random.normal(key, x.shape)


def scale(key, x):
  return x * jax.random.uniform(key)


def first_half(key, x):
  return scale(key, x)[:2]


X = noise(0, 4, 3)


@pytest.mark.parametrize(
  "views", [two_views(add_noise), two_views(add_noise, add_noise)]
)
def test_view_i_draws_from_the_folded_key(views):
  a, b = views(KEY, X)
  np.testing.assert_allclose(a, add_noise(jax.random.fold_in(KEY, 0), X), rtol=1e-6)
  np.testing.assert_allclose(b, add_noise(jax.random.fold_in(KEY, 1), X), rtol=1e-6)
  assert np.abs(a - b).max() > 0.1


def test_two_different_views():
  a, b = two_views(add_noise, scale)(KEY, X)
  np.testing.assert_allclose(a, add_noise(jax.random.fold_in(KEY, 0), X), rtol=1e-6)
  np.testing.assert_allclose(b, scale(jax.random.fold_in(KEY, 1), X), rtol=1e-6)


def test_views_of_several_sizes_keep_their_order():
  functions = (add_noise, add_noise, first_half, first_half, first_half, add_noise)
  made = many_views(*functions)(KEY, X)
  assert isinstance(made, tuple) and len(made) == 6
  for i, (view, function) in enumerate(zip(made, functions, strict=True)):
    expected = function(jax.random.fold_in(KEY, i), X)
    np.testing.assert_allclose(view, expected, rtol=1e-6)


def test_the_same_view_is_traced_once():
  traces = []

  def counted(key, x):
    traces.append(x.shape)
    return scale(key, x)

  jax.jit(two_views(counted))(KEY, X)
  assert len(traces) == 1
  jax.jit(many_views(counted, counted, scale, counted))(KEY, X)
  assert len(traces) == 3


def test_a_batch_under_vmap_equals_a_loop():
  keys, batch = jax.random.split(KEY, 5), noise(1, 5, 4, 3)
  views = two_views(add_noise)
  a, b = jax.vmap(views)(keys, batch)
  for i in range(5):
    one_a, one_b = views(keys[i], batch[i])
    np.testing.assert_allclose(a[i], one_a, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b[i], one_b, rtol=1e-5, atol=1e-6)


def test_bytes_become_floats_and_other_leaves_stay():
  def keep(key, example):
    return example

  example = {
    "image": np.full((2, 2, 1), 255, np.uint8),
    "tokens": np.arange(4, dtype=np.int32),
  }
  for made in (many_views(keep)(KEY, example)[0], compose(keep)(KEY, example)):
    assert made["image"].dtype == jnp.float32 and made["tokens"].dtype == np.int32
    np.testing.assert_array_equal(made["image"], 1.0)


def test_compose_applies_in_order_with_a_key_each():
  keys = jax.random.split(KEY, 3)
  expected = first_half(keys[2], scale(keys[1], add_noise(keys[0], X)))
  made = compose(add_noise, scale, first_half)(KEY, X)
  np.testing.assert_allclose(made, expected, rtol=1e-6)


@pytest.mark.parametrize("build", [many_views, compose])
def test_nothing_to_apply(build):
  with pytest.raises(InputError, match="at least one"):
    build()
