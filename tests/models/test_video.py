"""Nets of clips: shapes, (2+1)-d convolutions by loops, positions, who sees what."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models.masked import Visible
from jaxssl.models.video import convolve_time, middle_width
from jaxssl.ops import cut_cubes, join_cubes


def clips(shape=(2, 4, 8, 8, 1), seed=0):
  return jax.random.uniform(jax.random.key(seed), shape)


def run(net, x, **options):
  """Features in evaluation mode, and the patches."""

  def both(key):
    variables = net.init(key, x, train=True)
    return net.apply(variables, x, train=False, mutable=["intermediates"], **options)

  return jax.jit(both)(jax.random.key(0))


def test_convolution_in_time_is_numpys():
  x, kernel = np.asarray(clips((1, 5, 1, 2, 3))), np.asarray(clips((3, 3, 2), 1))
  for stride in (1, 2):
    got = convolve_time(jnp.asarray(x), jnp.asarray(kernel), stride=stride)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    expected = [
      sum(padded[:, t + i] @ kernel[i] for i in range(3)) for t in range(0, 5, stride)
    ]
    np.testing.assert_allclose(got, np.stack(expected, 1), rtol=1e-5)


def test_space_and_time_have_the_weights_of_a_cube():
  """Tran et al., section 3.5: 64 -> 64 channels have 144 between them."""
  assert middle_width(64, 64) == 144
  assert middle_width(3, 64, side=7) == 83


def test_clips_become_features_and_patches():
  net = models.R2Plus1D((4, 8), depths=(1, 1))
  features, seen = run(net, clips())
  (patches,) = seen["intermediates"]["patches"]
  assert features.shape == (2, 8)
  assert patches.shape == (2, 2 * 4 * 4, 8)
  np.testing.assert_allclose(patches.mean(1), features, rtol=1e-5)


def test_the_order_of_frames_matters_to_a_2_plus_1_d_net_alone():
  x = clips()
  net = models.R2Plus1D((4,), depths=(1,))
  towers = models.Framewise(models.ConvNet((4,), pools=(2,)))
  for encoder, same in ((net, False), (towers, True)):
    there, back = (run(encoder, y)[0] for y in (x, x[:, ::-1]))
    assert np.allclose(there, back, atol=1e-6) == same


def test_a_tower_sees_each_frame_by_itself():
  convnet = models.ConvNet((4,), pools=(2,))
  joined, seen = run(models.Framewise(convnet, join=True), clips())
  (patches,) = seen["intermediates"]["patches"]
  assert patches.shape == (2, 4, 4)
  np.testing.assert_allclose(joined, patches.reshape(2, -1))


def test_soft_argmax_finds_the_place():
  found = jnp.full((1, 5, 3, 1), -20.0).at[0, 4, 0, 0].set(20.0)
  np.testing.assert_allclose(models.soft_argmax(found), [[1.0, -1.0]], atol=1e-5)
  flat = models.soft_argmax(jnp.zeros((1, 5, 3, 2)))
  np.testing.assert_allclose(flat, np.zeros((1, 4)), atol=1e-6)


def test_a_predictor_makes_frames_of_the_map():
  encoder = models.R2Plus1D((4, 8), depths=(1, 1))
  decoder = models.FrameDecoder((3, 8, 8, 2), widths=(4,))
  net = models.FramePredictor(encoder, decoder)
  made = jax.eval_shape(lambda: run(net, clips())[0])
  assert made.shape == (2, 3, 8, 8, 2)


def test_a_residual_predictor_starts_from_the_last_frame():
  class Nothing(nn.Module):
    """Makes no change."""

    def __call__(self, grid, *, train, keys=None):
      """Three frames of 0."""
      return jnp.zeros((len(grid), 3, 8, 8, 1))

  encoder, x = models.R2Plus1D((4,), depths=(1,)), clips()
  made, _ = run(models.FramePredictor(encoder, Nothing(), residual=True), x)
  np.testing.assert_array_equal(made, jnp.repeat(x[:, -1:], 3, axis=1))


def vit(**options):
  return models.VideoViT(width=16, depth=1, heads=2, patch=(2, 4, 4), **options)


def test_a_vit_has_a_token_for_each_cube():
  features, seen = run(vit(), clips())
  (patches,) = seen["intermediates"]["patches"]
  assert features.shape == (2, 16)
  assert patches.shape == (2, 2 * 2 * 2, 16)
  np.testing.assert_allclose(patches.mean(1), features, rtol=1e-4, atol=1e-5)


def test_positions_differ_in_time_and_place():
  table = models.CubePositions(16, class_token=False)(3, 2, 2)
  assert table.shape == (12, 16)
  apart = np.abs(table[:, None] - table[None]).max(-1) + np.eye(12)
  assert apart.min() > 0.01


@pytest.mark.slow
def test_what_is_hidden_reaches_no_prediction():
  """Pixels of hidden cubes may be anything."""
  x, mask = clips(), jnp.array([[True, False, True, False] * 2] * 2)
  index = jnp.array([[1, 3, 5, 7]] * 2)
  decoder = models.MAEDecoder(8, 1, 2, positions=models.CubePositions)
  net = models.VideoMAE(vit(), decoder)
  cubes = np.array(cut_cubes(x, (2, 4, 4)))
  cubes[:, ::2] = 0.0
  other = join_cubes(jnp.asarray(cubes), cube=(2, 4, 4), grid=(2, 2, 2))
  assert float(jnp.abs(other - x).max()) > 0.1
  made = [run(net, Visible(clip, mask, index))[0] for clip in (x, jnp.asarray(other))]
  assert made[0].shape == (2, 8, 2 * 4 * 4)
  np.testing.assert_array_equal(*made)


def test_bad_clips_and_options_are_refused():
  with pytest.raises(InputError, match="Clips must be"):
    run(models.R2Plus1D((4,), depths=(1,)), clips()[0])
  with pytest.raises(InputError, match="floats"):
    run(models.Framewise(models.ConvNet()), jnp.zeros((1, 2, 8, 8, 1), jnp.int32))
  with pytest.raises(InputError, match="depth for each width"):
    run(models.R2Plus1D((4,), depths=(1, 1)), clips())
  with pytest.raises(InputError, match="do not split into cubes"):
    run(vit(), clips((1, 3, 8, 8, 1)))
  with pytest.raises(InputError, match="no registers"):
    run(vit(registers=1), clips())
