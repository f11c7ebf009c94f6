"""Pretext tasks: the questions, their answers, and the shortcuts that are closed."""

import functools
import math
import re
import sys
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import methods, models, ops
from jaxssl.augment import many_views, random_tiles
from jaxssl.errors import InputError
from jaxssl.methods import context, jigsaw, predictive, rotation
from jaxssl.methods.context import patches_around, place_of, show_places
from jaxssl.methods.jigsaw import show_puzzles, shuffled
from jaxssl.methods.predictive import Asking, accuracy, cross_entropy, on_board
from jaxssl.methods.rotation import all_turns, one_turn, show_turns
from tests import cases, predictive_cases

ROWS = {name: make for name, make, _ in predictive_cases.ROWS}
CLASSES = {
  "rotation": 4,
  "rotation_sampled": 4,
  "context": 8,
  "jigsaw": 8,
  "patch_order": 24,
}
KEY = jax.random.key(0)
WHOLE = many_views(lambda key, image: image)


def noise(*shape, seed=0):
  return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def keys(count, seed=1):
  return jax.random.split(jax.random.key(seed), count)


@functools.cache
def started(name):
  """A method of the table with its first parameters and state."""
  method = ROWS[name]("batch")
  return method, *jax.jit(method.init)(KEY, cases.batch())


# What all of them share.


@pytest.mark.parametrize("name", ROWS)
def test_a_net_that_knows_nothing_loses_the_log_of_the_classes(name):
  method, params, extra = started(name)
  nothing = jax.tree.map(jnp.zeros_like, params)
  forward = jax.jit(method.forward)
  rows, _ = forward(nothing, extra, cases.batch(), keys(cases.BATCH), 0)
  loss, (_, metrics) = method.objective(nothing, extra, rows, 0)
  np.testing.assert_allclose(loss, math.log(CLASSES[name]), rtol=1e-6)
  assert set(metrics) == {"pretext_accuracy"}


@pytest.mark.parametrize(
  "classes, value", [(4, 1.386), (8, 2.079), (24, 3.178), (1000, 6.908)]
)
def test_cross_entropy_at_chance(classes, value):
  got = cross_entropy(jnp.zeros((2, 3, classes)), jnp.full((2, 3), classes - 1))
  np.testing.assert_allclose(got, [value] * 2, atol=5e-4)


def test_cross_entropy_and_accuracy_are_means_of_a_row_s_questions():
  logits, labels = noise(4, 3, 5), np.arange(12).reshape(4, 3) % 5
  loss, right = cross_entropy(logits, labels), accuracy(logits, labels)
  for i in range(4):
    odds = np.exp(np.float64(logits[i]))
    chosen = odds[np.arange(3), labels[i]] / odds.sum(1)
    np.testing.assert_allclose(loss[i], -np.log(chosen).mean(), rtol=1e-5)
    share = np.mean(logits[i].argmax(1) == labels[i])
    np.testing.assert_allclose(right["pretext_accuracy"][i], share, rtol=1e-6)


def test_labels_without_logits_are_refused():
  with pytest.raises(InputError, match="one row of logits"):
    cross_entropy(jnp.zeros((2, 3, 4)), jnp.zeros((2,), int))


@pytest.mark.parametrize("name", ROWS)
def test_features_are_those_of_the_encoder_alone(name):
  method, params, extra = started(name)
  encoder = cases.Encoder("batch") if "rot" in name else None
  encoder = encoder or predictive_cases.Squares("batch")
  stats = {n: tree["encoder"] for n, tree in extra.stats.items()}
  variables = {"params": params["encoder"], **stats}
  expected = encoder.apply(variables, cases.batch()["input"], train=False)
  got = method.encode(params, extra, cases.batch())
  np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("name", ROWS)
def test_pictures_are_images_that_a_key_decides(name):
  method, params, extra = started(name)
  show = jax.jit(method.show)
  ((columns, images),) = show(params, extra, cases.batch(), keys(16)).items()
  assert images.shape[:2] == (cases.BATCH, len(columns.split("|")))
  assert images.min() >= 0.0 and images.max() <= 1.0
  again = show(params, extra, cases.batch(), keys(16))[columns]
  np.testing.assert_array_equal(images, again)


def test_the_docstring_s_pretext_works():
  """The ten lines that the module shows are a method."""
  documented = re.search(
    r"```python\n(.*?)```", sys.modules[cross_entropy.__module__].__doc__, re.S
  )
  names = {"jax": jax, "jnp": jnp, "models": models, "predictive": predictive}
  names |= {"accuracy": accuracy, "cross_entropy": cross_entropy, "Asking": Asking}
  scope = {"encoder": cases.Encoder("layer"), **names}
  exec(documented[1], scope)
  method, batch = scope["method"], cases.batch()
  params, extra = method.init(KEY, batch)
  rows, _ = method.forward(params, extra, batch, keys(16), 0)
  loss, (_, metrics) = method.objective(params, extra, rows, 0)
  assert np.isfinite(loss) and set(metrics) == {"pretext_accuracy"}
  assert method.show is None
  image, turned = scope["upside_down"](KEY, batch["input"][0])
  expected = batch["input"][0][::-1] if turned else batch["input"][0]
  np.testing.assert_array_equal(image, expected)


def test_measures_are_what_is_asked_for():
  net = Asking(cases.Encoder("layer"), models.linear_head(out=1))
  pretext = lambda key, image: (image, image.mean())
  error = lambda predicted, mean: jnp.square(predicted[:, 0] - mean)
  method = predictive(net, pretext, error)
  params, extra = method.init(KEY, cases.batch())
  rows, _ = method.forward(params, extra, cases.batch(), keys(16), 0)
  loss, (_, metrics) = method.objective(params, extra, rows, 0)
  np.testing.assert_allclose(loss, rows["loss"].mean(), rtol=1e-6)
  assert rows["loss"].shape == (16,) and metrics == {}


def test_a_head_of_other_classes_is_refused():
  method = rotation(cases.Encoder("layer"), models.linear_head(out=5), WHOLE)
  params, extra = method.init(KEY, cases.batch())
  with pytest.raises(InputError, match="ends in 4"):
    jax.eval_shape(lambda: method.forward(params, extra, cases.batch(), keys(16), 0)[0])


# Rotation.


def test_turns_are_those_of_numpy():
  image = noise(5, 5, 3)
  turned, turns = all_turns(KEY, jnp.asarray(image))
  for k in range(4):
    np.testing.assert_array_equal(turned[k], np.rot90(image, turns[k]))


def test_turned_pixels_are_the_same_pixels():
  """No resampling: nothing of a turned image tells it from an upright one."""
  turned, _ = all_turns(KEY, jnp.asarray(noise(6, 6, 3)))
  pixels = np.asarray(turned).reshape(4, -1, 3)
  ordered = [sorted(map(tuple, image.tolist())) for image in pixels]
  assert ordered == ordered[:1] * 4


def test_one_turn_is_drawn_evenly():
  image = jnp.asarray(noise(4, 4, 1))
  turned, turns = jax.vmap(one_turn, in_axes=(0, None))(keys(400), image)
  assert turned.shape == (400, 1, 4, 4, 1)
  np.testing.assert_array_equal(turned[:, 0], all_turns(KEY, image)[0][turns[:, 0]])
  assert np.bincount(turns[:, 0]).min() > 70 and len(np.bincount(turns[:, 0])) == 4


def test_the_view_is_taken_upright():
  """What the view does to rows of the image is turned with it."""
  views = many_views(lambda key, image: image.at[0].set(1.0))
  method = rotation(cases.Encoder("layer"), models.linear_head(out=4), views)
  batch = {"input": jnp.zeros((4, 4, 4, 1))}
  show = lambda: method.show(*method.init(KEY, batch), batch, keys(4))
  (shown,) = jax.jit(show)().values()
  for k in range(4):  # row k shows turn k
    upright = np.rot90(shown[k, 0], -k)
    np.testing.assert_array_equal(upright[0], 1.0)
    assert upright.sum() == 4.0


def test_images_that_are_not_square_are_refused():
  method = rotation(cases.Encoder("layer"), models.linear_head(out=4), WHOLE)
  with pytest.raises(InputError, match="square"):
    method.init(KEY, {"input": jnp.zeros((2, 4, 6, 1))})


def test_a_right_answer_turns_the_image_back():
  images = jnp.asarray(noise(8, 5, 5, 3))
  turned, turns = jax.vmap(all_turns, in_axes=(None, 0))(KEY, images)
  shown = jax.jit(show_turns)(turned, turns, jax.nn.one_hot(turns, 4))
  (shown,) = shown.values()
  np.testing.assert_array_equal(shown[:, 1], images)
  assert np.any(shown[1:4, 0] != images[1:4])


# Jigsaw and patch order.


def quarters(key, image):
  """Four tiles of a 4 x 4 image."""
  del key
  halves = image[:2], image[2:]
  return jnp.stack([half[:, c : c + 2] for half in halves for c in (0, 2)])


def test_a_puzzle_is_the_tiles_in_the_permutation_s_order():
  image, table = jnp.asarray(noise(4, 4, 1)), ops.all_permutations(4)
  ask = functools.partial(shuffled, cut=quarters, permutations=jnp.asarray(table))
  tiles, labels = jax.jit(jax.vmap(ask, in_axes=(0, None)))(keys(300), image)
  whole = np.asarray(quarters(None, image))
  for puzzle, label in zip(tiles[:20], labels[:20, 0], strict=True):
    for place in range(4):
      np.testing.assert_array_equal(puzzle[place], whole[table[label][place]])
  assert len(np.unique(labels)) == 24


def test_a_right_answer_puts_the_tiles_back():
  images, table = jnp.asarray(noise(6, 4, 4, 3)), jnp.asarray(ops.all_permutations(4))
  ask = functools.partial(shuffled, cut=quarters, permutations=table)
  tiles, labels = jax.jit(jax.vmap(ask))(keys(6), images)
  logits = jax.nn.one_hot(labels, 24)
  (boards,) = show_puzzles(
    tiles, labels, logits, permutations=table, grid=(2, 2)
  ).values()
  whole = on_board(jax.vmap(quarters, in_axes=(None, 0))(KEY, images), (2, 2))
  np.testing.assert_array_equal(boards[:, 1], whole)
  np.testing.assert_array_equal(boards[:, 2], whole)
  assert np.any(boards[:, 0] != whole)


def test_a_board_is_tiles_between_grey_lines():
  tiles = jnp.asarray(noise(1, 6, 2, 3, 1))
  board = np.asarray(on_board(tiles, (2, 3)))
  assert board.shape == (1, 5, 11, 1)
  np.testing.assert_array_equal(board[0, 3:, 4:7], tiles[0, 4])
  np.testing.assert_array_equal(board[0, 2], 0.5)
  np.testing.assert_array_equal(board[0, :, [3, 7]], 0.5)


def test_the_table_of_permutations_is_in_the_state_and_decides():
  method, params, extra = started("jigsaw")
  table = ops.permutation_set(6, count=8, seed=0)
  np.testing.assert_array_equal(extra.permutations, table)
  forward = jax.jit(method.forward)
  rows, after = forward(params, extra, cases.batch(), keys(16), 0)
  np.testing.assert_array_equal(after.permutations, table)
  other = extra._replace(permutations=jnp.asarray(table[::-1]))
  changed, _ = forward(params, other, cases.batch(), keys(16), 0)
  assert np.abs(rows["loss"] - changed["loss"]).max() > 1e-3


def test_a_tile_s_brightness_tells_its_place_until_it_is_standardised():
  row, column = np.indices((12, 12))
  lit = 0.1 * noise(12, 12, 3) + (0.05 * row + 0.01 * column)[..., None]
  lit = jnp.asarray(lit, jnp.float32)
  tiles = random_tiles(KEY, lit, grid=(3, 3), tile=3, gap=1)
  assert np.all(np.diff(np.mean(tiles, axis=(1, 2, 3))[::3]) > 0.1)
  seen = np.asarray(models.Standardized(Pixels()).apply({}, tiles, train=False))
  np.testing.assert_allclose(seen.mean((1, 2)), 0.0, atol=1e-5)
  np.testing.assert_allclose(seen.std((1, 2)), 1.0, atol=5e-3)


class Pixels(nn.Module):
  """An encoder that passes its input on."""

  def __call__(self, x, *, train, keys=None):
    return x

  def feature_map(self, x, *, train, keys=None):
    return x


def test_a_standardized_encoder_has_the_encoder_s_parameters():
  plain = models.ConvNet(widths=(4,), pools=(2,))
  net = models.Standardized(plain)
  images = jnp.asarray(noise(5, 6, 6, 2))
  variables = net.init(KEY, images, train=True)
  expected = plain.init(KEY, images, train=True)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, expected)
  standard = (images - images.mean((1, 2), keepdims=True)) / jnp.sqrt(
    images.var((1, 2), keepdims=True) + 1e-5
  )
  for method in ("__call__", "feature_map"):
    got = net.apply(variables, images, train=False, method=method)
    wanted = plain.apply(variables, standard, train=False, method=method)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_flat_images_are_standardised_to_nothing():
  seen = models.Standardized(Pixels()).apply(
    {}, jnp.full((1, 4, 4, 1), 0.7), train=True
  )
  np.testing.assert_allclose(seen, 0.0, atol=1e-4)


@pytest.mark.parametrize(
  "permutations, said",
  [
    ([[0, 1, 2, 3]], "2 classes"),
    ([[0, 1, 2], [2, 1, 0]], "4"),
    ([0, 1, 2, 3], "2 classes"),
    ([[0, 1, 2, 3], [0, 1, 2, 3]], "twice"),
    ([[0, 1, 2, 3], [1, 1, 2, 3]], "none of"),
    ([[1, 2, 3, 4], [4, 3, 2, 1]], "none of"),
  ],
)
def test_permutations_that_are_no_set_are_refused(permutations, said):
  parts = predictive_cases.tiles("layer", None, 2)
  with pytest.raises(InputError, match=said):
    jigsaw(*parts, WHOLE, permutations=permutations, grid=(2, 2), tile=2)


@pytest.mark.parametrize(
  ("make", "options"),
  [
    (methods.patch_order, {"tile": 4, "gap": 1}),  # which would fit without the gap
    (context, {"tile": 2, "gap": 1, "smallest": 1}),
  ],
)
def test_tiles_that_do_not_fit_are_refused_before_any_compute(make, options):
  method = make(*predictive_cases.tiles("layer", None, 24), WHOLE, **options)
  with pytest.raises(InputError, match="take at most"):
    jax.eval_shape(method.init, KEY, cases.batch())


# Relative places of patches.


def test_places_are_read_row_by_row():
  assert [place_of(4, i) for i in (0, 1, 2, 3, 5, 6, 7, 8)] == list(range(8))


class Watched(nn.Module):
  """An encoder that shows what it is given."""

  seen: Callable

  def __call__(self, x, *, train, keys=None):
    self.seen(np.asarray(x))
    return x.reshape(len(x), -1)


def test_patches_lose_resolution_before_the_encoder_sees_them():
  """How sharp an edge is tells two patches of one place of a lens from others."""

  def patches(low_resolution):
    seen = []
    _, projector, head = predictive_cases.tiles("layer", None, 8)
    options = {"smallest": 1, "low_resolution": low_resolution}
    method = context(
      Watched(seen.append), projector, head, WHOLE, tile=4, gap=0, **options
    )
    batch = {"input": jnp.asarray(noise(2, 12, 12, 3))}
    with jax.disable_jit():
      method.forward(*method.init(KEY, batch), batch, keys(2), 0)
    return seen[-1]

  sharp, blurred = patches(0.0), patches(1.0)
  assert sharp.shape == blurred.shape
  rough = lambda x: np.abs(np.diff(x, axis=1)).mean()
  assert rough(blurred) < 0.8 * rough(sharp)


def test_every_pair_is_asked_both_ways():
  pairs = models.neighbour_pairs()
  assert len(set(pairs)) == 16
  for first, second in pairs:
    assert (second, first) in pairs
    assert place_of(first, second) == 7 - place_of(second, first)


@pytest.mark.parametrize("pair", [(0, 2), (0, 8), (4, 4), (4, 9), (-1, 0), (2, 3)])
def test_patches_that_do_not_touch_are_refused(pair):
  parts = predictive_cases.tiles("layer", None, 8)
  with pytest.raises(InputError, match="don't touch"):
    context(*parts, WHOLE, tile=2, gap=0, smallest=1, pairs=(pair,))


def test_each_patch_loses_its_colors_by_itself():
  still = lambda key, image: jnp.stack([image] * 9)
  ask = functools.partial(
    patches_around, cut=still, blur=lambda key, patch: patch, places=(3, 4)
  )
  image = jnp.asarray(noise(6, 6, 3))
  patches, places = jax.jit(jax.vmap(ask, in_axes=(0, None)))(keys(40), image)
  kept = (patches == image[None, None]).all(axis=(2, 3))
  np.testing.assert_array_equal(kept.sum(axis=2), 1)
  channel = kept.argmax(axis=2)
  assert np.all([len(np.unique(c)) == 3 for c in np.asarray(channel).T])
  assert len(np.unique(channel[:, 0] - channel[:, 1])) == 5  # all differences
  np.testing.assert_array_equal(places, [[3, 4]] * 40)


def test_a_right_answer_is_the_true_place():
  patches = jnp.asarray(noise(3, 9, 2, 2, 1))
  pairs = models.neighbour_pairs()[:3]
  places = jnp.asarray([[place_of(*p) for p in pairs]] * 3)
  logits = jax.nn.one_hot(places, 8)
  (boards,) = show_places(patches, places, logits, pairs=pairs).values()
  np.testing.assert_array_equal(boards[:, 0], boards[:, 1])
  np.testing.assert_array_equal(boards[0, 0, 3:5, 3:5], patches[0, 4])
  np.testing.assert_array_equal(boards[1, 0, 0:2, 3:5], patches[1, 1])  # above
  (wrong,) = show_places(patches, places, -logits, pairs=pairs).values()
  assert np.any(wrong[:, 0] != wrong[:, 1])


# The net of tiles.


def test_tiles_are_encoded_one_by_one_and_joined_in_the_group_s_order():
  groups = ((0, 1), (2, 0))
  net = models.Tiles(Sums(), Pixels(), groups)
  tiles = noise(3, 4, 2, 2, 1)
  got = net.apply({}, jnp.asarray(tiles), train=True)
  sums = tiles.sum((2, 3, 4))
  expected = np.stack([sums[:, group] for group in map(list, groups)], axis=1)
  np.testing.assert_allclose(got, expected, rtol=1e-6)


class Sums(nn.Module):
  """An encoder that adds up the pixels."""

  def __call__(self, x, *, train, keys=None):
    assert x.ndim == 4
    return x.sum((1, 2))


def test_every_tile_has_its_own_key():
  class Draws(nn.Module):
    def __call__(self, x, *, train, keys=None):
      return jax.vmap(jax.random.uniform)(keys)[:, None]

  net = models.Tiles(Draws(), Pixels(), models.each_tile(4))
  run = jax.jit(lambda k: net.apply({}, jnp.zeros((3, 4, 2, 2, 1)), train=True, keys=k))
  drawn = run(keys(3))
  assert len(np.unique(drawn)) == 12
  np.testing.assert_array_equal(run(keys(3)[::-1]), drawn[::-1])


@pytest.mark.parametrize("groups", [((0, 1), (2,)), ((0, 4),)])
def test_groups_of_other_tiles_are_refused(groups):
  with pytest.raises(InputError, match="Groups"):
    models.Tiles(Sums(), Pixels(), groups).apply(
      {}, jnp.zeros((1, 4, 2, 2, 1)), train=True
    )


def test_images_for_tiles_are_refused():
  net = models.Tiles(Sums(), Pixels(), models.all_tiles(2))
  with pytest.raises(InputError, match="batch, tiles"):
    net.apply({}, jnp.zeros((1, 2, 2, 1)), train=True)
