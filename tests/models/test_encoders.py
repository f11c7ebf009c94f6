"""What every encoder does, whatever its family."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from tests.models import nets

families = pytest.mark.parametrize("family", nets.ENCODERS)
PATCHES = {"convnet": 16, "resnet": 16}  # the others have 4
MEANS = ("convnet", "resnet", "vit_mean", "vit_frozen")  # of the patches


@families
def test_evaluation_looks_at_each_row_alone(family):
  net, x = nets.ENCODERS[family](), nets.images()
  values = nets.variables(net)
  features = nets.evaluate(net, values, x)
  assert features.shape == (4, 8)
  order = np.array([2, 0, 3, 1])
  permuted = nets.evaluate(net, values, x[order])
  np.testing.assert_allclose(permuted, features[order], atol=1e-6)
  changed = nets.evaluate(net, values, x.at[1:].set(0.5))
  np.testing.assert_allclose(changed[0], features[0], atol=1e-6)
  assert (np.abs(changed[1:] - features[1:]) > 1e-5).any()


@families
def test_evaluation_changes_nothing_and_repeats(family):
  net, x = nets.ENCODERS[family](), nets.images()
  values = nets.variables(net)
  call = jax.jit(partial(net.apply, train=False, mutable=True))
  first, changed = call(values, x)
  assert "intermediates" in changed
  for name in values:
    jax.tree.map(np.testing.assert_array_equal, changed[name], values[name])
  np.testing.assert_array_equal(call(values, x)[0], first)


@families
def test_training_changes_batch_statistics_and_nothing_else(family):
  net, x = nets.ENCODERS[family](), nets.images()
  values = nets.variables(net)
  call = partial(net.apply, train=True, mutable=["params", "batch_stats"])
  _, changed = jax.jit(call)(values, x)
  jax.tree.map(np.testing.assert_array_equal, changed["params"], values["params"])
  assert ("batch_stats" in values) == (family in ("convnet", "resnet"))
  before = jax.tree.leaves(values.get("batch_stats", {}))
  after = jax.tree.leaves(changed.get("batch_stats", {}))
  assert all((a != b).any() for a, b in zip(before, after, strict=True))


@families
def test_patches_are_sown_before_pooling(family):
  net, x = nets.ENCODERS[family](), nets.images()
  siamese = models.Siamese(net, models.moco_head(out=3))
  stats = nets.variables(siamese)
  params = stats.pop("params")
  encode = jax.jit(
    models.make_encode(siamese, lambda params, extra: (params, extra)),
    static_argnames="patches",
  )
  features = encode(params, stats, {"input": x})
  patches = encode(params, stats, {"input": x}, patches=True)
  assert patches.shape == (4, PATCHES.get(family, 4), 8)
  assert patches.dtype == jnp.float32
  if family in MEANS:
    np.testing.assert_allclose(patches.mean(1), features, atol=1e-6)


@families
def test_bfloat16_keeps_parameters_and_results_in_float32(family):
  x = nets.images()
  net = nets.ENCODERS[family](dtype=jnp.bfloat16)
  values = nets.variables(net)
  assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {jnp.dtype("float32")}
  features, _ = nets.train(net, values, x)
  assert features.dtype == jnp.float32
  exact, _ = nets.train(nets.ENCODERS[family](), values, x)
  assert 0 < np.abs(features - exact).max() < 0.05 * np.abs(exact).max()


@families
def test_input_that_is_no_batch_of_images_is_refused(family):
  net = nets.ENCODERS[family]()
  with pytest.raises(InputError, match=r"\[batch, height, width, channels\]; got"):
    nets.parameters(net, (8, 8, 3))
  with pytest.raises(InputError, match=r"floats in .* got uint8"):
    net.init(jax.random.key(0), jnp.zeros(nets.SHAPE, jnp.uint8), train=True)


@pytest.mark.parametrize("family", ["convnet", "resnet"])
def test_the_norm_can_be_exchanged(family):
  net, x = nets.ENCODERS[family](norm=models.LayerNorm), nets.images()
  values = nets.variables(net)
  assert set(values) == {"params"}
  trained, _ = nets.train(net, values, x)
  np.testing.assert_allclose(trained, nets.evaluate(net, values, x), atol=1e-6)


@pytest.mark.parametrize("family", ["convnet", "resnet"])
def test_axis_name_reaches_every_batch_norm(family):
  x = nets.images((8, 8, 8, 3))
  values = nets.variables(nets.ENCODERS[family](), x.shape)
  expected, stats = nets.train(nets.ENCODERS[family](), values, x)
  net = nets.ENCODERS[family](axis_name="data")
  call = lambda x: net.apply(values, x, train=True, mutable=["batch_stats"])
  mapped = jax.pmap(call, axis_name="data", devices=jax.devices()[:2])
  got, new = mapped(x.reshape(2, 4, 8, 8, 3))
  np.testing.assert_allclose(got.reshape(8, 8), expected, atol=1e-5)
  close = lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-5)
  jax.tree.map(close, new["batch_stats"], stats["batch_stats"])
