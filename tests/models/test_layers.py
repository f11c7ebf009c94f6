"""Norms against torch's definition, masks that look at one row, positions."""

import math
import pathlib
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models import layers
from tests.models import nets

NORMS = (models.BatchNorm, models.LayerNorm, partial(models.GroupNorm, groups=2))
DROPS = (models.RowDropout, models.DropPath)


def batch(shape=(6, 3, 3, 4), seed=1):
  return 2.0 + 3.0 * jax.random.normal(jax.random.key(seed), shape)


def test_batch_norm_normalises_by_the_batch_and_remembers_a_tenth():
  x, norm = batch(), models.BatchNorm()
  y, stats = nets.train(norm, nets.initial(norm, x.shape), x)
  x = np.asarray(x)
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-5)
  got = stats["batch_stats"]
  np.testing.assert_allclose(got["mean"], 0.1 * mean, rtol=1e-5)
  np.testing.assert_allclose(got["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_batch_norm_evaluates_with_the_running_statistics():
  x, norm = batch(), models.BatchNorm()
  values = nets.initial(norm, x.shape)
  values["batch_stats"] = {"mean": jnp.arange(4.0), "var": jnp.arange(1.0, 5.0)}
  expected = (np.asarray(x) - np.arange(4.0)) / np.sqrt(np.arange(1.0, 5.0) + 1e-5)
  np.testing.assert_allclose(nets.evaluate(norm, values, x), expected, rtol=1e-5)


def test_batch_norm_stays_accurate_where_the_mean_is_large():
  x = batch((256, 4)) + 3000.0
  norm = models.BatchNorm()
  values = nets.initial(norm, x.shape)
  values["batch_stats"]["mean"] = jnp.full(4, 2990.0)  # a little behind, as in training
  y, _ = nets.train(norm, values, x)
  exact = np.asarray(x, np.float64)
  exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
  np.testing.assert_allclose(y, exact, atol=1e-3)


def test_batch_norm_under_pmap_has_the_statistics_of_all_devices():
  x = batch((16, 4))
  whole, parts = models.BatchNorm(), models.BatchNorm(axis_name="data")
  values = nets.initial(parts, x.shape)
  expected, stats = nets.train(whole, values, x)
  call = partial(parts.apply, train=True, mutable=["batch_stats"])
  mapped = jax.pmap(call, axis_name="data", in_axes=(None, 0))
  got, new = mapped(values, x.reshape(8, 2, 4))
  np.testing.assert_allclose(got.reshape(16, 4), expected, atol=1e-5)
  for name, value in stats["batch_stats"].items():
    np.testing.assert_allclose(new["batch_stats"][name][3], value, rtol=1e-5)


def test_layer_norm_is_a_loop_over_rows():
  x, norm = batch((5, 8)), models.LayerNorm()
  rows = [(r - r.mean()) / math.sqrt(r.var() + 1e-6) for r in np.asarray(x)]
  got = nets.evaluate(norm, nets.initial(norm, x.shape), x)
  np.testing.assert_allclose(got, np.stack(rows), atol=1e-5)


def test_group_norm_is_a_loop_over_rows_and_groups():
  x, norm = batch(), models.GroupNorm(groups=2)
  expected = np.empty(x.shape)
  for i, row in enumerate(np.asarray(x)):
    for part in (slice(0, 2), slice(2, 4)):
      group = row[..., part]
      expected[i, ..., part] = (group - group.mean()) / np.sqrt(group.var() + 1e-5)
  got = nets.evaluate(norm, nets.initial(norm, x.shape), x)
  np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("groups", [4, 0, -1])
def test_group_norm_refuses_groups_that_do_not_divide(groups):
  with pytest.raises(InputError, match=f"6 channels do not split into {groups}"):
    nets.initial(models.GroupNorm(groups=groups), (2, 6))


@pytest.mark.parametrize("norm", NORMS)
def test_norms_have_the_affine_parameters_asked_for(norm):
  names = lambda **options: set(nets.initial(norm(**options), (2, 4)).get("params", ()))
  assert names() == {"scale", "bias"}
  assert names(use_bias=False) == {"scale"}
  assert names(use_bias=False, use_scale=False) == set()


@pytest.mark.parametrize("norm", NORMS)
def test_norms_reduce_in_float32_and_return_their_dtype(norm):
  x = (256.0 + batch((64, 4))).astype(jnp.bfloat16)  # a bfloat16 mean would be off
  norm = norm(dtype=jnp.bfloat16)
  values = nets.initial(norm, x.shape)
  assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {jnp.dtype("float32")}
  y, _ = nets.train(norm, values, x)
  assert y.dtype == jnp.bfloat16
  exact, _ = nets.train(norm.clone(dtype=jnp.float32), values, x.astype(jnp.float32))
  np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=0.01, atol=0.01)


def drop(layer, x, row_keys, train=True):
  return np.asarray(layer.apply({}, x, train=train, keys=row_keys))


@pytest.mark.parametrize("drop_layer", DROPS)
def test_a_mask_depends_on_nothing_but_the_key_of_its_row(drop_layer):
  layer, x, keys = drop_layer(0.5), batch((8, 5, 3)), nets.keys(8)
  whole = drop(layer, x, keys)
  order = np.array([6, 1, 3])
  np.testing.assert_array_equal(drop(layer, x[order], keys[order]), whole[order])
  assert (drop(layer, x, nets.keys(8, seed=10)) != whole).any()


@pytest.mark.parametrize("drop_layer", DROPS)
def test_drop_rates_and_the_mean_are_kept(drop_layer):
  rows = 2000
  y = drop(drop_layer(0.3), jnp.ones((rows, 2)), nets.keys(rows))
  assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
  deviation = math.sqrt(0.3 * 0.7 / rows)
  assert abs((y[:, 0] == 0).mean() - 0.3) < 5 * deviation


def test_drop_path_drops_rows_and_row_dropout_entries():
  x, keys = jnp.ones((64, 4, 4)), nets.keys(64)
  spread = lambda y: np.ptp(y.reshape(64, -1), axis=1)
  assert (spread(drop(models.DropPath(0.5), x, keys)) == 0).all()
  assert (spread(drop(models.RowDropout(0.5), x, keys)) > 0).all()


@pytest.mark.parametrize("drop_layer", DROPS)
def test_nothing_is_dropped_in_evaluation(drop_layer):
  x = batch((4, 3))
  np.testing.assert_array_equal(drop(drop_layer(0.9), x, None, train=False), x)
  np.testing.assert_array_equal(drop(drop_layer(0.0), x, None), x)


def test_drop_rate_must_be_a_probability_below_one():
  with pytest.raises(InputError, match=r"in \[0, 1\); got 1.0"):
    drop(models.RowDropout(1.0), jnp.ones((2, 3)), nets.keys(2))


def test_dropping_needs_one_key_per_row():
  with pytest.raises(InputError, match=r"keys of shape \(2,\).*got None"):
    drop(models.DropPath(0.5), jnp.ones((2, 3)), None)
  with pytest.raises(InputError, match=r"keys of shape \(2,\).*got \(3,\)"):
    drop(models.DropPath(0.5), jnp.ones((2, 3)), nets.keys(3))


def test_no_source_draws_masks_for_the_whole_batch():
  folder = pathlib.Path(jaxssl.__file__).parent
  # make_rng("params") is for starting values.
  rng = r"\bmake_rng\b(?!\(\"params\"\))"
  forbidden = re.compile(rng + r"|\bnn\.Dropout\b|\blinen\.Dropout\b")
  files = sorted(folder.rglob("*.py"))
  assert len(files) > 10
  assert not [f.name for f in files if forbidden.search(f.read_text())]


def test_sincos_positions_are_a_loop():
  height, width, dim = 3, 5, 8
  got = models.sincos_positions(height, width, dim)
  assert got.shape == (15, 8)
  assert got.dtype == np.float32
  for row in range(height):
    for column in range(width):
      expected = []
      for coordinate in (column, row):
        angles = [coordinate * 10000 ** (-k / 2) for k in range(2)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
      np.testing.assert_allclose(got[row * width + column], expected, atol=1e-6)


def test_sincos_positions_need_a_multiple_of_four():
  with pytest.raises(InputError, match="multiple of 4 channels; got 6"):
    models.sincos_positions(2, 2, 6)


# torch 2.13.0: F.interpolate(torch.arange(12.).reshape(1, 1, 3, 4).sin(), size=SIZE,
# mode="bicubic", align_corners=False)
TORCH_BICUBIC = (
  [[-0.148707, 0.606505, 0.368627], [0.501017, -0.285866, -0.604673]],
  [
    [-0.083488, 0.282554, 0.790192, 1.026289, 0.868478, 0.407043, 0.064904],
    [-0.736749, -0.867463, -0.978747, -0.725906, -0.19445, 0.379702, 0.749893],
    [1.04663, 0.851469, 0.489312, -0.077321, -0.614276, -0.903422, -1.04523],
  ],
)


@pytest.mark.parametrize("expected", TORCH_BICUBIC)
def test_positions_are_resized_as_torch_does(expected):
  table = jnp.sin(jnp.arange(12.0)).reshape(3, 4, 1)
  height, width = np.shape(expected)
  got = models.resize_positions(table, height=height, width=width)
  np.testing.assert_allclose(got[..., 0], expected, atol=2e-6)


def test_resizing_keeps_a_constant_and_the_same_size():
  table = batch((4, 4, 2))
  assert models.resize_positions(table, height=4, width=4) is table
  flat = models.resize_positions(jnp.full((4, 4, 2), 1.5), height=7, width=3)
  np.testing.assert_allclose(flat, np.full((7, 3, 2), 1.5), rtol=1e-6)


def test_torch_linear_init_is_uniform_within_the_root_of_the_inputs():
  kernel = layers.torch_linear_init(jax.random.key(0), (16, 400))
  assert 0.24 < float(jnp.abs(kernel).max()) <= 0.25
  np.testing.assert_allclose(jnp.std(kernel), 0.25 / math.sqrt(3), rtol=0.05)


def test_layer_scale_multiplies_each_channel():
  x, layer = batch((2, 3, 4)), models.LayerScale(1e-5)
  values = nets.initial(layer, x.shape)
  np.testing.assert_allclose(nets.evaluate(layer, values, x), 1e-5 * x, rtol=1e-6)
  values["params"]["scale"] = jnp.arange(4.0)
  got = nets.evaluate(layer, values, x)
  np.testing.assert_allclose(got, np.asarray(x) * np.arange(4.0), rtol=1e-6)


def test_squares_are_cut_row_by_row():
  x = np.arange(2 * 7 * 5 * 3).reshape(2, 7, 5, 3)
  got = layers.squares(jnp.asarray(x), 2)
  assert got.shape == (2, 3, 2, 12)
  for row in range(3):
    for column in range(2):
      square = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
      np.testing.assert_array_equal(got[:, row, column], square.reshape(2, 12))


def test_drop_rates_are_linear_or_given():
  np.testing.assert_allclose(layers.drop_rates(0.3, 4), [0, 0.1, 0.2, 0.3])
  assert layers.drop_rates(0.3, 1) == (0.0,)
  assert layers.drop_rates((0.1, 0.1), 2) == (0.1, 0.1)
  with pytest.raises(InputError, match="each of the 3 blocks; got 2 rates"):
    layers.drop_rates((0.1, 0.1), 3)
