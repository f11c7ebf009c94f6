"""Vision transformers against timm's outputs and parameter counts."""

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

BLOCK = {
  "norm1": "norm1",
  "attn.qkv": "attention/qkv",
  "attn.proj": "attention/out",
  "norm2": "norm2",
  "mlp.fc1": "dense1",
  "mlp.fc2": "dense2",
}


def converted(weights: dict, depth: int, grid: tuple[int, int]) -> dict:
  """Variables of our ViT from the names and layouts of torch."""
  params = {"token": weights["cls_token"], "norm": norm(weights, "norm")}
  kernel = weights["patch_embed.proj.weight"]
  dense = {
    "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0]),
    "bias": weights["patch_embed.proj.bias"],
  }
  params["patch_embed"] = {"dense": dense}
  first, table = np.split(weights["pos_embed"][0], [1])
  params["position"] = {"class_token": first, "table": table.reshape(*grid, -1)}
  for i in range(depth):
    params[f"blocks_{i}"] = block(weights, f"blocks.{i}.")
  return {"params": params}


def block(weights, prefix):
  """Parameters of one block."""
  params = {"attention": {}}
  for theirs, ours in BLOCK.items():
    kind = norm if "norm" in ours else linear
    *path, leaf = ours.split("/")
    (params[path[0]] if path else params)[leaf] = kind(weights, prefix + theirs)
  return params


def norm(weights, name):
  return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def linear(weights, name):
  return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}


@pytest.fixture(scope="module")
def timm():
  """The case, our net, and its weights."""
  (case,) = golden.load("timm_vit")
  weights = load_file(golden.FOLDER / "timm_vit.safetensors")
  options = {name: case.options[name] for name in ("depth", "heads", "mlp_ratio")}
  net = models.ViT(
    width=case.options["dim"],
    patch=case.options["patch_size"],
    positions=partial(models.LearnedPositions, grid=(4, 4)),
    **options,
  )
  return case, net, converted(weights, options["depth"], (4, 4))


def tokens(net, x):
  return net.encode(net.embed(x), train=False)


def test_tokens_agree_with_timm(timm):
  case, net, variables = timm
  got = jax.jit(partial(net.apply, method=tokens))(variables, case.inputs["images"])
  atol, rtol = case.tolerance["tokens"]
  np.testing.assert_allclose(got, case.outputs["tokens"], atol=atol, rtol=rtol)


def test_features_are_the_class_token_and_patches_the_rest(timm):
  case, net, variables = timm
  call = jax.jit(partial(net.apply, train=False, mutable=["intermediates"]))
  features, seen = call(variables, case.inputs["images"])
  np.testing.assert_allclose(features, case.outputs["tokens"][:, 0], atol=4e-4)
  patches = seen["intermediates"]["patches"][0]
  np.testing.assert_allclose(patches, case.outputs["tokens"][:, 1:], atol=4e-4)


# timm's vit_*_patch16_224 less the classifier.
@pytest.mark.parametrize(
  ("make", "count", "dim"),
  [
    (models.ViTTiny, 5_524_416, 192),
    (models.ViTSmall, 21_665_664, 384),
    (models.ViTBase, 85_798_656, 768),
  ],
)
def test_parameter_counts_are_those_of_timm(make, count, dim):
  net = make(positions=partial(models.LearnedPositions, grid=(14, 14)))
  assert nets.parameters(net, (2, 224, 224, 3)) == count
  assert nets.output_shape(net, (2, 224, 224, 3)) == (2, dim)


def test_sincos_positions_have_no_parameters():
  count = 5_524_416 - 197 * 192
  assert nets.parameters(models.ViTTiny(), (2, 224, 224, 3)) == count


def test_mean_pooling_has_no_class_token():
  learned = partial(models.LearnedPositions, grid=(2, 2))
  count = lambda class_token: nets.parameters(
    nets.ENCODERS["vit"](positions=learned, class_token=class_token), nets.SHAPE
  )
  assert count(True) - count(False) == 2 * 8  # the token and its position


@pytest.mark.parametrize("family", ["vit", "vit_mean"])
def test_the_same_parameters_serve_other_sizes(family):
  net = nets.ENCODERS[family]()
  variables = nets.variables(net)
  for shape in ((2, 16, 16, 3), (2, 4, 12, 3)):
    features = nets.evaluate(net, variables, nets.images(shape))
    assert features.shape == (2, 8)
    assert np.isfinite(features).all()


def test_learned_positions_are_interpolated():
  layer = models.LearnedPositions(grid=(2, 2), width=8, class_token=True)
  params = jax.jit(layer.init, static_argnums=(1, 2))(jax.random.key(0), 2, 2)
  table = params["params"]["table"]
  got = layer.apply(params, 3, 5)
  np.testing.assert_array_equal(got[:1], params["params"]["class_token"])
  resized = models.resize_positions(table, height=3, width=5)
  np.testing.assert_array_equal(got[1:], resized.reshape(15, 8))


def test_sincos_positions_leave_the_class_token_at_zero():
  got = models.SinCosPositions(width=8, class_token=True).apply({}, 2, 3)
  np.testing.assert_array_equal(got[0], np.zeros(8))
  np.testing.assert_array_equal(got[1:], models.sincos_positions(2, 3, 8))


def test_images_must_split_into_patches():
  with pytest.raises(InputError, match="8 x 10 pixels do not split into patches of 4"):
    nets.parameters(nets.ENCODERS["vit"](), (2, 8, 10, 3))


def test_heads_must_divide_the_width():
  with pytest.raises(InputError, match="8 channels do not split into 3 heads"):
    nets.parameters(nets.ENCODERS["vit"](heads=3), nets.SHAPE)


def test_drop_path_of_a_row_is_the_same_in_any_batch():
  net, x, keys = (
    nets.ENCODERS["vit"](drop_path=0.6, depth=3),
    nets.images(),
    nets.keys(4),
  )
  values = nets.variables(net)
  whole, _ = nets.train(net, values, x, keys)
  order = np.array([3, 1])
  part, _ = nets.train(net, values, x[order], keys[order])
  np.testing.assert_allclose(part, whole[order], atol=1e-5)
  other, _ = nets.train(net, values, x, nets.keys(4, seed=10))
  assert np.abs(other - whole).max() > 1e-3


def test_drop_path_needs_keys_in_training_only():
  net, x = nets.ENCODERS["vit"](drop_path=0.1), nets.images()
  values = nets.variables(net)
  nets.evaluate(net, values, x)
  with pytest.raises(InputError, match="DropPath needs keys"):
    nets.train(net, values, x)


def test_layers_draw_their_own_masks():
  net = nets.ENCODERS["vit"](drop_path=0.5)
  x, keys = nets.images((64, 8, 8, 3)), nets.keys(64)
  call = partial(net.apply, train=True, capture_intermediates=keep_drops)
  call = jax.jit(partial(call, mutable=["intermediates"]))
  _, seen = call(nets.variables(net), x, keys=keys)
  last = seen["intermediates"]["blocks_1"]
  first, second = (
    np.asarray(last[name]["__call__"][0]).reshape(64, -1).any(1)
    for name in ("drop1", "drop2")
  )
  assert 0 < first.sum() < 64
  assert (first != second).any()


def keep_drops(module, _):
  return isinstance(module, models.DropPath)


def test_attention_softmax_is_finite_for_large_logits():
  net = nets.ENCODERS["vit"](dtype=jnp.bfloat16)
  values = jax.tree.map(lambda v: 100.0 * v, nets.variables(net))
  assert np.isfinite(nets.evaluate(net, values, nets.images())).all()
