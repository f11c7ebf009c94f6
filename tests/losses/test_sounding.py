"""The margin loss by hand, InfoNCE against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import InputError
from jaxssl.losses import alignment_nce, contrastive_margin

X = jnp.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
Y = jnp.array([[0.3, 0.4], [1.0, 4.0], [0.3, 0.4]])


def test_contrastive_margin_by_hand():
  same = jnp.array([True, False, False])
  found = contrastive_margin(X, Y, same, margin=0.99)
  np.testing.assert_allclose(found, [0.25, 0.0, 0.49**2], rtol=1e-5)


def test_gradients_pull_and_push():
  total = lambda y, same: contrastive_margin(
    X[:1], y, jnp.array([same]), margin=0.99
  ).sum()
  pull, push = (jax.grad(total)(Y[:1], same) for same in (True, False))
  np.testing.assert_allclose(pull, [[0.6, 0.8]], rtol=1e-5)
  np.testing.assert_allclose(push, [[-2 * 0.49 * 0.6, -2 * 0.49 * 0.8]], rtol=1e-5)
  assert bool(jnp.isfinite(jax.grad(total)(X[:1], False)).all())


def test_alignment_nce_is_a_loop():
  keys = jax.random.split(jax.random.key(0))
  video = np.asarray(jax.random.normal(keys[0], (4, 3)))
  audio = np.asarray(jax.random.normal(keys[1], (4, 3, 3)))
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
  v, a = unit(video), unit(audio)
  expected = []
  for i in range(4):
    own = v[i] @ a[i, 0] / 0.2
    hearing = [v[i] @ a[j, 0] / 0.2 for j in range(4)]
    hearing += [v[i] @ a[i, k] / 0.2 for k in (1, 2)]
    seeing = [v[j] @ a[i, 0] / 0.2 for j in range(4)]
    both = np.log(np.exp(hearing).sum()) + np.log(np.exp(seeing).sum())
    expected.append(both / 2 - own)
  found = alignment_nce(jnp.asarray(video), jnp.asarray(audio), temperature=0.2)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bad_shapes_and_options():
  same = jnp.ones(3, bool)
  for call in (
    lambda: contrastive_margin(X, Y[:2], same, margin=1.0),
    lambda: contrastive_margin(X, Y, same[:2], margin=1.0),
    lambda: contrastive_margin(X, Y, same, margin=0.0),
    lambda: alignment_nce(X, Y, temperature=1.0),
    lambda: alignment_nce(X, Y[:, None], temperature=0.0),
  ):
    with pytest.raises(InputError):
      call()
