"""MAE, SimMIM and AIM: what is masked, what it costs, the loss by hand, errors."""

import functools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import core, methods, models, optim
from jaxssl.augment import mae_view, many_views
from jaxssl.errors import InputError
from jaxssl.methods.mae import kept_patches
from jaxssl.methods.pixels import pictures
from jaxssl.models.masked import Prefixed, Visible
from jaxssl.presets.masked import mae_decoder, mae_vit
from jaxssl.registry import Run
from tests import masked_cases, token_cases

RUN = Run(steps=1, batch=1)
BATCH, PATCHES = 4, 16
NAMES = [name for name, _, _ in masked_cases.ROWS]
MAKE = {name: make for name, make, _ in masked_cases.ROWS}


def as_it_is(key, image):
  """The view is the image."""
  del key
  return (image,)


def batch(rows=BATCH, side=8):
  images = jax.random.uniform(jax.random.key(1), (rows, side, side, 1))
  return {"input": images}


def keys(rows=BATCH, seed=7):
  return jax.random.split(jax.random.key(seed), rows)


@functools.cache
def toy(name):
  """A method of the table with its first parameters."""
  method = MAKE[name]()
  return method, *jax.jit(method.init)(jax.random.key(0), batch())


def outputs(name, *, data=None, seed=7):
  method, params, extra = toy(name)
  data = batch() if data is None else data
  forward = jax.jit(method.forward)
  return forward(params, extra, data, keys(len(data["input"]), seed), jnp.int32(0))[0]


@pytest.mark.parametrize(("patches", "ratio"), [(196, 0.75), (49, 0.75), (16, 0.6)])
def test_kept_are_as_many_as_in_the_official_code(patches, ratio):
  assert kept_patches(patches, ratio) == int(patches * (1 - ratio))


@pytest.mark.parametrize(("name", "count"), [("mae", 8), ("simmim", 10)])
def test_each_image_has_its_own_mask_of_one_size(name, count):
  got = outputs(name)
  np.testing.assert_array_equal(got.count, count)
  same = {"input": jnp.broadcast_to(batch()["input"][:1], (BATCH, 8, 8, 1))}
  assert len(np.unique(np.asarray(outputs(name, data=same).error))) == BATCH


def test_the_prefix_is_uniform_and_leaves_a_patch():
  """The count is patches - prefix; of 2,000 prefixes each length comes up."""
  counts = np.asarray(outputs("aim", data=batch(2000)).count)
  times = np.bincount(counts.astype(int), minlength=PATCHES)
  assert times[0] == 0 and times.size == PATCHES
  assert times[1:].min() > 0.6 * 2000 / 15 and times[1:].max() < 1.4 * 2000 / 15


def test_a_causal_encoder_has_a_prefix_of_one_and_features_that_look_back():
  net = models.AIM(token_cases.vit(causal=True), models.PixelHead(width=16, depth=1))
  method = methods.aim(net, as_it_is)
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  forward = jax.jit(method.forward)
  got, _ = forward(params, extra, batch(64), keys(64), jnp.int32(0))
  np.testing.assert_array_equal(got.count, PATCHES - 1)
  encode = jax.jit(partial(method.encode, patches=True))
  first = encode(params, extra, batch())
  changed = {"input": batch()["input"].at[:, -2:, -2:].add(0.5)}  # the last patch
  apart = np.abs(np.asarray(encode(params, extra, changed) - first)).max((0, -1))
  assert apart[-1] > 1e-3 and apart[:-1].max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_pitfall_14_the_decoder_is_initialised_and_learns(name):
  method, params, extra = toy(name)

  def loss_of(params):
    made, after = method.forward(params, extra, batch(), keys(), jnp.int32(0))
    return method.objective(params, after, made, jnp.int32(0))[0]

  grads = jax.jit(jax.grad(loss_of))(params)
  assert set(params) - {"encoder"}  # the decoder, a head
  largest = {part: optax.tree.norm(tree) for part, tree in grads.items()}
  assert min(largest.values()) > 1e-6, largest


@pytest.mark.parametrize("class_token", [False, True])
def test_pitfall_14_the_ratio_is_of_patches_not_of_the_class_token(class_token):
  encoder = token_cases.vit().clone(class_token=class_token)
  net = models.MAE(encoder, models.MAEDecoder(16, 1, 2))
  method = methods.mae(net, as_it_is, ratio=0.75)
  state = jax.jit(method.init)(jax.random.key(0), batch())
  got, _ = jax.jit(method.forward)(*state, batch(), keys(), jnp.int32(0))
  np.testing.assert_array_equal(got.count, 12)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_mean_over_the_patches_of_the_batch(name):
  method, params, extra = toy(name)
  got = outputs(name)
  loss, (_, metrics) = method.objective(params, extra, got, jnp.int32(0))
  np.testing.assert_allclose(loss, got.error.sum() / got.count.sum(), rtol=1e-6)
  np.testing.assert_allclose(metrics["target_patches"], got.count.mean())


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_the_batch(name):
  method, params, extra = toy(name)
  forward = jax.jit(method.forward)
  data, rows = batch(), keys()
  whole, _ = forward(params, extra, data, rows, jnp.int32(0))
  part = {"input": data["input"][2:]}
  half, _ = forward(params, extra, part, rows[2:], jnp.int32(0))
  np.testing.assert_allclose(whole.error[2:], half.error, rtol=1e-5)
  np.testing.assert_array_equal(whole.count[2:], half.count)


def patches_of(image):
  """[16, 4] of an image of 8 x 8."""
  return np.asarray(image).reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(16, 4)


def standardised(patches):
  apart = patches - patches.mean(-1, keepdims=True)
  return apart / np.sqrt(patches.var(-1, ddof=1, keepdims=True) + 1e-6)


def test_mae_is_the_error_of_a_net_that_saw_the_rest():
  """Row by row: our own mask from `show`, the net by hand, the error in numpy."""
  net = models.MAE(token_cases.vit(), models.MAEDecoder(width=16, depth=1, heads=2))
  method = methods.mae(net, as_it_is, ratio=0.5)
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  drawn = jax.jit(method.show)(params, extra, batch(), keys())
  (columns,) = drawn.values()
  forward = jax.jit(method.forward)
  got, _ = forward(params, extra, batch(), keys(), jnp.int32(0))
  for row, image in enumerate(np.asarray(batch()["input"])):
    mask = np.all(patches_of(columns[row, 1]) == 0.5, axis=1)
    assert mask.sum() == 8
    index = np.flatnonzero(~mask).astype(np.int32)
    seen = Visible(*(jnp.asarray(x)[None] for x in (image, mask, index)))
    prediction = np.asarray(net.apply({"params": params}, seen, train=False))[0]
    apart = (prediction - standardised(patches_of(image))) ** 2
    np.testing.assert_allclose(got.error[row], apart.mean(1)[mask].sum(), rtol=1e-4)


def test_aim_is_the_error_of_what_comes_after_the_prefix():
  net = models.AIM(token_cases.vit(), models.PixelHead(width=16, depth=1))
  method = methods.aim(net, as_it_is, normalize=False)
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  forward = jax.jit(method.forward)
  got, _ = forward(params, extra, batch(), keys(), jnp.int32(0))
  images = batch()["input"]
  prefix = PATCHES - got.count.astype(jnp.int32)
  inputs = Prefixed(images, prefix)
  prediction = np.asarray(net.apply({"params": params}, inputs, train=False))
  for row, image in enumerate(np.asarray(images)):
    start = int(prefix[row])
    apart = (prediction[row, start - 1 :] - patches_of(image)[start:]) ** 2
    np.testing.assert_allclose(got.error[row], apart.mean(1).sum(), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_keep_what_was_seen(name):
  method, params, extra = toy(name)
  (drawn,) = jax.jit(method.show)(params, extra, batch(), keys()).values()
  assert drawn.shape == (BATCH, 3, 8, 8, 1)
  original, seen, rebuilt = np.moveaxis(np.asarray(drawn), 1, 0)
  assert drawn.min() >= 0 and drawn.max() <= 1
  known = seen != 0.5
  assert 0 < known.mean() < 1
  np.testing.assert_array_equal(seen[known], original[known])
  np.testing.assert_array_equal(rebuilt[known], original[known])
  assert np.abs(rebuilt - original)[~known].max() > 1e-3


def test_a_perfect_prediction_is_the_image():
  """Standardised pixels get back the mean and the deviation of their patch."""
  image = np.asarray(batch()["input"])
  target = np.stack([standardised(patches_of(x)) for x in image])
  mask = jnp.ones((BATCH, PATCHES), bool)
  drawn = pictures(jnp.asarray(image), jnp.asarray(target), mask, patch=2, scaled=True)
  np.testing.assert_allclose(drawn[:, 2], image, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_encode_sees_the_whole_image(name):
  method, params, extra = toy(name)
  encoder = token_cases.vit(mask_token=name == "simmim")
  expected = encoder.apply({"params": params["encoder"]}, batch()["input"], train=False)
  got = method.encode(params, extra, batch())
  np.testing.assert_allclose(got, expected, atol=1e-6)
  patches = method.encode(params, extra, batch(), patches=True)
  np.testing.assert_allclose(patches.mean(1), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_thirty_steps_on_one_batch_learn_something(name):
  method, tx = MAKE[name](), optax.adam(3e-3)
  state = jax.jit(partial(core.init_state, method, tx))(jax.random.key(0), batch())
  step = jax.jit(partial(core.train_step, method, tx))
  found = []
  for _ in range(30):
    state, metrics = step(state, batch())
    found.append(float(metrics["loss"]))
  assert np.mean(found[-5:]) < 0.9 * np.mean(found[:5])


def flops_of_a_step(ratio):
  """FLOPs of MAE's step with ViT-B/16 at 224 pixels, before it is compiled."""
  net = models.MAE(mae_vit("vit_base", RUN, size=224), models.MAEDecoder())
  method = methods.mae(net, many_views(mae_view(224)), ratio=ratio)
  tx = optim.adamw(1e-4, weight_decay=0.05, b2=0.95)
  images = jax.ShapeDtypeStruct((16, 224, 224, 3), jnp.float32)
  data = {"input": images}
  state = jax.eval_shape(partial(core.init_state, method, tx), jax.random.key(0), data)
  step = partial(core.train_step, method, tx)
  return jax.jit(step).lower(state, data).cost_analysis()["flops"]


def test_a_step_at_75_percent_costs_less_than_half_of_one_on_all_patches():
  """The other step leaves out one patch of 196: the least that can be left out."""
  ratio = flops_of_a_step(0.75) / flops_of_a_step(1 / 196)
  assert 0.4 < ratio <= 0.45


BAD_RATIOS = (0.0, 1.0, -0.1, 1.5, math.nan)


@pytest.mark.parametrize("ratio", BAD_RATIOS)
@pytest.mark.parametrize("name", ["mae", "simmim"])
def test_a_ratio_is_above_0_and_below_1(name, ratio):
  nets = {
    "mae": models.MAE(token_cases.vit(), models.MAEDecoder()),
    "simmim": models.SimMIM(token_cases.vit(mask_token=True)),
  }
  with pytest.raises(InputError, match="above 0 and below 1"):
    getattr(methods, name)(nets[name], as_it_is, ratio=ratio)


def traced(method, data):
  return jax.eval_shape(method.init, jax.random.key(0), data)


def small(name, **options):
  """A method on a net of patches of 2 pixels."""
  if name == "aim":
    net = models.AIM(token_cases.vit(), models.PixelHead(width=8, depth=1))
  elif name == "mae":
    net = models.MAE(token_cases.vit(), models.MAEDecoder(8, 1, 2))
  else:
    net = models.SimMIM(token_cases.vit(mask_token=True))
  return getattr(methods, name)(net, as_it_is, **options)


@pytest.mark.parametrize("name", NAMES)
def test_patches_must_fill_the_image(name):
  with pytest.raises(InputError, match="7 x 7 pixels do not split into patches of 2"):
    traced(small(name), batch(side=7))


@pytest.mark.parametrize("name", NAMES)
def test_one_patch_is_no_task(name):
  with pytest.raises(InputError, match="a single patch"):
    traced(small(name), batch(side=2))


def test_a_patch_must_be_left():
  with pytest.raises(InputError, match="leaves none of 4 patches"):
    traced(small("mae", ratio=0.9), batch(side=4))
  with pytest.raises(InputError, match="leaves none of 4"):
    traced(small("simmim", ratio=0.9), batch(side=8))


def test_squares_must_fill_the_grid():
  with pytest.raises(InputError, match="units of 3"):
    traced(small("simmim", unit=3), batch())


def test_simmim_needs_a_mask_token():
  with pytest.raises(InputError, match="mask_token=True"):
    methods.simmim(models.SimMIM(token_cases.vit()), as_it_is)


@pytest.mark.parametrize("options", [{"class_token": True}, {"registers": 1}])
def test_aim_has_patches_alone(options):
  vit = models.ViT(width=8, depth=1, heads=2, **{"class_token": False, **options})
  with pytest.raises(InputError, match="tokens of patches alone"):
    methods.aim(models.AIM(vit, models.PixelHead()), as_it_is)


@pytest.mark.parametrize("name", ["vit_tiny", "vit_small", "vit_base", "vit_large"])
def test_only_wide_encoders_get_the_paper_s_decoder(name):
  net = mae_vit(name, Run(1, 1), size=224)
  found = mae_decoder(net, size=224)
  paper = (found.width, found.depth, found.heads) == (512, 8, 16)
  assert paper == (name in ("vit_base", "vit_large"))
  if not paper:
    assert found == models.light_decoder(net, (224, 224, 3))
  assert mae_decoder(net, size=224, depth=2) == found.clone(depth=2)
