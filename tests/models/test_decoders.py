"""Decoders, generators and the players of a GAN: shapes, layers, errors."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models.decoders import doubled, grid_sides
from tests.models import nets

SHAPES = {(8, 8, 1): (6, 4), (28, 28, 1): (6, 4), (16, 24, 3): (8, 6, 4)}
FROM_CODES = {
  "mlp": models.MLPDecoder,
  "conv": models.ConvDecoder,
  "generator": models.Generator,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FROM_CODES)
def test_codes_become_images_of_any_size(name, shape):
  net = FROM_CODES[name](shape, SHAPES[shape])
  assert nets.output_shape(net, (2, 5)) == (2, *shape)


def test_maps_become_images():
  net = models.MapDecoder((16, 24, 3), (8, 6, 4))
  assert nets.output_shape(net, (2, 2, 3, 5)) == (2, 16, 24, 3)


def test_doubling_repeats_each_position():
  x = jnp.arange(12.0).reshape(1, 2, 3, 2)
  expected = np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)
  np.testing.assert_array_equal(doubled(x), expected)


def test_large_maps_are_convolved_the_same(monkeypatch):
  """By XLA's convolution beyond a side, as a matrix product below."""
  net = models.MapDecoder((8, 8, 1), (3,), norm=models.LayerNorm)
  x = nets.images((2, 4, 4, 3))
  values = nets.variables(net, x.shape)
  product = net.apply(values, x, train=False)
  monkeypatch.setattr("jaxssl.ops.convolutions.SMALL", 0)
  convolution = net.apply(values, x, train=False)
  np.testing.assert_allclose(product, convolution, atol=1e-5)


@pytest.mark.parametrize("name", ["conv", "generator"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (12, 8, 1), (8, 12, 1)])
def test_sides_that_cannot_be_doubled_to_are_refused(name, shape):
  with pytest.raises(InputError, match="multiples of 8"):
    nets.shapes(FROM_CODES[name](shape, (4, 4, 4)), (2, 5))


def test_a_decoder_without_widths_is_refused():
  with pytest.raises(InputError, match="at least 1"):
    grid_sides((8, 8, 1), 0)


def test_a_map_of_another_size_is_refused():
  with pytest.raises(InputError, match="3 x 4 doubled 1 times is no image of 8 x 8"):
    nets.shapes(models.MapDecoder((8, 8, 1), (4,)), (2, 3, 4, 5))


def test_the_map_of_an_encoder_is_decoded_and_all_of_it_initialised():
  encoder = nets.ENCODERS["convnext"]()
  net = models.Restorer(encoder, models.MapDecoder((8, 8, 3), (6, 4)))
  assert nets.output_shape(net, nets.SHAPE) == nets.SHAPE
  alone = nets.shapes(encoder)["params"]
  found = nets.shapes(net)["params"]["encoder"]
  assert jax.tree.structure(found) == jax.tree.structure(alone)


def test_an_encoder_without_a_map_is_refused():
  net = models.Restorer(models.MLPEncoder((4,), (None,)), Pass())
  with pytest.raises(InputError, match="MLPEncoder has no feature_map"):
    nets.shapes(net)


def test_an_mlp_encoder_needs_a_norm_per_layer():
  with pytest.raises(InputError, match="one norm"):
    nets.shapes(models.MLPEncoder((4, 4), (None,)))


def vae():
  encoder = models.MLPEncoder((6,), (None,))
  return models.VAE(encoder, models.MLPDecoder((8, 8, 3), (6,)), latent=5)


def test_a_vae_decodes_a_draw_in_training_and_the_mean_otherwise():
  net, x = vae(), nets.images()
  values = nets.variables(net)
  out = net.apply(values, x, train=False)
  mean = net.apply(values, out.features, method="decode")
  np.testing.assert_allclose(out.image, mean, atol=1e-6)
  drawn = net.apply(values, x, train=True, keys=nets.keys(4))
  np.testing.assert_allclose(drawn.features, out.features, atol=1e-6)
  assert np.abs(drawn.image - out.image).max() > 0.01


def test_a_draw_has_mean_and_deviation_and_a_key_per_row():
  net = vae().clone(decoder=Pass())
  x = jnp.tile(nets.images()[:1], (4096, 1, 1, 1))
  values = nets.variables(net)
  out = jax.jit(partial(net.apply, train=True))(values, x, keys=nets.keys(4096))
  deviation = np.exp(0.5 * out.log_variance[0])
  bound = 5 * deviation / 64
  assert np.all(np.abs(out.image.mean(0) - out.features[0]) < bound)
  np.testing.assert_allclose(out.image.std(0), deviation, rtol=0.08)


class Pass(nn.Module):
  """A decoder that shows the code."""

  def __call__(self, x, *, train, keys=None):
    return x


def test_priors_draw_and_squash():
  uniform, normal = models.uniform_prior(3), models.normal_prior(3)
  drawn = jax.vmap(uniform.draw)(nets.keys(512))
  assert drawn.shape == (512, 3) and -1 <= drawn.min() < -0.95 < 0.95 < drawn.max() <= 1
  x = jnp.array([-9.0, 0.0, 0.7])
  np.testing.assert_allclose(uniform.squash(x), 2 * jax.nn.sigmoid(x) - 1, atol=1e-6)
  np.testing.assert_allclose(jax.vmap(normal.draw)(nets.keys(512)).std(), 1, atol=0.1)
  np.testing.assert_array_equal(normal.squash(x), x)


def test_a_critic_judges_and_shows_its_maps():
  net = models.ConvCritic((4, 8))
  x = nets.images((2, 28, 28, 1))
  seen = jax.eval_shape(partial(net.apply, train=False), nets.shapes(net, x.shape), x)
  assert seen.logit.shape == (2,)
  assert [m.shape for m in seen.maps] == [(2, 14, 14, 4), (2, 7, 7, 8)]


def test_images_too_small_for_a_critic_are_refused():
  with pytest.raises(InputError, match="16 pixels"):
    nets.shapes(models.ConvCritic((4,) * 4), (2, 8, 8, 1))


def test_features_of_a_critic():
  maps = nets.images((2, 8, 12, 3)), nets.images((2, 7, 3, 2))
  np.testing.assert_allclose(models.pooled_map(maps), maps[1].mean((1, 2)), rtol=1e-5)
  pooled = models.pyramid(maps)
  assert pooled.shape == (2, 4 * 4 * 3 + 4 * 3 * 2)
  first = np.asarray(maps[0]).reshape(2, 4, 2, 4, 3, 3).max((2, 4)).reshape(2, -1)
  np.testing.assert_array_equal(pooled[:, :48], first)
  assert np.all(np.isin(pooled[:, 48:], maps[1]))


def test_the_players_of_bigan_have_no_biases_and_see_both_of_a_pair():
  encoder, generator, critic = models.mlp_bigan((8, 8, 1), width=16, latent=3)
  inputs = {encoder: (2, 8, 8, 1), generator: (2, 3)}
  for net, shape in inputs.items():
    params = nets.shapes(net, shape)["params"]
    assert all(leaf.ndim == 2 for leaf in jax.tree.leaves(params))
  pair = nets.images((2, 8, 8, 1)), nets.images((2, 3))
  values = critic.init(jax.random.key(0), pair, train=True)
  judge = lambda pair: critic.apply(values, pair, train=False).logit.sum()
  gradients = jax.grad(judge)(pair)
  assert all(np.abs(g).max() > 0 for g in gradients)
