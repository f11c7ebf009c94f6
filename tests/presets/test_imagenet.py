"""What the experiments on ImageNet share, beside building them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models, presets
from jaxssl.augment import sobel
from jaxssl.errors import InputError
from jaxssl.presets import imagenet
from jaxssl.registry import Run

RUN = Run(steps=1000, batch=512)


def test_layers_move_by_their_depth():
  vit = models.ViT(width=8, depth=2, heads=2, patch=4)
  params = vit.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)["params"]
  tree = {"net": {"encoder": params}, "last_layer": jnp.ones((2, 2))}
  ones = jax.tree.map(jnp.ones_like, tree)
  tx = imagenet.layer_decay(0.5, depth=2, patch_rate=0.2)
  moved, _ = tx.update(ones, tx.init(tree), tree)
  layers = moved["net"]["encoder"]
  wanted = {"token": 1 / 8, "blocks_0": 1 / 4, "blocks_1": 1 / 2, "norm": 1.0}
  wanted["patch_embed"] = 0.2 / 8
  assert set(wanted) == set(layers)
  for name, rate in wanted.items():
    for leaf in jax.tree.leaves(layers[name]):
      np.testing.assert_allclose(leaf, rate, rtol=1e-6)
  np.testing.assert_array_equal(moved["last_layer"], 1.0)


def test_temperature_is_a_staircase():
  temperature = presets.warmed_temperature(RUN, 0.04, 0.07, warmup=30, epochs=100)
  values = [float(temperature(jnp.int32(s))) for s in (0, 9, 10, 289, 290, 999)]
  wanted = np.linspace(0.04, 0.07, 30)[[0, 0, 1, 28, 29, 29]]
  np.testing.assert_allclose(values, wanted, rtol=1e-5)


def test_rate_falls_at_the_drops():
  run = Run(steps=20, batch=512)
  tx = imagenet.stepped_sgd(run, 0.03, weight_decay=0.0, drops=(12, 16), epochs=20)
  params, slopes = {"w": jnp.ones(1)}, {"w": jnp.ones(1)}
  state, trace, rates = tx.init(params), 0.0, []
  for _ in range(run.steps):
    trace = 0.9 * trace + 1.0
    moved, state = tx.update(slopes, state, params)
    rates.append(-float(moved["w"][0]) / trace)
  wanted = [0.06] * 12 + [0.006] * 4 + [0.0006] * 4
  np.testing.assert_allclose(rates, wanted, rtol=1e-4)


def test_sobel_net_sees_edges():
  head = models.linear_head(out=4)
  x = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
  encoder = models.ConvNet(widths=(4,), pools=(2,))
  edges = imagenet.SobelSiamese(encoder, head)
  plain = models.Siamese(encoder, head)
  variables = plain.init(jax.random.key(1), sobel(x), train=False)
  out = edges.apply(variables, x, train=False).projection
  wanted = plain.apply(variables, sobel(x), train=False).projection
  np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("steps", (1, 2, 3))
def test_schedules_shrink_with_the_run(steps):
  run = Run(steps=steps, batch=8)
  temperature = presets.warmed_temperature(run, 0.04, 0.07, warmup=30, epochs=100)
  assert 0.0399 < float(temperature(jnp.int32(0))) < 0.0701
  imagenet.larc(run, 0.3, weight_decay=0.0, warmup=10, epochs=100)
  imagenet.stepped_sgd(run, 0.03, weight_decay=0.0, drops=(120, 160), epochs=200)


@pytest.mark.parametrize("epochs", [-1, 101])
def test_a_share_of_a_run_is_a_part_of_it(epochs):
  assert presets.share(RUN, 99, of=100) == 990
  with pytest.raises(InputError, match=f"{epochs} out of 100 .* 0 to 100"):
    presets.share(RUN, epochs, of=100)


def test_a_temperature_without_a_warm_up_is_at_its_end():
  temperature = presets.warmed_temperature(RUN, 0.04, 0.07, warmup=0, epochs=100)
  np.testing.assert_allclose(temperature(11), 0.07, rtol=1e-6)
