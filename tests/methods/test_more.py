"""What each method does beside the contracts: its state, its formula, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, losses, methods, models
from jaxssl.errors import InputError
from jaxssl.ops import l2_normalize, sinkhorn
from tests import cases
from tests.contracts import runners


def unit(seed, rows=cases.BATCH, dim=cases.DIM):
  return l2_normalize(jax.random.normal(jax.random.key(seed), (rows, dim)))


def stepped(name, steps=1, norm="batch"):
  """The first state, and the state after some steps on one device."""
  return runners.first_state(name, norm), runners.run_jit(name, norm, 1, steps)


def objective(name, outputs, *, extra=None, step=0):
  method, state = runners.method(name, "batch"), runners.first_state(name, "batch")
  extra = state.extra if extra is None else extra
  return method.objective(state.params, extra, outputs, jnp.int32(step))


def init_of(method, batch=None):
  batch = cases.batch() if batch is None else batch
  return method.init(jax.random.key(0), batch)


# ---- targets and queues


@pytest.mark.parametrize("eman", [False, True])
def test_keys_of_eman_alone_do_not_see_their_batch(eman):
  options = {"queue_size": 2 * cases.BATCH, "momentum": 0.9, "eman": eman}
  method = methods.moco_v2(cases.net("batch"), cases.views, **options)
  batch = cases.batch()
  params, extra = method.init(jax.random.key(0), batch)
  keys = jax.random.split(jax.random.key(1), cases.BATCH)
  changed = {**batch, "input": batch["input"].at[1:].multiply(0.5)}
  make = jax.jit(lambda batch: method.forward(params, extra, batch, keys, 0)[0][1])
  same = np.allclose(make(batch)[0], make(changed)[0], atol=1e-6)
  assert same == eman


def test_eman_moves_the_key_statistics_towards_those_of_the_query():
  method = methods.moco_v2(
    cases.net("batch"), cases.views, queue_size=16, momentum=0.75, eman=True
  )
  params, extra = method.init(jax.random.key(0), cases.batch())
  ones = jax.tree.map(jnp.ones_like, extra.stats)
  zeros = jax.tree.map(jnp.zeros_like, extra.stats)
  _, moved = method.update(params, extra._replace(stats=ones, target_stats=zeros), 0)
  np.testing.assert_allclose(cases.flat(moved.target_stats), 0.25, rtol=1e-6)


def test_moco_v3_is_the_scaled_sum_of_both_directions():
  p_a, p_b, t_a, t_b = (unit(s) for s in range(4))
  loss, _ = objective("moco_v3", ((p_a, p_b), (t_a, t_b)))
  forth = losses.info_nce(p_a, t_b, temperature=1.0).mean()
  back = losses.info_nce(p_b, t_a, temperature=1.0).mean()
  np.testing.assert_allclose(loss, 2 * (forth + back), rtol=1e-5)


def test_pitfall_4_moco_v3_of_identical_rows_is_4_t_log_b():
  same = jnp.ones((cases.BATCH, cases.DIM))
  loss, _ = objective("moco_v3", ((same, same), (same, same)))
  np.testing.assert_allclose(loss, 4 * np.log(cases.BATCH), rtol=1e-5)


def test_pitfall_9_moco_v3_reads_its_momentum_one_step_ahead():
  read = []
  momentum = lambda step: read.append(int(step)) or 0.5
  method = methods.moco_v3(
    cases.net("layer", predictor=True), cases.views, momentum=momentum
  )
  params, extra = init_of(method)
  method.update(params, extra, jnp.int32(6))
  assert read == [7]


def test_nnclr_looks_up_neighbours_before_the_batch_enters():
  state = runners.first_state("nnclr", "batch")
  _, after = stepped("nnclr")
  old, new = np.asarray(state.extra.queue), np.asarray(after.extra.queue)
  np.testing.assert_array_equal(new[cases.BATCH :], old[cases.BATCH :])
  assert not np.allclose(new[: cases.BATCH], old[: cases.BATCH])
  method = runners.method("nnclr", "batch")
  keys = core.row_keys(state, cases.BATCH)
  (_, neighbours, _), _ = jax.jit(method.forward)(
    state.params, state.extra, cases.batch(), keys, state.step
  )
  known = {row.tobytes() for row in old}
  assert all(np.asarray(row).tobytes() in known for row in neighbours[0])


def test_nnclr_of_identical_rows_is_log_b():
  same = jnp.ones((cases.BATCH, cases.DIM))
  loss, _ = objective("nnclr", (same, (same, same), (same, same)))
  np.testing.assert_allclose(loss, np.log(cases.BATCH), rtol=1e-5)


@pytest.mark.parametrize(
  "name", ["moco_v1", "moco_v2", "ressl", "seed", "nnclr", "swav"]
)
def test_pitfall_10_rows_of_queues_are_unit_vectors(name):
  """Those that one step put there, too: losses may take them for cosines."""
  before, after = (np.asarray(state.extra.queue) for state in stepped(name))
  moved = np.abs(after - before).max(-1) > 0
  assert moved.sum() == cases.BATCH * (len(after) if after.ndim > 2 else 1)
  np.testing.assert_allclose(np.linalg.norm(after, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["moco_v1", "ressl", "seed", "nnclr"])
def test_pitfall_10_a_queue_that_is_no_multiple_of_the_batch_is_refused(name):
  teacher = methods.Teacher(lambda v, x: x.reshape(len(x), -1)[:, : cases.DIM] + v, 0.0)
  extra = (teacher,) if name == "seed" else ()
  views = cases.one_view if name == "seed" else cases.views
  net = cases.net("layer", predictor=name == "nnclr")
  method = getattr(methods, name)(net, views, *extra, queue_size=cases.BATCH + 1)

  def step(batch):
    state = core.init_state(method, cases.optimiser(), jax.random.key(0), batch)
    return core.train_step(method, cases.optimiser(), state, batch)

  with pytest.raises(InputError, match="multiple of the batch"):
    jax.eval_shape(step, cases.batch())


# ---- memory bank


def test_npid_moves_the_rows_of_the_batch_and_no_other():
  state, after = stepped("npid")
  old, new = np.asarray(state.extra.bank), np.asarray(after.extra.bank)
  np.testing.assert_array_equal(new[cases.BATCH :], old[cases.BATCH :])
  np.testing.assert_allclose(np.linalg.norm(new[: cases.BATCH], axis=1), 1, rtol=1e-5)


def test_npid_keeps_the_normalizer_of_the_first_batch():
  _, first = stepped("npid", 1)
  _, second = stepped("npid", 2)
  assert first.extra.normalizer > 0
  assert first.extra.normalizer == second.extra.normalizer


def test_npid_estimates_z_as_the_mean_similarity_times_the_examples():
  logits = jax.random.normal(jax.random.key(0), (cases.BATCH, 9))
  outputs = unit(1), jnp.arange(cases.BATCH), logits
  _, (extra, _) = objective("npid", outputs)
  expected = np.exp(np.asarray(logits)).mean() * cases.EXAMPLES
  np.testing.assert_allclose(extra.normalizer, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("method", "options"),
  [
    (methods.npid, {}),
    (methods.npid_softmax, {}),
    (methods.deepcluster, {"clusters": 2}),
    (methods.deepcluster_v2, {"clusters": 2}),
  ],
)
def test_what_is_kept_of_examples_needs_their_indices(method, options):
  made = method(cases.net("layer"), cases.one_view, examples=8, **options)
  with pytest.raises(InputError, match="index"):
    init_of(made, {"input": cases.batch()["input"]})


def test_supcon_without_labels_is_refused():
  made = methods.supcon(cases.net("layer"), cases.views)
  with pytest.raises(InputError, match="label"):
    init_of(made, {"input": cases.batch()["input"]})


# ---- prototypes


def swav_loop(z, rows, temperature=0.3, epsilon=0.3):
  """Mean over the assigning views of the mean over the other views."""
  total = 0.0
  for i in (0, 1):
    codes = np.asarray(sinkhorn(z[i] @ rows.T, epsilon=epsilon, iterations=3))
    for v in {0, 1, 2} - {i}:
      logits = np.asarray(z[v] @ rows.T, np.float64) / temperature
      log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
      total += -(codes * log_p).sum(1).mean() / 4
  return total


def test_swav_is_the_mean_over_pairs_of_views():
  z = tuple(unit(s) for s in range(3))
  rows = runners.first_state("swav", "batch").params["prototypes"]
  loss, _ = objective("swav", z, step=0)  # the queue starts at step 1
  np.testing.assert_allclose(loss, swav_loop(z, rows), rtol=1e-5)


def test_swavs_queue_takes_part_from_its_start():
  z = tuple(unit(s) for s in range(3))
  cold, _ = objective("swav", z, step=0)
  warm, _ = objective("swav", z, step=1)
  assert abs(float(cold) - float(warm)) > 1e-6


def test_swavs_prototypes_are_frozen_at_first_and_unit_rows_always():
  state, first = stepped("swav", 1)
  _, second = stepped("swav", 2)
  before, one, two = (s.params["prototypes"] for s in (state, first, second))
  np.testing.assert_allclose(one, before, atol=1e-6)
  assert np.abs(np.asarray(two) - np.asarray(before)).max() > 1e-4
  np.testing.assert_allclose(np.linalg.norm(two, axis=1), 1.0, rtol=1e-5)


def test_swav_needs_two_prototypes():
  with pytest.raises(InputError, match="1 prototype"):
    methods.swav(cases.net("layer"), cases.views, prototypes=1)


# ---- clusters


def planted():
  """Images that are bright on the left or on the right, in order, the last padded."""
  rng = np.random.default_rng(0)
  kind = np.arange(cases.EXAMPLES) % 2
  left = (np.arange(8) < 4)[None, None, :, None]
  drawn = np.where(kind[:, None, None, None] == 0, left, ~left)
  images = (drawn + 0.02 * rng.normal(size=(cases.EXAMPLES, 8, 8, 1))).astype("f")
  size = cases.EXAMPLES - 5
  for start in (0, size):
    rows = np.minimum(np.arange(start, start + size), cases.EXAMPLES - 1)
    yield {"input": jnp.asarray(images[rows])}, np.ones(size, bool)


def two_clusters(method, **options):
  made = method(
    cases.net("layer"), cases.one_view, examples=cases.EXAMPLES, clusters=2, **options
  )
  init = functools.partial(core.init_state, made, cases.optimiser())
  state = jax.jit(init)(jax.random.key(0), cases.batch())
  return state, made.refresh(state, planted(), jax.random.key(1))


def assert_planted(labels):
  labels = np.asarray(labels)
  assert set(labels[0::2]) == {labels[0]}
  assert set(labels[1::2]) == {1 - labels[0]}


def test_deepcluster_finds_planted_clusters_and_restarts_its_top():
  state, after = two_clusters(methods.deepcluster, components=1)
  assert_planted(after.extra.labels)
  np.testing.assert_allclose(after.extra.weights, 1.0)
  assert not np.allclose(state.params["top"]["kernel"], after.params["top"]["kernel"])
  same = jax.tree.map(lambda a, b: bool((a == b).all()), state.params, after.params)
  assert all(jax.tree.leaves(same["net"]))


def test_deepcluster_v2_takes_its_centroids_as_prototypes():
  _, after = two_clusters(methods.deepcluster_v2, heads=2)
  for labels, rows in zip(after.extra.labels, after.extra.prototypes, strict=True):
    assert_planted(labels)
    nearest = jnp.argmax(after.extra.memory[0] @ rows.T, axis=1)
    np.testing.assert_array_equal(nearest, labels)


def test_deepcluster_v2_overwrites_the_memory_of_the_batch():
  state, after = stepped("deepcluster_v2")
  old, new = np.asarray(state.extra.memory), np.asarray(after.extra.memory)
  np.testing.assert_array_equal(new[:, cases.BATCH :], old[:, cases.BATCH :])
  lengths = np.linalg.norm(new[:, : cases.BATCH], axis=-1)
  np.testing.assert_allclose(lengths, 1.0, rtol=1e-5)


def test_weights_make_clusters_count_alike():
  from jaxssl.methods.deepcluster import cluster_weights

  labels = jnp.asarray([0, 0, 0, 2, 2, 5])
  weights = cluster_weights(labels, 6)
  sums = [float(weights[labels == c].sum()) for c in (0, 2, 5)]
  np.testing.assert_allclose(sums, [2.0, 2.0, 2.0], rtol=1e-6)


def test_whitened_features_have_unit_covariance():
  from jaxssl.methods.deepcluster import whitened

  rng = np.random.default_rng(0)
  x = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3.0
  y = np.asarray(whitened(jnp.asarray(x, jnp.float32), 4))
  np.testing.assert_allclose(y.T @ y / 200, np.eye(4), atol=1e-3)


@pytest.mark.parametrize("method", [methods.deepcluster, methods.deepcluster_v2])
@pytest.mark.parametrize("clusters", [1, 9])
def test_fewer_examples_than_clusters_are_refused(method, clusters):
  with pytest.raises(InputError, match=f"{clusters} clusters of 8 examples"):
    method(cases.net("layer"), cases.one_view, examples=8, clusters=clusters)


# ---- distillation


def test_seed_never_changes_its_teacher():
  state, after = stepped("seed", 2)
  before = np.asarray(state.extra.teacher["weights"])
  np.testing.assert_array_equal(after.extra.teacher["weights"], before)


def test_seed_refuses_a_teacher_of_another_width():
  teacher = methods.Teacher(lambda variables, x: jnp.zeros((len(x), 5)), {})
  made = methods.seed(cases.net("layer"), cases.one_view, teacher)
  with pytest.raises(InputError, match=r"5 wide .* 12; .*out=5"):
    init_of(made)


# ---- the rest


def test_lejepa_compares_every_view_with_the_mean_of_the_global_ones():
  z = tuple(unit(s) for s in range(3))
  _, (_, metrics) = objective("lejepa", z)
  centre = (z[0] + z[1]) / 2
  expected = np.mean([np.square(np.asarray(x - centre)) for x in z])
  np.testing.assert_allclose(metrics["prediction"], expected, rtol=1e-5)


def test_lejepa_draws_other_directions_each_step():
  z = tuple(unit(s) for s in range(3))
  values = [float(objective("lejepa", z, step=s)[1][1]["sigreg"]) for s in (0, 0, 1)]
  assert values[0] == values[1] != values[2]


def test_lejepa_refuses_a_weight_above_one():
  with pytest.raises(InputError, match="weight of SIGReg"):
    methods.lejepa(cases.net("layer"), cases.views, weight=1.5)


def test_vicregl_adds_the_local_loss_to_the_global_one():
  """VICRegL issue 6: the official code once overwrote one with the other."""
  method, state = (
    runners.method("vicregl", "batch"),
    runners.first_state("vicregl", "batch"),
  )
  keys = core.row_keys(state, cases.BATCH)
  outputs, extra = jax.jit(method.forward)(
    state.params, state.extra, cases.batch(), keys, state.step
  )
  loss, (_, metrics) = method.objective(state.params, extra, outputs, state.step)
  parts = 0.75 * metrics["global_loss"] + 0.25 * metrics["local_loss"]
  np.testing.assert_allclose(loss, parts, rtol=1e-5)
  assert metrics["global_loss"] > 0 and metrics["local_loss"] > 0


def test_w_mse_whitens_parts_of_the_batch():
  net = cases.net("layer", out=4)
  whole = methods.w_mse(net, cases.views, sub_batch=cases.BATCH // 2)
  z_a, z_b = unit(0, dim=4), unit(1, dim=4)
  loss, _ = whole.objective(None, None, (z_a, z_b), 0)
  half = cases.BATCH // 2
  parts = [losses.w_mse(z_a[i], z_b[i]) for i in (slice(half), slice(half, None))]
  np.testing.assert_allclose(loss, np.mean(parts), rtol=1e-4)


def test_w_mse_refuses_parts_that_do_not_divide_the_batch():
  made = methods.w_mse(cases.net("layer", out=4), cases.views, sub_batch=5)
  with pytest.raises(InputError, match="do not divide"):
    made.objective(None, None, (unit(0, dim=4), unit(1, dim=4)), 0)


def test_the_context_of_cpc_sees_no_row_below():
  context = models.RowContext(width=8, blocks=2)
  grid = jax.random.normal(jax.random.key(0), (2, 4, 3, 5))
  params = context.init(jax.random.key(1), grid, train=False)
  changed = grid.at[:, 2:].add(1.0)
  seen, other = (context.apply(params, x, train=False) for x in (grid, changed))
  np.testing.assert_array_equal(seen[:, :2], other[:, :2])
  assert not np.allclose(seen[:, 2], other[:, 2])


def test_cpc_cuts_overlapping_patches():
  from jaxssl.methods.cpc import _grid

  image = jnp.arange(64.0).reshape(1, 8, 8, 1)
  grid = _grid(image, 4, 2, 2)
  assert grid.shape == (1, 3, 3, 4, 4, 1)
  np.testing.assert_array_equal(grid[0, 1, 2], image[0, 2:6, 4:8])


def test_cpc_needs_rows_to_predict():
  encoder, context = cases.PatchEncoder(), models.RowContext(width=8, blocks=1)
  method = methods.cpc(encoder, context, cases.one_view, patch=4, stride=4, steps=2)
  with pytest.raises(InputError, match="more than 2 rows"):
    init_of(method)


ONE_ROW = {"moco_v3": {"momentum": lambda step: 0.9}, "swav": {"prototypes": 4}}


@pytest.mark.parametrize(
  "name",
  ["simclr", "dcl", "moco_v3", "vicreg", "barlow_twins", "supcon", "swav"],
)
def test_a_batch_of_one_is_refused(name):
  options = ONE_ROW.get(name, {})
  net = cases.net("layer", predictor=name == "moco_v3")
  method = getattr(methods, name)(net, cases.views, **options)

  def step(batch):
    state = core.init_state(method, cases.optimiser(), jax.random.key(0), batch)
    return core.train_step(method, cases.optimiser(), state, batch)

  with pytest.raises(InputError, match="at least 2"):
    jax.eval_shape(step, cases.batch(rows=1))


def test_what_has_no_rows_is_refused_as_it_is_made():
  net, views, momentum = cases.net("layer"), cases.views, lambda step: 0.9
  teacher = methods.Teacher(lambda variables, x: x.reshape(len(x), -1), {})
  makers = [
    lambda: methods.dino(
      net, views, prototypes=1, teacher_temperature=momentum, momentum=momentum
    ),
    lambda: methods.swav(net, views, prototypes=1),
    lambda: methods.distill(net, views, teacher, prototypes=1),
    lambda: methods.moco_v2(net, views, queue_size=0, momentum=0.9),
    lambda: methods.swav(net, views, prototypes=4, queue_size=0),
    lambda: methods.seed(net, views, teacher, queue_size=0),
    lambda: methods.deepcluster_v2(net, views, examples=8, clusters=2, heads=0),
  ]
  for make in makers:
    with pytest.raises(InputError, match="at least|2 or more"):
      make()


@pytest.mark.parametrize("method", [methods.seed, methods.distill])
def test_a_teacher_of_other_images_is_refused(method):
  """Its weights are for one channel, the images have three."""
  encoder = models.ConvNet(widths=(4,), pools=(2,))
  gray = jnp.zeros((2, 8, 8, 1))
  variables = encoder.init(jax.random.key(0), gray, train=False)
  encode = lambda variables, x: encoder.apply(variables, x, train=False)
  views = cases.one_view if method is methods.seed else cases.views
  made = method(cases.net("layer"), views, methods.Teacher(encode, variables))
  with pytest.raises(InputError, match=r"teacher can't see.*\[8, 8, 3\]"):
    init_of(made, {"input": jnp.zeros((2, 8, 8, 3))})


def test_multi_crop_sizes_that_the_encoder_cannot_take_are_refused():
  vit = models.ViT(width=8, depth=1, heads=1, patch=4)
  net = models.Siamese(vit, models.swav_head(hidden=8, out=4))
  views = lambda key, x: (x, x, x[:6, :6])
  method = methods.swav(net, views, prototypes=4)

  def step(batch):
    state = core.init_state(method, cases.optimiser(), jax.random.key(0), batch)
    return core.train_step(method, cases.optimiser(), state, batch)

  with pytest.raises(InputError, match="6 x 6 pixels do not split"):
    jax.eval_shape(step, cases.batch())
