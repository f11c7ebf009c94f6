"""ResNets against timm's outputs and the published parameter counts."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxssl import models
from jaxssl.errors import InputError
from tests import golden
from tests.models import nets

NAMES = {
  "weight": "scale",
  "bias": "bias",
  "running_mean": "mean",
  "running_var": "var",
}


def converted(weights: dict) -> dict:
  """Variables of our ResNet from the names and layouts of torch."""
  variables = {"params": {}, "batch_stats": {}}
  for name, value in weights.items():
    if name.startswith("fc.") or name.endswith("num_batches_tracked"):
      continue
    block, layer, leaf = place(name)
    if value.ndim == 4:
      leaf, value = "kernel", value.transpose(2, 3, 1, 0)
    kind = "batch_stats" if leaf in ("mean", "var") else "params"
    variables[kind].setdefault(block, {}).setdefault(layer, {})[leaf] = value
  return variables


def place(name):
  """Block, layer and leaf of a name of torch."""
  found = re.fullmatch(r"layer(\d)\.(\d)\.(.+)\.(\w+)", name)
  if found is None:
    layer, leaf = name.split(".")
    return "stem", {"conv1": "conv", "bn1": "norm"}[layer], NAMES[leaf]
  stage, block, layer, leaf = found.groups()
  special = {"downsample.0": "shortcut_conv", "downsample.1": "shortcut_norm"}
  layer = special.get(layer, layer.replace("bn", "norm"))
  return f"stage{stage}_block{int(block) + 1}", layer, NAMES[leaf]


@pytest.fixture(scope="module")
def timm():
  """The case, our net with its weights, and its classifier."""
  (case,) = golden.load("timm_resnet")
  weights = load_file(golden.FOLDER / "timm_resnet.safetensors")
  net = models.ResNet(
    layers=tuple(case.options["layers"]),
    block=models.BasicBlock,
    channels=tuple(case.options["channels"]),
    stem_channels=case.options["stem_channels"],
  )
  head = lambda x: x @ weights["fc.weight"].T + weights["fc.bias"]
  return case, net, converted(weights), head


def check(case, name, got):
  atol, rtol = case.tolerance[name]
  np.testing.assert_allclose(got, case.outputs[name], atol=atol, rtol=rtol)


def test_evaluation_agrees_with_timm(timm):
  case, net, variables, head = timm
  call = jax.jit(partial(net.apply, train=False, mutable=["intermediates"]))
  pooled, seen = call(variables, case.inputs["images"])
  check(case, "pooled", pooled)
  check(case, "logits", head(np.asarray(pooled)))
  feature_map = seen["intermediates"]["patches"][0].reshape(2, 2, 2, 32)
  check(case, "feature_map", feature_map)


def test_training_mode_agrees_with_timm(timm):
  case, net, variables, head = timm
  features, _ = nets.train(net, variables, case.inputs["images"])
  check(case, "logits_train_mode", head(np.asarray(features)))


# torchvision's counts less those of the classifier.
@pytest.mark.parametrize(
  ("make", "count", "dim"),
  [
    (models.ResNet18, 11_176_512, 512),
    (models.ResNet34, 21_284_672, 512),
    (models.ResNet50, 23_508_032, 2048),
    (models.ResNet101, 42_500_160, 2048),
    (models.ResNet152, 58_143_808, 2048),
  ],
)
def test_parameter_counts_are_those_of_torchvision(make, count, dim):
  assert nets.parameters(make(), (2, 64, 64, 3)) == count
  assert nets.output_shape(make(), (2, 64, 64, 3)) == (2, dim)


def test_cifar_stem_is_smaller_and_keeps_the_resolution():
  net = models.ResNet18(stem=models.CifarStem)
  smaller = (49 - 9) * 3 * 64
  assert nets.parameters(net, (2, 32, 32, 3)) == 11_176_512 - smaller
  patches = lambda net: (
    jax.eval_shape(
      lambda: net.init_with_output(
        jax.random.key(0), jnp.zeros((2, 32, 32, 3)), train=False, mutable=True
      )
    )[1]["intermediates"]["patches"][0].shape
  )
  assert patches(net) == (2, 16, 512)
  assert patches(models.ResNet18()) == (2, 1, 512)


def test_width_multiplies_the_channels():
  # SimCLR's table of ResNet-50 (2x): 94 million.
  assert nets.output_shape(models.ResNet50(width=2), (2, 32, 32, 3)) == (2, 4096)
  assert round(nets.parameters(models.ResNet50(width=2), (2, 32, 32, 3)) / 1e6) == 94


@pytest.mark.parametrize(("zero_init", "start"), [(True, 0.0), (False, 1.0)])
def test_zero_init_is_for_the_last_scale_of_a_block(zero_init, start):
  net = nets.ENCODERS["resnet"](layers=(1,), channels=(4,), zero_init=zero_init)
  params = nets.initial(net)["params"]["stage1_block1"]
  np.testing.assert_array_equal(params["norm2"]["scale"], np.full(4, start))
  np.testing.assert_array_equal(params["norm1"]["scale"], np.ones(4))


@pytest.mark.parametrize("block", [models.BasicBlock, models.Bottleneck])
def test_a_block_with_zero_scale_is_the_identity(block):
  x = nets.images((2, 4, 4, 8))
  width = {models.BasicBlock: 8, models.Bottleneck: 2}[block]
  block = block(width, 1, models.BatchNorm, jax.nn.initializers.zeros)
  values = nets.variables(block, x.shape)
  last = max(name for name in values["params"] if name.startswith("norm"))
  assert np.abs(nets.train(block, values, x)[0] - x).max() > 0.1
  values["params"][last] = {"scale": jnp.zeros(8), "bias": jnp.zeros(8)}
  np.testing.assert_allclose(nets.train(block, values, x)[0], x, atol=1e-6)


def test_strided_layers_pad_both_sides():
  stem = models.ImageNetStem(channels=1, norm=models.BatchNorm)
  keep = lambda module, _: module.name == "conv"
  call = partial(stem.apply, train=False, capture_intermediates=keep)
  values = jax.tree.map(jnp.ones_like, nets.variables(stem, (1, 8, 8, 1)))
  _, seen = jax.jit(partial(call, mutable=["intermediates"]))(
    values, jnp.ones((1, 8, 8, 1))
  )
  inside = np.array([4.0, 6.0, 7.0, 5.0])  # "SAME" has 5, 7, 6, 4: two rows on top
  got = seen["intermediates"]["conv"]["__call__"][0]
  np.testing.assert_allclose(got[0, :, :, 0], np.outer(inside, inside))


def test_every_stage_needs_a_width():
  with pytest.raises(InputError, match="one width per stage"):
    nets.shapes(models.ResNet18(channels=(8, 8)))
