"""MAE's net against transformers', FLOPs of the compiler, and who sees whom."""

import functools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxssl import augment, losses, models, ops
from jaxssl.errors import InputError
from jaxssl.models import masked
from jaxssl.presets import digits_vit
from jaxssl.presets.masked import mae_vit
from jaxssl.registry import Run
from tests import golden
from tests.models import nets

RUN = Run(steps=1, batch=1)
SHAPE = (2, 8, 8, 1)
PATCHES = 16
ENCODER = ("hidden", "layers", "heads")
DECODER = ("decoder_hidden", "decoder_layers", "decoder_heads")
BLOCK = {
  "layernorm_before": "norm1",
  "attention.o_proj": "attention/out",
  "layernorm_after": "norm2",
  "mlp.fc1": "dense1",
  "mlp.fc2": "dense2",
}


def layer(weights, name):
  """A linear layer or a norm, from the names and layouts of torch."""
  weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
  if weight.ndim == 1:
    return {"scale": weight, "bias": bias}
  if weight.ndim == 4:
    weight = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
  return {"kernel": weight.T, "bias": bias}


def block(weights, prefix):
  """Parameters of one block; three projections there are one here."""
  parts = [layer(weights, f"{prefix}attention.{n}_proj") for n in "qkv"]
  joined = {n: np.concatenate([p[n] for p in parts], axis=-1) for n in parts[0]}
  params = {"attention": {"qkv": joined}}
  for theirs, ours in BLOCK.items():
    *path, leaf = ours.split("/")
    (params[path[0]] if path else params)[leaf] = layer(weights, prefix + theirs)
  return params


def converted(weights):
  """Parameters of our MAE."""
  embed = "vit.embeddings."
  encoder = {
    "token": weights[f"{embed}cls_token"],
    "patch_embed": {"dense": layer(weights, f"{embed}patch_embeddings.projection")},
    "norm": layer(weights, "vit.layernorm"),
    **{f"blocks_{i}": block(weights, f"vit.layers.{i}.") for i in range(2)},
  }
  decoder = {
    "mask_token": weights["decoder.mask_token"],
    "inward": layer(weights, "decoder.decoder_embed"),
    "norm": layer(weights, "decoder.decoder_norm"),
    "out": layer(weights, "decoder.decoder_pred"),
    **{f"block{i}": block(weights, f"decoder.decoder_layers.{i}.") for i in range(2)},
  }
  return {"params": {"encoder": encoder, "decoder": decoder}}


class NoPositions(models.SinCosPositions):
  """Zeros: the tables in the reference's weights are zero, whatever its note says."""

  def __call__(self, height, width):
    return jnp.zeros((int(self.class_token) + height * width, self.width))


@pytest.fixture(scope="module")
def theirs():
  """The case, our net, its weights, and what the net takes."""
  (case,) = golden.load("hf_vit_mae")
  weights = load_file(golden.FOLDER / "hf_vit_mae.safetensors")
  options = case.options
  net = models.MAE(
    models.ViT(*(options[n] for n in ENCODER), patch=8, positions=NoPositions),
    models.MAEDecoder(*(options[n] for n in DECODER), positions=NoPositions),
  )
  mask = case.outputs["mask"] > 0
  for name in ("vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"):
    assert not weights[name].any()
  index = np.stack([np.flatnonzero(~row) for row in mask]).astype(np.int32)
  inputs = masked.Visible(*map(jnp.asarray, (case.inputs["images"], mask, index)))
  return case, net, converted(weights), inputs


def test_masks_are_those_of_transformers(theirs, monkeypatch):
  """Ours draws the order in which patches are hidden, theirs noise that has one."""
  noise, expected = theirs[0].inputs["noise"], theirs[0].outputs["mask"]
  side = math.isqrt(noise.shape[1])
  for row, mask in zip(noise, expected, strict=True):
    order = jnp.asarray(np.argsort(np.argsort(-row)))
    monkeypatch.setattr(jax.random, "permutation", lambda key, n, x=order: x)
    ours = augment.random_mask(jax.random.key(0), grid=(side, side), ratio=0.75)
    np.testing.assert_array_equal(ours, mask > 0)


def test_the_encoder_agrees_with_transformers(theirs):
  case, net, variables, inputs = theirs
  look = jax.jit(partial(net.apply, train=False, method="look"))
  kept = look(variables, inputs)
  order = np.argsort(case.inputs["noise"], axis=1)[:, :4]  # latents are in this order
  latent = np.take_along_axis(
    case.outputs["latent"][:, 1:], np.argsort(order, axis=1)[..., None], axis=1
  )
  atol, rtol = case.tolerance["latent"]
  np.testing.assert_allclose(kept.patches, latent, atol=atol, rtol=rtol)
  first = case.outputs["latent"][:, :1]
  np.testing.assert_allclose(kept.first, first, atol=atol, rtol=rtol)


def test_prediction_and_loss_agree_with_transformers(theirs):
  case, net, variables, inputs = theirs
  prediction = jax.jit(partial(net.apply, train=False))(variables, inputs)
  target = losses.patch_targets(inputs.image, 8, normalize=True)
  error, count = losses.masked_squared_error(prediction, target, inputs.mask)
  got = {"prediction": prediction, "loss": error.sum() / count.sum()}
  for name, value in got.items():
    atol, rtol = case.tolerance[name]
    np.testing.assert_allclose(value, case.outputs[name], atol=atol, rtol=rtol)


def vit(**options):
  """Two blocks; 8 x 8 pixels are 16 patches."""
  return models.ViT(width=8, depth=2, heads=2, patch=2, **options)


def visible(images, kept=4, seed=0):
  """Other patches of each image."""
  order = np.argsort(np.random.default_rng(seed).random((len(images), PATCHES)), axis=1)
  index = np.sort(order[:, :kept], axis=1).astype(np.int32)
  mask = np.ones((len(images), PATCHES), bool)
  np.put_along_axis(mask, index, False, axis=1)
  return masked.Visible(images, jnp.asarray(mask), jnp.asarray(index))


@functools.cache
def toy_mae(**options):
  """A small MAE with random weights, as (prediction of inputs)."""
  net = models.MAE(vit(**options), models.MAEDecoder(width=8, depth=1, heads=2))
  inputs = visible(nets.images(SHAPE))
  shapes = jax.eval_shape(partial(net.init, train=True), jax.random.key(0), inputs)
  leaf = partial(nets._random_leaf, np.random.default_rng(4))
  values = jax.tree_util.tree_map_with_path(leaf, shapes)
  return jax.jit(lambda x: net.apply(values, x, train=False))


@pytest.mark.parametrize("options", [{}, {"class_token": False}, {"registers": 2}])
def test_masked_patches_change_nothing(options):
  predict, images = toy_mae(**options), nets.images(SHAPE)
  x = visible(images)
  pixels = np.asarray(x.mask).reshape(2, 4, 4).repeat(2, 1).repeat(2, 2)[..., None]
  got = np.asarray(predict(x))
  assert got.shape == (2, PATCHES, 4)
  hidden = predict(x._replace(image=jnp.where(pixels, 9.0, images)))
  np.testing.assert_array_equal(hidden, got)
  seen = predict(x._replace(image=jnp.where(pixels, images, 9.0)))
  assert np.abs(seen - got).max() > 1e-3


def test_kept_patches_go_back_to_their_places():
  """What is decoded at a place is its own patch, and the mask token elsewhere."""
  decoder = models.MAEDecoder(width=8, depth=0, heads=2)
  x = visible(nets.images(SHAPE))
  tokens = nets.images((2, 5, 6))
  kept = masked.Kept(tokens[:, :1], tokens[:, 1:], x.mask)
  call = {"grid": (4, 4), "values": 3, "train": False}
  variables = decoder.init(jax.random.key(0), kept, **call)
  params = variables["params"]
  place = models.sincos_positions(4, 4, 8)
  got = np.asarray(decoder.apply(variables, kept, **call))
  for row in range(2):
    tokens_in = np.broadcast_to(params["mask_token"][0], (PATCHES, 8)).copy()
    for i, at in enumerate(np.asarray(x.index)[row]):
      tokens_in[at] = np.asarray(tokens)[row, 1 + i] @ params["inward"]["kernel"]
    y = tokens_in + place
    y = (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)
    np.testing.assert_allclose(got[row], y @ params["out"]["kernel"], atol=1e-4)


def test_the_prefix_sees_itself_and_the_rest_looks_back():
  got = np.asarray(masked.prefix_mask(jnp.array([1, 3], jnp.int32), 5))
  for row, prefix in enumerate((1, 3)):
    for i in range(5):
      for j in range(5):
        assert got[row, i, j] == (j <= i or j < prefix)


@functools.cache
def toy_aim():
  """A small AIM with random weights, as (images, prefix) -> predictions."""
  net = models.AIM(vit(class_token=False), models.PixelHead(width=8, depth=1))
  inputs = masked.Prefixed(nets.images(SHAPE), jnp.ones(2, jnp.int32))
  shapes = jax.eval_shape(partial(net.init, train=True), jax.random.key(0), inputs)
  leaf = partial(nets._random_leaf, np.random.default_rng(4))
  values = jax.tree_util.tree_map_with_path(leaf, shapes)
  return jax.jit(lambda *x: net.apply(values, masked.Prefixed(*x), train=False))


@pytest.mark.parametrize("prefix", [1, 5])
def test_no_patch_is_predicted_from_itself_or_later_ones(prefix):
  """Patch j changes the predictions of patches after j, and after the prefix alone."""
  image = np.asarray(nets.images((1, 8, 8, 1)))
  images = image.repeat(PATCHES, axis=0)
  for j in range(PATCHES):
    row, column = divmod(j, 4)
    images[j, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 3.0
  lengths = jnp.full(PATCHES, prefix, jnp.int32)
  plain = np.asarray(toy_aim()(jnp.asarray(image.repeat(PATCHES, axis=0)), lengths))
  changed = np.abs(np.asarray(toy_aim()(jnp.asarray(images), lengths)) - plain).max(-1)
  for j in range(PATCHES):
    for i in range(max(prefix, 1), PATCHES):  # patch i is entry i - 1
      assert (changed[j, i - 1] > 1e-5) == (i > j), (i, j)
    if 0 < j < prefix:  # inside the prefix all see all: those don't count in the loss
      assert changed[j, : prefix - 1].min() > 1e-5


def test_a_mask_of_pairs_is_the_mask_of_tokens():
  net, x = nets.ENCODERS["vit"](), nets.images((4, 5, 8))
  values = nets.variables(net)
  mask = jnp.asarray(np.arange(5) < np.array([5, 3, 2, 1])[:, None])
  pairs = jnp.broadcast_to(mask[:, None], (4, 5, 5))
  encode = jax.jit(partial(net.apply, train=False, method="encode"))
  expected = encode(values, x, mask=mask)
  np.testing.assert_array_equal(encode(values, x, mask=pairs), expected)


@pytest.mark.parametrize("options", [{"class_token": True}, {"registers": 1}])
def test_a_causal_vit_has_patches_alone(options):
  net = vit(**{"class_token": False, "causal": True, **options})
  with pytest.raises(InputError, match="A causal ViT has patches alone"):
    jax.eval_shape(partial(net.init, train=True), jax.random.key(0), nets.images(SHAPE))


def test_a_mask_of_pairs_must_fit():
  net = nets.ENCODERS["vit"]()
  values, mask = nets.variables(net), jnp.ones((4, 5, 4), bool)
  with pytest.raises(InputError, match=r"must be bool \(4, 5\) or \(4, 5, 5\)"):
    net.apply(values, nets.images((4, 5, 8)), train=False, mask=mask, method="encode")


def flops(call, *shapes):
  """FLOPs as the compiler counts them before it compiles."""
  return jax.jit(call).lower(*shapes).cost_analysis()["flops"]


def cost(net, *, side, channels, kept):
  """FLOPs of the whole encoder and of the decoder, for one image."""
  grid = ops.patch_grid((1, side, side, channels), net.encoder.patch)
  patches = grid[0] * grid[1]
  image = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
  inputs = masked.Visible(
    image,
    jax.ShapeDtypeStruct((1, patches), jnp.bool_),
    jax.ShapeDtypeStruct((1, kept), jnp.int32),
  )
  variables = jax.eval_shape(partial(net.init, train=True), jax.random.key(0), inputs)
  own = lambda part: {"params": variables["params"][part]}
  look = partial(net.apply, train=False, method="look")
  kept_shapes = jax.eval_shape(look, variables, inputs)
  decode = partial(net.decoder.apply, grid=grid, train=False)
  decode = partial(decode, values=net.encoder.patch**2 * channels)
  encode = partial(net.encoder.apply, train=False)
  whole = flops(encode, own("encoder"), image)
  return whole, flops(decode, own("decoder"), kept_shapes)


@pytest.mark.parametrize(
  ("encoder", "side", "channels"),
  [
    (digits_vit(class_token=False), 8, 1),
    (mae_vit("vit_tiny", RUN, size=64).clone(patch=8), 64, 3),
    (models.ViTSmall(), 128, 3),
  ],
)
def test_the_light_decoder_costs_a_quarter_of_the_encoder(encoder, side, channels):
  decoder = models.light_decoder(encoder, (side, side, channels))
  patches = (side // encoder.patch) ** 2
  net = models.MAE(encoder, decoder)
  whole, decoding = cost(net, side=side, channels=channels, kept=patches // 4)
  assert 0.1 < decoding / whole <= 0.25
  assert decoder.width == encoder.width // 2


def test_a_light_decoder_has_a_block():
  decoder = models.light_decoder(vit(), (8, 8, 3), share=0.01)
  assert (decoder.width, decoder.depth, decoder.heads) == (4, 1, 2)
