"""The nets of the discrete VAE: shapes, noise by row, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models.dvae import CodeEncoder, Conv


def net(**options):
  small = {"width": 8, "groups": 2, "blocks": 1}
  encoder, decoder = models.CodeEncoder(stem=3, **small), models.CodeDecoder(2, **small)
  return models.DiscreteVAE(encoder, decoder, 5, code_width=4, **options)


def images(rows=2, side=8):
  return jax.random.uniform(jax.random.key(1), (rows, side, side, 2))


@pytest.fixture(scope="module")
def variables():
  return net().init(jax.random.key(0), images(), train=True)


def test_a_patch_is_as_wide_as_the_groups_make_it(variables):
  assert net().encoder.stride == 2
  out = net().apply(variables, images(side=12), train=False)
  assert out.logits.shape == (2, 6, 6, 5)
  assert out.decoded.shape == (2, 12, 12, 2)
  assert out.features.shape == (2, 16)


def test_the_encoder_alone_is_the_mean_of_its_map(variables):
  part = {"params": variables["params"]["encoder"]}
  features, seen = net().encoder.apply(
    part, images(), train=False, mutable=["intermediates"]
  )
  whole = net().apply(variables, images(), train=False).features
  np.testing.assert_allclose(features, whole, atol=1e-6)
  assert seen["intermediates"]["patches"][0].shape == (2, 16, 16)


def test_codes_of_a_row_depend_on_its_key_alone():
  logits = jax.random.normal(jax.random.key(2), (3, 2, 2, 5))
  keys = jax.random.split(jax.random.key(3), 3)
  whole = models.relaxed_codes(keys, logits, 0.5)
  one = models.relaxed_codes(keys[1:2], logits[1:2], 0.5)
  np.testing.assert_allclose(whole[1:2], one, atol=1e-6)
  np.testing.assert_allclose(whole.sum(-1), 1, rtol=1e-5)


def test_cold_codes_are_one_hot_and_drawn_from_the_softmax():
  logits = jnp.log(jnp.array([0.5, 0.3, 0.2]))
  keys = jax.random.split(jax.random.key(4), 4000)
  drawn = models.relaxed_codes(keys, jnp.broadcast_to(logits, (4000, 3)), 1e-3)
  np.testing.assert_allclose(drawn.max(-1).mean(), 1, atol=1e-2)
  np.testing.assert_allclose(drawn.mean(0), [0.5, 0.3, 0.2], atol=0.03)
  still = models.relaxed_codes(None, logits[None], 1.0)
  np.testing.assert_allclose(still[0], [0.5, 0.3, 0.2], rtol=1e-5)


@pytest.mark.parametrize("size", [3, 7])
def test_the_matrix_product_is_the_convolution(size):
  """A map of 8 goes another way than a larger one; a frame of 0 changes nothing."""
  x = jax.random.normal(jax.random.key(5), (2, 8, 8, 3))
  conv = Conv(4, size)
  variables = conv.init(jax.random.key(6), x)
  framed = jnp.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
  large = conv.apply(variables, framed)[:, 4:-4, 4:-4]
  np.testing.assert_allclose(conv.apply(variables, x), large, atol=1e-4)


def test_sides_that_do_not_split_are_refused(variables):
  with pytest.raises(InputError, match="patches of 2"):
    net().apply(variables, images(side=7), train=False)


def test_blocks_too_narrow_for_their_quarter_are_refused():
  with pytest.raises(InputError, match="4 channels or more, not 2"):
    CodeEncoder(width=2).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=True)
