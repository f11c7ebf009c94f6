"""BEiT, MaskFeat, data2vec and the discrete VAE against what the papers write."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, methods, ops, registry, runs
from jaxssl.augment import beit_view, data2vec_view, in_two_sizes, maskfeat_view
from jaxssl.errors import InputError
from jaxssl.methods.beit import BeitOutputs
from jaxssl.methods.common import PatchErrors
from jaxssl.methods.data2vec import block_outputs
from jaxssl.methods.dvae import perplexity
from jaxssl.methods.hidden import hidden_error, hidden_picture
from jaxssl.models import MaskedImage, Siamese, linear_head
from jaxssl.models.siamese import draw_views
from jaxssl.ops.patches import cut_patches
from jaxssl.presets import targets
from tests import cases, targets_cases
from tests.saved import saved
from tests.token_cases import constant

MAKERS = {name: make for name, make, _ in targets_cases.ROWS}
ROWS = 4


@functools.cache
def batch():
  return jax.tree.map(lambda x: x[:ROWS], cases.batch())


@functools.cache
def started(name):
  method = MAKERS[name]("layer")
  return method, *jax.jit(method.init)(jax.random.key(0), batch())


@functools.cache
def forwarded(name):
  method, params, extra = started(name)
  keys = jax.random.split(jax.random.key(7), ROWS)
  outputs, _ = jax.jit(method.forward)(params, extra, batch(), keys, jnp.int32(0))
  return outputs


def asked(name):
  """The images, masks and net keys of `forwarded`, drawn again by hand."""
  del name
  keys = jax.random.split(jax.random.key(7), ROWS)
  (image,), keys = draw_views(targets_cases.one_view, keys, batch()["input"])
  split = jax.vmap(jax.random.split)(keys)
  return image, jax.vmap(targets_cases.random_mask)(split[:, 0]), split[:, 1]


def predictions(name, out, **options):
  """What the student predicts of all patches, in float64."""
  _, params, extra = started(name)
  image, mask, keys = asked(name)
  net = targets_cases.net(out, **options)
  _, seen = net.apply(
    {"params": params, **extra.stats},
    MaskedImage(image, mask),
    train=True,
    keys=keys,
    mutable=["intermediates"],
  )
  patches = seen["intermediates"]["encoder"]["patches"][0]
  leaves = sorted(jax.tree.leaves(params["projector"]), key=jnp.ndim)
  bias, kernel = map(np.float64, leaves)
  return np.float64(patches) @ kernel + bias


def log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_beit_is_the_cross_entropy_of_hidden_tokens():
  outputs, (image, mask, _) = forwarded("beit"), asked("beit")
  logits = predictions("beit", targets_cases.VOCABULARY, drop_path=(0.1,))
  tokens = np.asarray(targets_cases.scores(targets_cases.tokenizer().variables, image))
  for i in range(ROWS):
    hidden = np.flatnonzero(mask[i])[:3]
    expected = sum(-log_softmax(logits[i, p])[tokens[i, p]] for p in hidden)
    right = sum(logits[i, p].argmax() == tokens[i, p] for p in hidden)
    np.testing.assert_allclose(outputs.error[i], expected, rtol=1e-4, atol=1e-5)
    assert (outputs.count[i], outputs.right[i]) == (len(hidden), right)


def test_beit_of_uniform_predictions_is_ln_of_the_vocabulary():
  method = methods.beit(
    targets_cases.net(8192),
    targets_cases.one_view,
    targets_cases.tokenizer()._replace(vocabulary=8192),
    mask=targets_cases.random_mask,
    masked_patches=4,
  )
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  params = {**params, "projector": jax.tree.map(jnp.zeros_like, params["projector"])}
  keys = jax.random.split(jax.random.key(7), ROWS)
  outputs, _ = jax.jit(method.forward)(params, extra, batch(), keys, jnp.int32(0))
  loss, _ = method.objective(params, extra, outputs, jnp.int32(0))
  np.testing.assert_allclose(loss, 9.011, atol=5e-4)


def test_the_loss_is_the_mean_over_the_hidden_patches_of_the_batch():
  rows = jnp.array([3.0, 1.0, 0.0]), jnp.array([2.0, 1.0, 0.0])
  right = jnp.array([1.0, 1.0, 0.0])
  for name, outputs in (
    ("beit", BeitOutputs(*rows, right)),
    ("maskfeat", PatchErrors(*rows)),
    ("data2vec", PatchErrors(*rows)),
  ):
    method, params, extra = started(name)
    loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
    np.testing.assert_allclose(loss, 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(metrics["hidden_patches"], 1.0)
  none = hidden_error(jnp.full((2, 4), jnp.nan), jnp.zeros((2, 4), bool))
  loss, _ = method.objective(params, extra, none, jnp.int32(0))
  assert float(loss) == 0


def test_maskfeat_is_the_squared_error_of_the_whole_image_s_histograms():
  outputs, (image, mask, _) = forwarded("maskfeat"), asked("maskfeat")
  predicted = predictions("maskfeat", 9)
  cells = np.asarray(ops.hog(image, cell=4)).reshape(ROWS, 4, 9)
  error = np.square(predicted - cells).mean(-1)
  np.testing.assert_allclose(outputs.error, (error * mask).sum(1), rtol=1e-4)
  np.testing.assert_array_equal(outputs.count, np.asarray(mask).sum(1))


def standardized(x):
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_data2vec_is_the_smooth_l1_of_the_teacher_s_blocks():
  extra = started("data2vec")[2]
  outputs, (image, mask, _) = forwarded("data2vec"), asked("data2vec")
  predicted = predictions("data2vec", 32)
  encoder = targets_cases.net(32).encoder
  (block,) = block_outputs(encoder, {"params": extra.target["encoder"]}, image)
  wanted = standardized(standardized(np.float64(block)))
  distance = np.abs(predicted - wanted)
  each = np.where(distance < 2, distance**2 / 4, distance - 1).mean(-1)
  np.testing.assert_allclose(outputs.error, (each * mask).sum(1), rtol=1e-4)


def test_the_last_block_under_the_norm_is_what_a_vit_returns():
  _, params, _ = started("data2vec")
  encoder, image = targets_cases.net(32).encoder, batch()["input"]
  (block,) = block_outputs(encoder, {"params": params["encoder"]}, image)
  _, seen = encoder.apply(
    {"params": params["encoder"]}, image, train=False, mutable=["intermediates"]
  )
  norm = jax.device_get(params["encoder"]["norm"])
  expected = standardized(np.float64(block)) * norm["scale"] + norm["bias"]
  np.testing.assert_allclose(seen["intermediates"]["patches"][0], expected, atol=1e-4)


def test_data2vec_s_teacher_follows_the_student():
  method, params, extra = started("data2vec")
  moved = jax.tree.map(lambda x: x + 1.0, params)
  _, after = method.update(moved, extra, jnp.int32(0))
  change = jax.tree.map(lambda a, b: a - b, after.target, extra.target)
  for leaf in jax.tree.leaves(change):
    np.testing.assert_allclose(leaf, 0.1, atol=1e-6)  # momentum 0.9 at the start


@pytest.mark.parametrize("name", ["beit", "maskfeat", "data2vec"])
def test_hidden_pixels_never_reach_the_student(name):
  """Only through the targets: the student's features are the same."""
  image, mask, _ = asked(name)
  params = started(name)[1]
  net = targets_cases.net({"beit": 6, "maskfeat": 9, "data2vec": 32}[name])
  hidden = jnp.repeat(jnp.repeat(mask.reshape(ROWS, 2, 2), 4, 1), 4, 2)[..., None]
  run = lambda x: net.encoder.apply(
    {"params": params["encoder"]}, MaskedImage(x, mask), train=False
  )
  np.testing.assert_array_equal(run(image), run(jnp.where(hidden, 0.123, image)))
  assert not np.array_equal(run(image), run(jnp.where(hidden, image, 0.123)))


def test_the_dvae_is_error_plus_weighted_kl():
  method, params, extra = started("dvae")
  outputs = forwarded("dvae")
  assert outputs.error.shape == outputs.kl.shape == (ROWS,)
  assert (outputs.kl >= 0).all() and (outputs.kl <= np.log(6)).all()
  np.testing.assert_allclose(outputs.usage.sum(1), 1, rtol=1e-5)
  loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  expected = outputs.error.mean() + 0.01 * outputs.kl.mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-6)
  assert 1 <= metrics["codes_used"] <= 6


def test_perplexity_counts_the_codes_in_use():
  np.testing.assert_allclose(perplexity(jnp.eye(4)[:2]), 2, rtol=1e-5)
  np.testing.assert_allclose(perplexity(jnp.full((3, 5), 0.2)), 5, rtol=1e-5)


def test_patches_of_a_dvae_are_scores_of_its_tokens():
  method, params, extra = started("dvae")
  scores = method.encode(params, extra, batch(), patches=True)
  assert scores.shape == (ROWS, 16, 6)
  tokenizer = methods.dvae_tokenizer(targets_cases.code_net("layer"), params, {})
  tokens = tokenizer.encode(tokenizer.variables, batch()["input"])
  np.testing.assert_array_equal(tokens, scores.argmax(-1))
  assert tokenizer.decode(tokenizer.variables, tokens).shape == (ROWS, 8, 8, 1)


def test_a_dvae_learns_to_tell_images_apart():
  """Codes, decoder and noise together: two kinds of images are rebuilt as two kinds."""
  method = methods.dvae(
    targets_cases.code_net("layer"),
    lambda key, image: (image,),
    temperature=constant(0.5),
    kl_weight=constant(0.0),
  )
  images = jnp.stack([jnp.zeros((8, 8, 1)), jnp.ones((8, 8, 1))] * 4)
  data = {"input": images, "index": jnp.arange(8, dtype=jnp.int32)}
  tx = cases.optax.adam(1e-2)
  state = core.init_state(method, tx, jax.random.key(0), data)
  step = jax.jit(functools.partial(core.train_step, method, tx))
  for _ in range(30):
    state, _ = step(state, data)
  keys = jax.random.split(jax.random.key(1), 8)
  pictures = method.show(state.params, state.extra, data, keys)["original | rebuilt"]
  error = jnp.square(pictures[:, 0] - pictures[:, 1]).mean()
  assert float(error) < 0.05  # a mean image has 0.25


def test_logit_laplace_needs_two_numbers_for_a_pixel():
  options = {"temperature": constant(1.0), "kl_weight": constant(0.0)}
  method = methods.dvae(
    targets_cases.code_net("layer"),
    targets_cases.one_view,
    likelihood=methods.LOGIT_LAPLACE,
    **options,
  )
  with pytest.raises(InputError, match="out=2"):
    jax.eval_shape(method.init, jax.random.key(0), batch())


def test_kmeans_tokens_rebuild_few_kinds_of_patches():
  kinds = np.random.default_rng(0).random((3, 2, 2, 1)).astype(np.float32)
  drawn = np.random.default_rng(1).integers(0, 3, (10, 4, 4))
  images = kinds[drawn].transpose(0, 1, 3, 2, 4, 5).reshape(10, 8, 8, 1)
  key = jax.random.key(3)
  tokenizer = methods.kmeans_tokenizer(key, images, patch=2, vocabulary=3)
  tokens = tokenizer.encode(tokenizer.variables, images)
  assert tokens.dtype == jnp.int32 and tokens.shape == (10, 16)
  rebuilt = tokenizer.decode(tokenizer.variables, tokens)
  np.testing.assert_allclose(rebuilt, images, atol=1e-5)
  flat = cut_patches(jnp.asarray(images), 2).reshape(-1, 4)
  found = tokenizer.variables["centroids"][tokens.reshape(-1)]
  np.testing.assert_allclose(found, flat, atol=1e-5)


@pytest.mark.parametrize("name", ["dvae", "beit", "maskfeat"])
def test_pictures_are_images(name):
  method, params, extra = started(name)
  if name == "beit":
    method, params, extra = drawable_beit()
  keys = jax.random.split(jax.random.key(2), ROWS)
  drawn = jax.jit(method.show)(params, extra, batch(), keys)
  for columns, x in drawn.items():
    side = 16 if name == "maskfeat" else 8  # of cells of 4 pixels, drawn as 8
    assert x.shape == (ROWS, len(columns.split(" | ")), side, side, 1)
    assert float(x.min()) >= 0 and float(x.max()) <= 1


def drawable_beit():
  key, images = jax.random.key(4), batch()["input"]
  tokenizer = methods.kmeans_tokenizer(key, images, patch=4, vocabulary=5)
  options = {"mask": targets_cases.random_mask, "masked_patches": 4}
  net = targets_cases.net(5)
  method = methods.beit(net, targets_cases.one_view, tokenizer, **options)
  return method, *jax.jit(method.init)(jax.random.key(0), batch())


@pytest.mark.parametrize("name", ["beit", "maskfeat", "data2vec"])
def test_pitfall_14_an_image_without_a_hidden_patch_is_no_zero_by_zero(
  name, monkeypatch
):
  nothing = lambda key: jnp.zeros(4, jnp.bool_)
  monkeypatch.setattr(targets_cases, "random_mask", nothing)
  method = MAKERS[name]("layer")
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  keys = jax.random.split(jax.random.key(7), ROWS)

  def loss_of(params):
    made, after = method.forward(params, extra, batch(), keys, jnp.int32(0))
    return method.objective(params, after, made, jnp.int32(0))[0]

  loss, grads = jax.jit(jax.value_and_grad(loss_of))(params)
  assert float(loss) == 0
  assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(grads))


def test_tokens_without_pictures_are_not_shown():
  assert started("beit")[0].show is None


def test_hidden_patches_are_grey():
  mask = jnp.array([[True, False, False, False]])
  shown = hidden_picture(jnp.ones((1, 4, 4, 1)), mask, 2)
  np.testing.assert_array_equal(shown[0, :2, :2], 0.5)
  assert float(shown.sum()) == 12 + 4 * 0.5


def beit_on(tokenizer, *, views=targets_cases.one_view, out=6, mask=None):
  method = methods.beit(
    targets_cases.net(out),
    views,
    tokenizer,
    mask=mask or targets_cases.random_mask,
    masked_patches=2,
  )
  return jax.eval_shape(method.init, jax.random.key(0), batch())


def test_the_tokenizer_may_see_the_crop_in_another_size():
  def corners(variables, images):
    assert images.shape[1:] == (4, 4, 1)
    return (images[:, ::2, ::2, 0] > 0.5).reshape(-1, 4).astype(jnp.int32)

  tokenizer = methods.Tokenizer(corners, {}, 6)
  views = in_two_sizes(lambda key, image: image, 4)
  beit_on(tokenizer, views=views)
  large, small = views(jax.random.key(0), batch()["input"][0])
  np.testing.assert_allclose(large.mean(), small.mean(), atol=0.05)
  with pytest.raises(InputError, match="16 tokens"):
    fine = lambda variables, images: jnp.zeros((len(images), 16), jnp.int32)
    beit_on(tokenizer._replace(encode=fine), views=views)


def test_bad_input_is_refused():
  tokenizer, mask = targets_cases.tokenizer(), targets_cases.random_mask
  with pytest.raises(InputError, match="2 tokens or more"):
    beit_on(tokenizer._replace(vocabulary=1))
  with pytest.raises(InputError, match="out=6"):
    beit_on(tokenizer, out=7)
  with pytest.raises(InputError, match="mask"):
    beit_on(tokenizer, mask=lambda key: mask(key)[:3])
  blind = targets_cases.net(6).encoder.clone(mask_token=False)
  blind = Siamese(blind, linear_head(out=6))
  with pytest.raises(InputError, match="mask_token=True"):
    method = methods.maskfeat(blind, targets_cases.one_view, mask=mask, cell=4)
    jax.eval_shape(method.init, jax.random.key(0), batch())
  with pytest.raises(InputError, match="do not divide patches of 4"):
    methods.maskfeat(targets_cases.net(9), targets_cases.one_view, mask=mask, cell=3)
  with pytest.raises(InputError, match="2 blocks of 1"):
    methods.data2vec(
      targets_cases.net(32), targets_cases.one_view, mask=mask, momentum=None, top=2
    )
  with pytest.raises(InputError, match="2 codes or more"):
    net = targets_cases.code_net(vocabulary=1)
    methods.dvae(net, targets_cases.one_view, temperature=None, kl_weight=None)
  with pytest.raises(InputError, match="vocabulary"):
    methods.kmeans_tokenizer(jax.random.key(0), batch()["input"], patch=4, vocabulary=1)
  with pytest.raises(InputError, match="patches of 3"):
    methods.kmeans_tokenizer(jax.random.key(0), batch()["input"], patch=3, vocabulary=2)
  for ratio in (0.0, 1.0, 0.01, 0.99):
    with pytest.raises(InputError, match="mask of"):
      targets.fixed_mask((4, 4), ratio)


@pytest.mark.parametrize("view", [beit_view, data2vec_view, maskfeat_view])
def test_views_are_images_of_the_size_asked_for(view):
  image = jax.random.uniform(jax.random.key(0), (20, 24, 3))
  made = view(16)(jax.random.key(1), image)
  assert made.shape == (16, 16, 3)
  assert float(made.min()) >= 0 and float(made.max()) <= 1


SMALL = {"steps": 2, "batch": 16}


def test_a_saved_dvae_is_the_tokenizer_of_beit(tmp_path):
  out = saved(
    registry.build("dvae_digits", **SMALL, vocabulary=7, width=8), tmp_path / "dvae"
  )
  tokenizer = targets.saved_tokenizer(out)
  assert tokenizer.vocabulary == 7
  experiment = registry.build("beit_digits", tokenizer=out, **SMALL)
  first = runs.example_batch(experiment, 16)
  _, extra = jax.eval_shape(experiment.method.init, jax.random.key(0), first)
  assert jax.tree.structure(extra.tokenizer) == jax.tree.structure(tokenizer.variables)
  tokens = tokenizer.encode(tokenizer.variables, first["input"])
  assert tokens.shape == (16, 16) and int(tokens.max()) < 7
  pictures = tokenizer.decode(tokenizer.variables, tokens)
  assert pictures.shape == first["input"].shape and pictures.min() >= 0.0
  assert experiment.method.show is not None
  with pytest.raises(InputError, match="2 x 2"):
    shape = (1, 8, 8, 1)
    targets.check_grid(tokenizer, shape, (2, 2), out)


def test_a_run_of_another_method_is_no_tokenizer(tmp_path):
  out = saved(registry.build("maskfeat_digits", **SMALL), tmp_path / "other")
  with pytest.raises(InputError, match="run of MaskFeat"):
    registry.build("beit_digits", tokenizer=out, **SMALL)
  with pytest.raises(InputError, match="not a run"):
    registry.build("beit_digits", tokenizer=str(tmp_path / "nowhere"), **SMALL)
  with pytest.raises(InputError, match="needs --tokenizer"):
    registry.build("beit_digits", tokenizer="", **SMALL)
