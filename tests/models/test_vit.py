"""Vision transformers against timm's outputs and parameter counts."""

import functools
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
from tests.models.weights import dense, norm

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
    kind = norm if "norm" in ours else dense
    *path, leaf = ours.split("/")
    (params[path[0]] if path else params)[leaf] = kind(weights, prefix + theirs)
  return params


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
    (models.ViTLarge, 303_301_632, 1024),
  ],
)
def test_parameter_counts_are_those_of_timm(make, count, dim):
  net = make(positions=partial(models.LearnedPositions, grid=(14, 14)))
  assert nets.parameters(net, (2, 224, 224, 3)) == count
  assert nets.output_shape(net, (2, 224, 224, 3)) == (2, dim)


# timm's vit_huge_patch14_224 less the classifier; DINOv2's dinov2_vitg14.
@pytest.mark.parametrize(
  ("make", "side", "count"),
  [
    (models.ViTHuge, 16, 630_764_800),
    (partial(models.ViTGiant, mask_token=True), 37, 1_136_480_768),
  ],
)
def test_parameter_counts_with_patches_of_14(make, side, count):
  net = make(positions=partial(models.LearnedPositions, grid=(side, side)))
  assert nets.parameters(net, (2, 28, 28, 3)) == count


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


@pytest.mark.parametrize("heads", [3, 0, -1])
def test_heads_must_divide_the_width(heads):
  with pytest.raises(InputError, match=f"8 channels do not split into {heads} heads"):
    nets.parameters(nets.ENCODERS["vit"](heads=heads), nets.SHAPE)


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


def masked(net, values, mask, *, x=None):
  """Tokens of random images, attended to where `mask` is True."""
  tokens = nets.images((4, 5, 8)) if x is None else x
  return np.asarray(encoding(net)(values, tokens, mask=mask))


@functools.cache
def encoding(net):
  return jax.jit(partial(net.apply, train=False, method="encode"))


def test_no_token_attends_to_those_out_of_the_mask():
  net, x = nets.ENCODERS["vit"](), nets.images((4, 5, 8))
  values = nets.variables(net)
  mask = jnp.asarray(np.arange(5) < np.array([5, 3, 2, 1])[:, None])
  got = masked(net, values, mask, x=x)
  changed = masked(net, values, mask, x=jnp.where(mask[..., None], x, 9.0))
  for row, count in enumerate((5, 3, 2, 1)):
    np.testing.assert_array_equal(changed[row, :count], got[row, :count])
  alone = masked(net, values, None, x=x[1:2, :3])
  np.testing.assert_allclose(got[1, :3], alone[0], atol=1e-5)


def test_a_row_that_is_all_masked_stays_finite():
  net = nets.ENCODERS["vit"]()
  values, mask = nets.variables(net), jnp.zeros((4, 5), bool)
  assert np.isfinite(masked(net, values, mask)).all()


@pytest.mark.parametrize("mask", [np.ones((4, 4), bool), np.ones((4, 5), np.float32)])
def test_the_mask_of_tokens_must_fit(mask):
  net = nets.ENCODERS["vit"]()
  with pytest.raises(InputError, match=r"must be bool \(4, 5\)"):
    masked(net, nets.variables(net), jnp.asarray(mask))


MASK = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]], bool)


def test_masked_patches_are_not_seen():
  net, x = nets.ENCODERS["vit_registers"](), nets.images()
  values = nets.variables(net)
  features = nets.evaluate(net, values, models.MaskedImage(x, MASK))
  pixels = MASK.reshape(4, 2, 2).repeat(4, 1).repeat(4, 2)[..., None]
  hidden = nets.evaluate(net, values, models.MaskedImage(jnp.where(pixels, 0, x), MASK))
  np.testing.assert_array_equal(hidden, features)
  seen = nets.evaluate(net, values, models.MaskedImage(jnp.where(pixels, x, 0), MASK))
  assert (np.abs(seen - features).max(1) > 1e-6).tolist() == [True, True, False, True]
  plain = nets.evaluate(net, values, x)
  np.testing.assert_allclose(features[1], plain[1], atol=1e-6)
  assert (np.abs(plain - features)[[0, 2, 3]].max(1) > 1e-6).all()


def test_the_mask_token_comes_before_the_positions():
  net = nets.ENCODERS["vit_registers"]()
  values, x = nets.variables(net), nets.images()
  embed = jax.jit(partial(net.apply, method="embed"))
  tokens = np.asarray(embed(values, models.MaskedImage(x, MASK)))
  plain = np.asarray(embed(values, x))
  token = np.asarray(values["params"]["mask_token"][0])
  expected = token + models.sincos_positions(2, 2, 8)
  for row, mask in enumerate(MASK):
    np.testing.assert_allclose(tokens[row, 4:][mask], expected[mask], atol=1e-6)
    np.testing.assert_array_equal(tokens[row, 4:][~mask], plain[row, 4:][~mask])
  np.testing.assert_array_equal(tokens[:, :4], plain[:, :4])


def test_a_masked_image_needs_a_mask_token_and_a_mask_that_fits():
  x = nets.images()
  with pytest.raises(InputError, match="ViT with mask_token=True"):
    nets.ENCODERS["vit"]().init(
      jax.random.key(0), models.MaskedImage(x, MASK), train=True
    )
  net = nets.ENCODERS["vit"](mask_token=True)
  for mask in (MASK[:, :3], MASK.astype(np.float32)):
    with pytest.raises(InputError, match=r"must be bool \(4, 4\), one entry per patch"):
      net.init(jax.random.key(0), models.MaskedImage(x, mask), train=True)


def test_registers_come_after_the_class_token_and_without_position():
  net, x = nets.ENCODERS["vit"](registers=3), nets.images()
  assert net.prefix == 4
  values = nets.variables(net)
  tokens = net.apply(values, x, method="embed")
  params = dict(values["params"])
  registers = params.pop("registers")
  expected = np.broadcast_to(registers, (4, 3, 8))
  np.testing.assert_array_equal(tokens[:, 1:4], expected)
  without = nets.ENCODERS["vit"]().apply({"params": params}, x, method="embed")
  np.testing.assert_array_equal(tokens[:, jnp.array([0, 4, 5, 6, 7])], without)


def test_registers_act_on_the_features_in_any_place():
  net, x = nets.ENCODERS["vit"](registers=3), nets.images()
  values = nets.variables(net)
  params, registers = values["params"], values["params"]["registers"]
  replaced = lambda r: nets.evaluate(net, {"params": {**params, "registers": r}}, x)
  features = replaced(registers)
  np.testing.assert_allclose(replaced(registers[:, ::-1]), features, atol=1e-5)
  assert np.abs(replaced(-registers) - features).max() > 1e-3


def test_swiglu_is_the_formula():
  mlp, x = models.SwiGLU(12), nets.images((2, 3, 4))
  values = nets.variables(mlp, x.shape)
  params = jax.tree.map(np.asarray, values["params"])
  assert params["dense1"]["kernel"].shape == (4, 16)  # 2 x 8: two thirds of 12
  gate, value = np.split(linear_map(np.asarray(x), params["dense1"]), 2, axis=-1)
  expected = linear_map(gate / (1 + np.exp(-gate)) * value, params["dense2"])
  np.testing.assert_allclose(nets.evaluate(mlp, values, x), expected, atol=1e-5)


def linear_map(x, params):
  return x @ params["kernel"] + params["bias"]


@pytest.mark.parametrize(("hidden", "inner"), [(32, 24), (1536, 1024), (6144, 4096)])
def test_swiglu_has_the_hidden_widths_of_dinov2(hidden, inner):
  params = nets.shapes(models.SwiGLU(hidden), (1, 8))["params"]
  assert params["dense1"]["kernel"].shape == (8, 2 * inner)


def with_scales(values, scale):
  """The same with every layer scale filled with a number."""
  replace = lambda path, v: (
    jnp.full_like(v, scale) if path[-2].key in ("scale1", "scale2") else v
  )
  return jax.tree_util.tree_map_with_path(replace, values)


def test_layer_scale_of_zero_leaves_the_embedded_tokens():
  net, x = nets.ENCODERS["vit"](layer_scale=1e-5), nets.images()
  values = with_scales(nets.variables(net), 0.0)
  params = values["params"]["norm"]
  embedded = np.asarray(net.apply(values, x, method="embed"))[:, 0]
  centred = embedded - embedded.mean(1, keepdims=True)
  expected = centred / np.sqrt(embedded.var(1, keepdims=True) + 1e-6)
  expected = expected * np.asarray(params["scale"]) + np.asarray(params["bias"])
  np.testing.assert_allclose(nets.evaluate(net, values, x), expected, atol=1e-5)


def test_layer_scale_of_one_is_none():
  net, x = nets.ENCODERS["vit"](layer_scale=1e-5), nets.images()
  values = with_scales(nets.variables(net), 1.0)
  got = nets.evaluate(net, values, x)
  for i in range(2):
    for name in ("scale1", "scale2"):
      del values["params"][f"blocks_{i}"][name]
  expected = nets.evaluate(nets.ENCODERS["vit"](), values, x)
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_frozen_projection_is_no_parameter_and_acts_as_the_learned_one():
  frozen, x = nets.ENCODERS["vit_frozen"](), nets.images()
  values = nets.variables(frozen)
  assert "patch_embed" not in values["params"]
  kernel = values["frozen"]["patch_embed"]["kernel"]
  dense = {"kernel": kernel, "bias": jnp.zeros(8)}
  params = {**values["params"], "patch_embed": {"dense": dense}}
  learned = frozen.clone(patch_embed=models.PatchEmbed)
  expected = nets.evaluate(learned, {"params": params}, x)
  np.testing.assert_allclose(nets.evaluate(frozen, values, x), expected, atol=1e-6)


def test_a_frozen_projection_passes_through_training_unchanged():
  siamese = models.Siamese(nets.ENCODERS["vit_frozen"](), models.moco_head(out=3))
  stats = nets.variables(siamese)
  params = stats.pop("params")
  assert set(stats) == {"frozen"}
  step = jax.jit(partial(models.apply, siamese))
  out, new = step(params, stats, nets.images(), nets.keys(4))
  assert out.projection.shape == (4, 3)
  jax.tree.map(np.testing.assert_array_equal, new, stats)


def test_a_frozen_projection_starts_by_xavier():
  layer = models.FrozenPatchEmbed(4, 8)
  (kernel,) = jax.tree.leaves(layer.init(jax.random.key(0), nets.images()))
  bound = (6 / (48 + 8)) ** 0.5
  assert 0.9 * bound < np.abs(kernel).max() <= bound


def test_each_parameter_starts_by_the_function_given_for_it():
  seen = {"qkv": [], "token": [], "kernel": []}

  def note(name, key, shape, dtype=jnp.float32):
    seen[name].append(shape)
    return jnp.zeros(shape, dtype)

  options = {f"{name}_init": partial(note, name) for name in seen}
  nets.shapes(nets.ENCODERS["vit"](registers=3, **options))
  assert set(seen["qkv"]) == {(8, 24)}
  assert set(seen["token"]) == {(1, 1, 8), (1, 3, 8)}
  assert set(seen["kernel"]) == {(8, 8), (8, 32), (32, 8)}


def test_drop_path_can_have_one_rate_per_block():
  net = nets.ENCODERS["vit"](drop_path=(0.0, 0.5))
  linear = nets.ENCODERS["vit"](drop_path=0.5)
  values, x, keys = nets.variables(net), nets.images(), nets.keys(4)
  expected, _ = nets.train(linear, values, x, keys)
  np.testing.assert_array_equal(nets.train(net, values, x, keys)[0], expected)
  with pytest.raises(InputError, match="each of the 2 blocks; got 3 rates"):
    nets.shapes(nets.ENCODERS["vit"](drop_path=(0.1, 0.1, 0.1)))
