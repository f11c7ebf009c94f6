"""Colorization and inpainting: shortcuts, players, values, pictures, bad input."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import core, losses, methods, models, ops, optim
from jaxssl.errors import InputError
from tests import restoration_cases as toys

ONES = np.ones(313, np.float32)
HOLE = {"hole": 4, "overlap": 1, "fill": (0.5,)}


def whole(key, image):
  """The image as it is."""
  del key
  return (image,)


def watched(out, shape=(4, 4)):
  """A net that gives `out` everywhere, and the list of what it has been shown."""
  shown = []

  class Watched(nn.Module):
    """Keeps what it sees."""

    encoder: nn.Module

    def __call__(self, x, *, train, keys=None):
      """Gives the same for all."""
      shown.append(x)
      self.encoder(x, train=train)
      return jnp.broadcast_to(out, (len(x), *shape, out.shape[-1]))

  return Watched(models.ConvNet((4,), pools=(2,))), shown


def step_outputs(method, batch, *, params=None):
  """What `forward` and `objective` give for a batch, from the first state."""
  rows = len(batch["input"])
  first, extra = jax.jit(method.init)(jax.random.key(0), batch)
  keys = jax.random.split(jax.random.key(1), rows)
  params = first if params is None else params
  outputs, extra = method.forward(params, extra, batch, keys, jnp.int32(0))
  loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  return outputs, loss, metrics


@functools.cache
def colors(rows=4, seed=0):
  """Random images in strong colours."""
  return {"input": jax.random.uniform(jax.random.key(seed), (rows, 8, 8, 3))}


@functools.cache
def greys(rows=4):
  """Random grey images."""
  return {"input": jax.random.uniform(jax.random.key(2), (rows, 8, 8, 1))}


def recolored(images, *, turn):
  """The same lightness, all colours turned and paler."""
  lab = ops.srgb_to_lab(images)
  a, b = lab[..., 1], lab[..., 2]
  c, s = 0.1 * math.cos(turn), 0.1 * math.sin(turn)
  return ops.lab_to_srgb(jnp.stack([lab[..., 0], c * a - s * b, s * a + c * b], -1))


def test_a_uniform_prediction_costs_ln_313():
  net, _ = watched(jnp.zeros(313))
  outputs, loss, metrics = step_outputs(
    methods.colorization(net, whole, weights=ONES), colors()
  )
  assert math.log(313) == pytest.approx(5.746, abs=5e-4)
  np.testing.assert_allclose(outputs.error, math.log(313), rtol=1e-6)
  np.testing.assert_allclose([loss, metrics["unweighted"]], math.log(313), rtol=1e-6)


def test_with_the_prior_of_the_data_the_mean_weight_is_1():
  net, _ = watched(jnp.zeros(313))
  prior = ops.color_prior(np.asarray(colors(64)["input"])[:, ::2, ::2], sigma=0.01)
  method = methods.colorization(net, whole, weights=ops.rebalancing(prior))
  _, loss, metrics = step_outputs(method, colors(64))
  np.testing.assert_allclose(loss, math.log(313), rtol=1e-4)
  assert float(metrics["unweighted"]) == pytest.approx(math.log(313))


def test_colors_never_reach_the_net():
  images = 0.2 + 0.6 * colors()["input"]
  by_bins = functools.partial(methods.colorization, weights=ONES)
  for method_of, out in ((by_bins, 313), (methods.colorization_regression, 2)):
    net, shown = watched(jnp.zeros(out))
    method, seen = method_of(net, whole), []
    for turn in (0.0, 2.0):
      step_outputs(method, {"input": recolored(images, turn=turn)})
      seen.append(shown[-1])
    assert seen[0].shape == (4, 8, 8, 1)
    np.testing.assert_allclose(*seen, atol=1e-4)
    np.testing.assert_allclose(seen[0], ops.lightness(images) / 50 - 1, atol=1e-4)


def test_features_are_of_the_lightness_of_color_and_grey_images():
  method = toys.make_colorization()
  params, extra = jax.jit(method.init)(jax.random.key(0), greys())
  encode = lambda images: method.encode(params, extra, {"input": images})
  image = 0.2 + 0.6 * colors()["input"]
  features = encode(image)
  paler = encode(recolored(image, turn=1.0))
  np.testing.assert_allclose(features, paler, atol=1e-3)
  grey = encode(greys()["input"])
  tripled = encode(jnp.repeat(greys()["input"], 3, axis=-1))
  np.testing.assert_allclose(grey, tripled, atol=1e-5)
  assert np.abs(features - grey).max() > 1e-2


def test_images_without_color_do_not_count():
  net, _ = watched(jax.random.normal(jax.random.key(4), (313,)))
  method = methods.colorization(net, whole, weights=ONES)
  some = jnp.concatenate([colors()["input"], jnp.full((3, 8, 8, 3), 0.4)])
  outputs, loss, metrics = step_outputs(method, {"input": some})
  _, alone, _ = step_outputs(method, colors())
  np.testing.assert_array_equal(outputs.count, [1, 1, 1, 1, 0, 0, 0])
  np.testing.assert_array_equal(outputs.error[4:], 0)
  np.testing.assert_allclose(loss, alone, rtol=1e-6)
  assert float(metrics["in_color"]) == pytest.approx(4 / 7)
  _, nothing, _ = step_outputs(method, {"input": some[4:]})
  assert float(nothing) == 0


def test_a_little_color_is_none():
  net, _ = watched(jnp.zeros(2))
  method = methods.colorization_regression(net, whole)
  lab = jnp.tile(jnp.array([50.0, 0, 4.9])[None, None, None], (2, 8, 8, 1))
  lab = lab.at[1, 2, 4, 2].set(5.2)  # on the grid: every second pixel
  lab = lab.at[0, 1, 1, 2].set(40.0)  # beside it
  outputs, _, _ = step_outputs(method, {"input": ops.lab_to_srgb(lab)})
  np.testing.assert_array_equal(outputs.count, [0, 1])


def test_the_weight_of_the_nearest_bin_scales_the_gradient():
  images = jnp.tile(ops.lab_to_srgb(jnp.array([[[[60.0, 40, 30]]]])), (2, 8, 8, 1))
  nearest = int(ops.soft_bins(ops.srgb_to_lab(images[0, 0, 0])[1:]).index[0])
  heavy = np.where(np.arange(313) == nearest, 3.0, 0.5)
  net = toys.color_net("layer", None, out=313)

  def gradient(weights):
    method = methods.colorization(net, whole, weights=weights)
    params, _ = jax.jit(method.init)(jax.random.key(0), {"input": images})
    loss = lambda p: step_outputs(method, {"input": images}, params=p)[1]
    return jax.jit(jax.grad(loss))(params)

  plain, weighted = gradient(ONES), gradient(heavy)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7)
  jax.tree.map(lambda a, b: close(3 * a, b), plain, weighted)


def test_targets_are_every_nth_pixel_and_no_mean():
  target = jnp.array([0.3, -0.2])
  net, _ = watched(target)
  method = methods.colorization_regression(net, whole)
  lab = jnp.zeros((1, 8, 8, 3)).at[..., 0].set(50.0)
  lab = lab.at[:, ::2, ::2, 1:].set(110 * target[None, None, None])
  outputs, loss, _ = step_outputs(method, {"input": ops.lab_to_srgb(lab)})
  assert float(outputs.count[0]) == 1
  np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize("delta", [0.1, 1.0])
def test_regression_is_hubers_error(delta):
  net, _ = watched(jnp.array([0.1, -0.1]))
  method = methods.colorization_regression(net, whole, delta=delta)
  outputs, _, _ = step_outputs(method, colors())
  wanted = np.asarray(ops.srgb_to_lab(colors()["input"]))[:, ::2, ::2, 1:] / 110
  d = np.abs(wanted - np.array([0.1, -0.1]))
  huber = np.where(d < delta, d**2 / 2, delta * (d - delta / 2))
  np.testing.assert_allclose(outputs.error, huber.mean((1, 2, 3)), rtol=1e-4)


def test_soft_cross_entropy_is_a_loop():
  logits = jax.random.normal(jax.random.key(0), (3, 313))
  target = ops.soft_bins(jnp.array([[0.0, 3], [50, 20], [-30, 80]]))
  log_share = np.log(np.asarray(jax.nn.softmax(logits)))
  expected = [
    -sum(w * row[i] for i, w in zip(index, weight, strict=True))
    for row, index, weight in zip(log_share, *map(np.asarray, target), strict=True)
  ]
  got = losses.color_cross_entropy(logits, target)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  half = losses.color_cross_entropy(logits.astype(jnp.bfloat16), target)
  assert half.dtype == jnp.float32


def test_the_hole_never_reaches_the_net():
  net, shown = watched(jnp.zeros(1))
  method = methods.inpainting(net, whole, **HOLE)
  image = greys()["input"]
  seen = []
  for inner, ring in ((0.0, 0.0), (0.7, 0.0), (0.0, 0.7)):
    changed = image.at[:, 2:6, 2:6].add(ring).at[:, 3:5, 3:5].set(inner)
    step_outputs(method, {"input": changed})
    seen.append(shown[-1])
  np.testing.assert_array_equal(seen[0], seen[1])
  assert np.abs(seen[0] - seen[2]).max() > 0.5  # the ring is seen
  np.testing.assert_array_equal(seen[0][:, 3:5, 3:5], 0)  # 0.5 in [-1, 1]
  np.testing.assert_array_equal(seen[0][:, :2], 2 * image[:, :2] - 1)


def test_the_hole_has_no_gradient_to_what_is_made():
  method = methods.inpainting(toys.hole_net("layer"), whole, **HOLE)
  params, extra = jax.jit(method.init)(jax.random.key(0), greys())
  keys = jax.random.split(jax.random.key(0), 4)

  def made(images):
    shown = method.show(params, extra, {"input": images}, keys)
    return shown["masked | filled | original"][:, 1, 2:6, 2:6].sum()

  slope = jax.jit(jax.grad(made))(greys()["input"])
  np.testing.assert_array_equal(slope[:, 3:5, 3:5], 0)
  assert np.abs(slope[:, 2, 2:6]).min() > 0  # the ring
  assert np.abs(slope).sum() > np.abs(slope[:, 2:6, 2:6]).sum()


def test_the_ring_weighs_more_and_the_rest_of_the_image_nothing():
  net, _ = watched(jnp.full((1,), 0.25))
  method = methods.inpainting(net, whole, **HOLE, ring_weight=10.0)
  error, loss, _ = step_outputs(method, greys())
  hidden = 2 * np.asarray(greys()["input"])[:, 2:6, 2:6, 0] - 1
  expected = [
    np.mean(
      [
        (1.0 if 1 <= i < 3 and 1 <= j < 3 else 10.0) * (0.25 - image[i, j]) ** 2
        for i in range(4)
        for j in range(4)
      ]
    )
    for image in hidden
  ]
  np.testing.assert_allclose(error, expected, rtol=1e-5)
  np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-5)


def test_without_overlap_all_of_the_hole_is_hidden():
  assert (losses.ring_weights(4, 0, weight=10.0) == 1).all()
  net, shown = watched(jnp.zeros(1))
  step_outputs(methods.inpainting(net, whole, **{**HOLE, "overlap": 0}), greys())
  np.testing.assert_array_equal(shown[-1][:, 2:6, 2:6], 0)


def adversarial(**options):
  """The game on 8 x 8 pixels, without batch statistics."""
  critic = models.HoleCritic((8,), norm=models.LayerNorm)
  return methods.inpainting_adversarial(
    toys.hole_net("layer"), critic, whole, **HOLE, **options
  )


def player_gradients(method, pick):
  """The gradient of some of the outputs, by player."""
  params, extra = jax.jit(method.init)(jax.random.key(0), greys())
  keys = jax.random.split(jax.random.key(1), 4)

  def value(params):
    return pick(method.forward(params, extra, greys(), keys, jnp.int32(0))[0])

  return jax.jit(jax.grad(value))(params)


def size(tree):
  """The largest entry."""
  return max(float(jnp.abs(x).max()) for x in jax.tree.leaves(tree))


def test_no_gradient_crosses_between_the_players():
  method = adversarial()
  caught = lambda out: losses.adversarial_critic(out.real, out.made).sum()
  fooled = lambda out: losses.adversarial_generator(out.judged).sum() + out.error.sum()
  of_critic = player_gradients(method, caught)
  assert size(of_critic["encoder"]) == size(of_critic["decoder"]) == 0
  assert size(of_critic["critic"]) > 0
  of_maker = player_gradients(method, fooled)
  assert size(of_maker["critic"]) == 0
  assert size(of_maker["encoder"]) > 0 and size(of_maker["decoder"]) > 0
  by_critic = player_gradients(method, lambda out: out.judged.sum())
  assert size(by_critic["encoder"]) > 0  # through the critic, to the maker


def test_the_two_views_of_what_is_made_are_the_same_numbers():
  outputs, loss, metrics = step_outputs(adversarial(), greys())
  np.testing.assert_array_equal(outputs.made, outputs.judged)
  maker = 0.999 * metrics["squared_error"] + 0.001 * metrics["generator"]
  np.testing.assert_allclose(loss, maker + metrics["critic"], rtol=1e-6)


def test_an_undecided_critic_costs_2_ln_2():
  method = adversarial()
  params, _ = jax.jit(method.init)(jax.random.key(0), greys())
  params["critic"] = jax.tree.map(jnp.zeros_like, params["critic"])
  _, _, metrics = step_outputs(method, greys(), params=params)
  assert float(metrics["critic"]) == pytest.approx(2 * math.log(2))
  assert float(metrics["generator"]) == pytest.approx(math.log(2))


def test_the_critic_sees_real_and_made_holes_in_passes_of_their_own():
  method = toys.make_inpainting_adversarial("batch")
  params, extra = jax.jit(method.init)(jax.random.key(0), greys())
  keys = jax.random.split(jax.random.key(1), 4)
  _, after = method.forward(params, extra, greys(), keys, jnp.int32(0))
  moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), extra, after)
  assert min(jax.tree.leaves(moved.critic_stats)) > 0
  assert min(jax.tree.leaves(moved.stats)) > 0


def test_each_player_has_its_optimiser():
  tx = optim.by_part({"critic": optax.sgd(0.0)}, optax.sgd(0.1))
  method = adversarial()
  init = functools.partial(core.init_state, method, tx)
  state = jax.jit(init)(jax.random.key(0), greys())
  step = jax.jit(functools.partial(core.train_step, method, tx))
  after, _ = step(state, greys())
  moved = lambda part: size(
    jax.tree.map(jnp.subtract, state.params[part], after.params[part])
  )
  assert moved("critic") == 0
  assert moved("encoder") > 0 and moved("decoder") > 0


def test_show_has_the_columns_that_it_names():
  for method, batch in (
    (toys.make_colorization(), greys()),
    (toys.make_colorization_regression(), greys()),
    (toys.make_inpainting(), greys()),
    (toys.make_inpainting_adversarial(), greys()),
  ):
    params, extra = jax.jit(method.init)(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(0), 4)
    ((name, images),) = jax.jit(method.show)(params, extra, batch, keys).items()
    assert images.shape[:4] == (4, len(name.split("|")), 8, 8)
    assert images.min() >= 0 and images.max() <= 1


def test_show_of_colorization_is_the_lightness_in_colors():
  net = toys.color_net("layer", None, out=2)
  method = methods.colorization_regression(net, whole)
  params, extra = jax.jit(method.init)(jax.random.key(0), colors())
  keys = jax.random.split(jax.random.key(0), 4)
  (images,) = jax.jit(method.show)(params, extra, colors(), keys).values()
  np.testing.assert_allclose(images[:, 2], colors()["input"], atol=1e-4)
  grey = images[:, 0]
  np.testing.assert_allclose(grey, jnp.broadcast_to(grey[..., :1], grey.shape), 1e-3)
  np.testing.assert_allclose(
    ops.lightness(grey), ops.lightness(colors()["input"]), atol=1e-2
  )


def test_show_puts_the_colors_where_they_were_taken():
  target = jnp.zeros((4, 4, 2)).at[1, 2].set(0.2)
  lab = jnp.zeros((1, 8, 8, 3)).at[..., 0].set(50.0)
  method = methods.colorization_regression(watched(target)[0], whole)
  batch = {"input": ops.lab_to_srgb(lab)}
  params, extra = method.init(jax.random.key(0), batch)
  (images,) = method.show(
    params, extra, batch, jax.random.split(jax.random.key(0), 1)
  ).values()
  made = ops.srgb_to_lab(images[0, 1])[..., 1]
  assert np.unravel_index(int(made.argmax()), made.shape) == (2, 4)
  np.testing.assert_allclose(made[2, 3], made[2, 5], atol=1e-2)
  np.testing.assert_allclose(made[2, 3], made[2, 4] / 2, atol=0.5)


def test_show_of_inpainting_changes_the_hole_alone():
  method = methods.inpainting(toys.hole_net("layer"), whole, **HOLE)
  params, extra = jax.jit(method.init)(jax.random.key(0), greys())
  keys = jax.random.split(jax.random.key(0), 4)
  (images,) = jax.jit(method.show)(params, extra, greys(), keys).values()
  np.testing.assert_allclose(images[:, 2], greys()["input"], atol=1e-6)
  outside = np.ones((8, 8), bool)
  outside[2:6, 2:6] = False
  np.testing.assert_array_equal(images[:, 1][:, outside], images[:, 2][:, outside])
  np.testing.assert_array_equal(images[:, 0, 3:5, 3:5], 0.5)


def shapes_of(net, shape):
  """Shapes of a net's output and features for a batch of images."""
  run = lambda: net.init_with_output(jax.random.key(0), jnp.zeros(shape), train=True)
  return jax.tree.map(lambda x: x.shape, jax.eval_shape(run))


def test_the_papers_nets_have_the_papers_sizes():
  net = models.Restorer(models.ColorEncoder(), models.ColorDecoder(313))
  out, variables = shapes_of(net, (2, 176, 176, 1))
  assert out == (2, 44, 44, 313)
  kernels = [p["kernel"] for p in variables["params"]["encoder"].values()]
  assert len(kernels) == 19 and kernels.count((3, 3, 512, 512)) == 11
  assert "scale" not in str(variables["params"]["encoder"])  # norms without it
  net = models.Restorer(models.ContextEncoder(), models.HoleDecoder())
  out, variables = shapes_of(net, (2, 128, 128, 3))
  assert out == (2, 64, 64, 3)
  encoder = variables["params"]["encoder"]
  assert encoder["bottleneck"]["kernel"] == (4, 4, 512, 4000)
  assert "norm0" not in encoder and "norm4" in encoder
  logits, variables = shapes_of(models.HoleCritic(), (2, 64, 64, 3))
  assert logits == (2,)
  assert variables["params"]["Dense_0"]["kernel"] == (4 * 4 * 512, 1)


@pytest.mark.parametrize(
  "side, widths, last, made",
  [(8, (4,), 4, 4), (28, (4, 8), 7, 16), (32, (4,) * 3, 4, 8)],
)
def test_context_encoders_for_small_images(side, widths, last, made):
  encoder = models.ContextEncoder(widths, bottleneck=12, last=last)
  doublings = (4,) * int(math.log2(made / 2))
  decoder = models.HoleDecoder(doublings, channels=1, start=2)
  out, _ = shapes_of(models.Restorer(encoder, decoder), (2, side, side, 1))
  assert out == (2, made, made, 1)


def test_every_parameter_of_an_encoder_is_there_after_init():
  """The norm of ConvNeXt comes after its map, which is all that a decoder needs."""
  encoder = models.ConvNeXt((1,), channels=(8,), stem=2)
  net = models.Restorer(encoder, models.ResizeDecoder(2, width=4))
  method = methods.colorization_regression(net, whole)
  params, extra = jax.jit(method.init)(jax.random.key(0), colors())
  assert method.encode(params, extra, colors()).shape == (4, 8)
  assert method.encode(params, extra, colors(), patches=True).shape == (4, 16, 8)


def _step(method, batch):
  return lambda: step_outputs(method, batch)


def _holes(**options):
  return lambda: methods.inpainting(watched(jnp.zeros(1))[0], whole, **options)


def _holes_traced(out=1, shape=(4, 4), batch=None, **options):
  net, _ = watched(jnp.zeros(out), shape)
  method = methods.inpainting(net, whole, **{**HOLE, **options})
  return _step(method, greys() if batch is None else batch)


def _colors_traced(out, shape=(4, 4), batch=None):
  net, _ = watched(jnp.zeros(out), shape)
  method = methods.colorization(net, whole, weights=ONES)
  return _step(method, colors() if batch is None else batch)


NET = toys.hole_net("layer")
BAD = {
  "grey images": (lambda: _colors_traced(313, batch=greys())(), "no colour to predict"),
  "312 logits": (_colors_traced(312), "needs 313"),
  "a grid that does not fit": (_colors_traced(313, (3, 3)), "divide the pixels"),
  "a grid that is too fine": (_colors_traced(313, (16, 16)), "divide the pixels"),
  "short weights": (
    lambda: methods.colorization(NET, whole, weights=np.ones(3)),
    "313 finite",
  ),
  "negative weights": (
    lambda: methods.colorization(NET, whole, weights=-ONES),
    "0 or more",
  ),
  "delta": (
    lambda: methods.colorization_regression(NET, whole, delta=0.0),
    "delta is 0",
  ),
  "no hole": (_holes(hole=0, overlap=0, fill=(0.5,)), "leaves nothing"),
  "all ring": (_holes(hole=4, overlap=2, fill=(0.5,)), "leaves nothing"),
  "negative ring": (_holes(hole=4, overlap=-1, fill=(0.5,)), "overlap from 0"),
  "a hole as large as the image": (_holes_traced(hole=8), "larger than the hole"),
  "one colour of three": (_holes_traced(3, batch=colors()), "one for each channel"),
  "fill out of range": (_holes_traced(fill=(117.0,)), r"in \[0, 1\]"),
  "another size": (_holes_traced(shape=(2, 2)), "decoder of that size"),
  "a share": (lambda: adversarial(reconstruction_weight=2.0), "share from 0 to 1"),
  "no map": (
    _step(
      methods.inpainting(models.Restorer(nn.Dense(3), nn.Dense(3)), whole, **HOLE),
      greys(),
    ),
    "no feature_map",
  ),
  "too many halvings": (
    lambda: shapes_of(models.ContextEncoder((4, 4), 8), (2, 8, 8, 1)),
    "fewer widths",
  ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
  run, message = BAD[name]
  with pytest.raises(InputError, match=message):
    run()
