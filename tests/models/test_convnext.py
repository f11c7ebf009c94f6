"""ConvNeXt against a loop over positions and the published parameter counts."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models.convnext import ConvNeXtBlock
from tests.models import nets


def standardized(row):
  return (row - row.mean()) / math.sqrt(row.var() + 1e-6)


def normed(row, params):
  return standardized(row) * params["scale"] + params["bias"]


def linear(row, params):
  return row @ params["kernel"] + params["bias"]


def gelu(row):
  return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in row])


def loop(image, params):
  """What a block makes of one image, position by position."""
  height, width, channels = image.shape
  padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
  kernel = params["conv"]["kernel"].reshape(7, 7, channels)
  result = np.array(image)
  for i in range(height):
    for j in range(width):
      window = (padded[i : i + 7, j : j + 7] * kernel).sum((0, 1))
      y = normed(window + params["conv"]["bias"], params["norm"])
      y = linear(gelu(linear(y, params["dense1"])), params["dense2"])
      result[i, j] += params["scale"]["scale"] * y
  return result


def test_a_block_is_a_loop_over_positions():
  block, x = ConvNeXtBlock(), nets.images((2, 5, 4, 6))
  values = nets.variables(block, x.shape)
  params = jax.tree.map(np.asarray, values["params"])
  expected = [loop(image, params) for image in np.asarray(x)]
  np.testing.assert_allclose(nets.evaluate(block, values, x), expected, atol=1e-5)


def test_stages_shrink_as_strided_convolutions():
  # layer_scale 0: the blocks are the identity, only stem and shrinking layers act.
  net, x = models.ConvNeXt((1, 1), (4, 8), layer_scale=0.0), nets.images((2, 9, 18, 3))
  values = nets.variables(net, x.shape)
  params = jax.tree.map(np.asarray, values["params"])
  for stage in (1, 2):
    zero = np.zeros_like(params[f"stage{stage}_block1"]["scale"]["scale"])
    values["params"][f"stage{stage}_block1"]["scale"]["scale"] = zero
  y = rows(normed, strided(x, params["shrink1"], 4), params["shrink1_norm"])
  y = strided(rows(normed, y, params["shrink2_norm"]), params["shrink2"], 2)
  assert y.shape == (2, 1, 2, 8)
  expected = rows(normed, y.mean((1, 2)), params["norm"])
  np.testing.assert_allclose(nets.evaluate(net, values, x), expected, atol=1e-4)


def strided(x, params, side):
  """XLA's convolution of kernel and stride `side` without padding, as torch has it."""
  dense = params["dense"]
  kernel = dense["kernel"].reshape(side, side, x.shape[-1], -1)
  layout = ("NHWC", "HWIO", "NHWC")
  x = jnp.asarray(x, jnp.float32)
  y = jax.lax.conv_general_dilated(
    x, kernel, (side, side), "VALID", dimension_numbers=layout, precision="highest"
  )
  return np.asarray(y) + dense["bias"]


def rows(f, x, params):
  """Applies `f` along the last axis."""
  return np.apply_along_axis(partial(f, params=params), -1, x)


# torchvision's counts less those of the classifier.
@pytest.mark.parametrize(
  ("make", "count", "dim"),
  [
    (models.ConvNeXtTiny, 27_820_128, 768),
    (models.ConvNeXtSmall, 49_454_688, 768),
    (models.ConvNeXtBase, 87_566_464, 1024),
  ],
)
def test_parameter_counts_are_those_of_torchvision(make, count, dim):
  assert nets.parameters(make(), (2, 32, 32, 3)) == count
  assert nets.output_shape(make(), (2, 32, 32, 3)) == (2, dim)


def test_layer_scale_and_drop_path_reach_every_block():
  net = models.ConvNeXt((2, 1), (4, 8), layer_scale=0.5, drop_path=0.3)
  seen = []

  def note(next_call, args, options, context):
    module = context.module
    if isinstance(module, ConvNeXtBlock):
      seen.append((module.layer_scale, round(module.drop_path, 6)))
    return next_call(*args, **options)

  with nn.intercept_methods(note):
    nets.shapes(net, (2, 8, 8, 3))
  assert seen == [(0.5, 0.0), (0.5, 0.15), (0.5, 0.3)]


def test_drop_path_needs_keys_in_training_only():
  net = nets.ENCODERS["convnext"](drop_path=(0.5, 0.5))
  values, x = nets.variables(net), nets.images()
  nets.evaluate(net, values, x)
  with pytest.raises(InputError, match="DropPath needs keys"):
    nets.train(net, values, x)


def test_drop_path_keeps_or_drops_whole_rows():
  block, x = ConvNeXtBlock(drop_path=0.5), nets.images((16, 2, 2, 3))
  values = nets.variables(block, x.shape)
  branch = nets.evaluate(block, values, x) - x
  trained, _ = nets.train(block, values, x, nets.keys(16))
  dropped, kept = (
    np.isclose(trained, y, atol=1e-5).all((1, 2, 3)) for y in (x, x + 2 * branch)
  )
  assert (dropped != kept).all()
  assert 0 < dropped.sum() < 16


def test_images_that_are_too_small_are_refused():
  net = models.ConvNeXtTiny()
  with pytest.raises(InputError, match=r"1 x 1 positions .* squares of 2; use larger"):
    nets.parameters(net, (2, 31, 31, 3))
  with pytest.raises(InputError, match=r"3 x 64 positions .* squares of 4"):
    nets.parameters(net, (2, 3, 64, 3))
  assert nets.output_shape(models.ConvNeXtTiny(stem=2), (2, 28, 28, 1)) == (2, 768)


def test_every_stage_needs_a_width():
  with pytest.raises(InputError, match="one width per stage"):
    nets.shapes(models.ConvNeXtTiny(channels=(8, 8)))
