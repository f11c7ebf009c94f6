"""DINO, iBOT, DINOv2 and I-JEPA against slow loops of what the papers write."""

import functools
import importlib
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from jaxssl.methods import prototypes, tokens
from jaxssl.methods.dino import DinoExtra, DinoOutputs, dino
from jaxssl.methods.dinov2 import Dinov2Extra, Dinov2Outputs, dinov2
from jaxssl.methods.distill import distill
from jaxssl.methods.ibot import ibot
from jaxssl.methods.ijepa import ijepa
from jaxssl.methods.seed import Teacher
from jaxssl.models.predictor import Jepa, PatchPredictor, Puzzle, first_true
from jaxssl.models.siamese import Siamese
from tests import golden, token_cases
from tests.token_cases import constant

BATCH, CROPS, PIXELS, DIM, ROWS = 3, 4, 6, 5, 7
DINOV2 = importlib.import_module("jaxssl.methods.dinov2")  # the name is the function's
SHARP, SOFT = 0.06, 0.1


class Flat(nn.Module):
  """An encoder that passes its input on."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return x


class Linear(nn.Module):
  """A projector of one layer."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return nn.Dense(DIM)(x)


def crops_of(key, example):
  """The example holds its crops: nothing is drawn."""
  del key
  return tuple(example)


def toy_dino(**options):
  """DINO whose scores a test can compute by hand."""
  return dino(
    Siamese(Flat(), Linear()),
    crops_of,
    prototypes=ROWS,
    teacher_temperature=constant(SHARP),
    momentum=constant(0.75),
    **options,
  )


def random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def toy_state(method):
  """A batch, parameters, and a teacher and a centre that differ from a first state."""
  batch = {"input": jnp.asarray(random(BATCH, CROPS, PIXELS))}
  params, extra = jax.jit(method.init)(jax.random.key(0), batch)
  target = jax.tree.map(lambda x: x + 0.3, extra.target)
  return batch, params, extra._replace(target=target, center=0.1 * jnp.arange(ROWS))


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(variables, x):
  """Scores of one crop, in float64."""
  dense = jax.tree.map(np.float64, variables["net"]["projector"]["Dense_0"])
  z = np.float64(x) @ dense["kernel"] + dense["bias"]
  return unit(z) @ unit(np.float64(variables["last_layer"])).T


def log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def cross_entropy(student, probabilities):
  return -(probabilities * log_softmax(student / SOFT)).sum(-1)


def keys():
  return jax.random.split(jax.random.key(7), BATCH)


def forward(method, params, extra, batch, step=0):
  rows = jax.random.split(jax.random.key(7), len(batch["input"]))
  return jax.jit(method.forward)(params, extra, batch, rows, jnp.int32(step))


def test_dino_is_the_mean_over_pairs_of_different_crops():
  method = toy_dino()
  batch, params, extra = toy_state(method)
  outputs, _ = forward(method, params, extra, batch)
  pairs = []
  for q in range(2):
    teacher = by_hand(extra.target, batch["input"][:, q]) - np.asarray(extra.center)
    target = np.exp(log_softmax(teacher / SHARP))
    for v in range(CROPS):
      if v != q:
        student = by_hand(params, batch["input"][:, v])
        pairs.append(cross_entropy(student, target))
  assert len(pairs) == 2 * (CROPS - 1)
  np.testing.assert_allclose(outputs.loss, np.mean(pairs, axis=0), rtol=1e-4)


def test_the_center_moves_after_the_loss_by_the_mean_of_all_teacher_scores():
  method = toy_dino()
  batch, params, extra = toy_state(method)
  outputs, same = forward(method, params, extra, batch)
  np.testing.assert_array_equal(same.center, extra.center)
  loss, (after, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  teacher = [by_hand(extra.target, batch["input"][:, q]) for q in range(2)]
  expected = 0.9 * np.asarray(extra.center) + 0.1 * np.mean(teacher, axis=(0, 1))
  np.testing.assert_allclose(after.center, expected, atol=1e-5)
  np.testing.assert_allclose(loss, outputs.loss.mean(), rtol=1e-6)
  np.testing.assert_allclose(
    metrics["kl"] + metrics["teacher_entropy"], loss, rtol=1e-5
  )


@pytest.mark.parametrize("case", golden.load("dino"), ids=lambda case: case.note[:12])
def test_center_equals_the_official_one(case):
  """With the identity as last layer the scores are the features."""
  teacher, center = (jnp.asarray(case.inputs[n]) for n in ("teacher", "center"))
  after = prototypes.moved_center(center, teacher, jnp.eye(len(center)), 0.9)
  atol, rtol = case.tolerance["updated_center"]
  np.testing.assert_allclose(
    after, case.outputs["updated_center"], atol=atol, rtol=rtol
  )


def test_entropy_tells_one_prototype_from_all():
  alone = jnp.zeros((4, ROWS)).at[:, 2].set(9.0)
  one = jnp.float32(1e-2)
  np.testing.assert_allclose(prototypes.prototype_entropy(alone, one), 0, atol=1e-6)
  spread = 9.0 * jnp.eye(ROWS)
  entropy = prototypes.prototype_entropy(spread, one)
  np.testing.assert_allclose(entropy, np.log(ROWS), rtol=1e-5)


def test_crop_a_supervises_crop_b():
  student, teacher = jnp.arange(4.0)[:, None], jnp.array([[10.0], [20.0]])
  pairs = []
  prototypes.across_views(
    lambda s, t: pairs.append((float(s[0]), float(t[0]))) or 0.0, list(student), teacher
  )
  assert pairs == [(1, 10), (2, 10), (3, 10), (0, 20), (2, 20), (3, 20)]


def test_a_single_crop_is_refused():
  """One crop has no pair: 0 / 0 elsewhere."""
  method = toy_dino()
  batch, params, extra = toy_state(method)
  with pytest.raises(InputError, match="1 crop"):
    method.forward(params, extra, {"input": batch["input"][:, :1]}, keys(), 0)


@pytest.mark.parametrize("step", [0, 1])
def test_the_last_layer_gets_no_gradient_while_frozen(step):
  method = toy_dino(freeze_steps=1)
  batch, params, extra = toy_state(method)

  def loss(params):
    outputs, _ = method.forward(params, extra, batch, keys(), jnp.int32(step))
    return outputs.loss.sum()

  grads = jax.jit(jax.grad(loss))(params)
  assert np.any(np.asarray(grads["last_layer"])) == (step == 1)
  assert np.any(np.asarray(grads["net"]["projector"]["Dense_0"]["kernel"]))


def test_the_teacher_moves_towards_the_new_parameters():
  method = toy_dino()
  _, params, extra = toy_state(method)
  same, after = method.update(params, extra, jnp.int32(3))
  expected = jax.tree.map(lambda t, p: 0.75 * t + 0.25 * p, extra.target, params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after.target, expected
  )
  assert same is params


def test_encode_uses_the_teacher():
  method = token_cases.make_ibot()
  batch = images()
  params, extra = started(method)
  encode = jax.jit(method.encode)
  features = encode(params, extra, batch)
  nothing = jax.tree.map(jnp.zeros_like, params)
  np.testing.assert_array_equal(encode(nothing, extra, batch), features)
  moved = extra._replace(target=jax.tree.map(lambda x: 1.5 * x, extra.target))
  assert np.abs(encode(params, moved, batch) - features).max() > 1e-3


def test_the_teacher_has_no_stochastic_depth():
  net = token_cases.token_net(drop_path=(0.5,))
  assert prototypes.without_drop_path(net).encoder.drop_path == 0.0
  assert net.encoder.drop_path == (0.5,)
  plain = Siamese(Flat(), Linear())
  assert prototypes.without_drop_path(plain) is plain


def test_fewer_than_two_prototypes_are_refused():
  with pytest.raises(InputError, match="1 prototype"):
    dino(
      Siamese(Flat(), Linear()),
      crops_of,
      prototypes=1,
      teacher_temperature=constant(SHARP),
      momentum=constant(0.9),
    )


def images():
  return {"input": jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))}


def started(method):
  """First parameters and state, compiled as one program."""
  return jax.jit(method.init)(jax.random.key(0), images())


def corner_mask(key):
  """Hides the first two patches of a grid of 16."""
  del key
  return jnp.arange(16) < 2


def toy_ibot(mask):
  return ibot(
    token_cases.token_net(),
    lambda key, image: (image, image[::-1]),
    mask=mask,
    prototypes=ROWS,
    teacher_temperature=constant(SHARP),
    patch_temperature=constant(SHARP),
    momentum=constant(0.75),
  )


def both_sides(net):
  """The student's tokens of masked crops and the teacher's of whole ones."""

  @jax.jit
  def run(params, crops, masks, keys):
    (student, _), _ = tokens.apply_masked(net, params, {}, crops, masks, keys)
    return student, tokens.apply_tokens(net, params, {}, crops, keys)[0]

  return run


def test_ibot_compares_hidden_patches_only_with_the_unmasked_teacher():
  method, batch = toy_ibot(corner_mask), images()
  params, extra = started(method)
  extra = extra._replace(patch_center=0.1 * jnp.arange(ROWS))
  outputs, _ = forward(method, params, extra, batch)
  net, crops = token_cases.token_net(), (batch["input"], batch["input"][:, ::-1])
  masks = jnp.broadcast_to(jnp.arange(16) < 2, (2, 2, 16))
  row_keys = jax.random.split(jax.random.key(7), 2)
  student, teacher = both_sides(net)(params["net"], crops, masks, row_keys)
  last = unit(np.float64(params["last_layer"])).T
  expected = []
  for view in range(2):
    for patch in range(2):
      target = unit(np.float64(teacher.patches[:, view, patch])) @ last
      target = np.exp(log_softmax((target - np.asarray(extra.patch_center)) / SHARP))
      score = unit(np.float64(student.patches[:, view, patch])) @ last
      expected.append(cross_entropy(score, target))
  np.testing.assert_allclose(outputs.patch_loss, np.mean(expected, axis=0), rtol=1e-3)
  every = unit(np.float64(teacher.patches)) @ last
  _, (after, _) = method.objective(params, extra, outputs, jnp.int32(0))
  moved = 0.9 * np.asarray(extra.patch_center) + 0.1 * every.mean((0, 1, 2))
  np.testing.assert_allclose(after.patch_center, moved, atol=1e-5)


def test_ibot_without_hidden_patches_has_no_patch_loss():
  method, batch = toy_ibot(lambda key: jnp.zeros(16, bool)), images()
  params, extra = started(method)
  outputs, _ = forward(method, params, extra, batch)
  np.testing.assert_array_equal(outputs.patch_loss, 0)
  assert np.all(outputs.loss > 0)


def test_the_student_does_not_see_what_is_hidden():
  net, batch = token_cases.token_net(), images()["input"]
  other = batch.at[:, :2, :4].set(0.5)  # patches 0 and 1
  masks = jnp.broadcast_to(jnp.arange(16) < 2, (2, 2, 16))
  init = jax.jit(functools.partial(net.init, train=True))
  params = init(jax.random.key(0), batch)["params"]
  row_keys = jax.random.split(jax.random.key(7), 2)
  run = both_sides(net)
  one, two = (run(params, (x, x), masks, row_keys) for x in (batch, other))
  np.testing.assert_array_equal(one[0].patches, two[0].patches)
  assert np.abs(one[1].patches - two[1].patches).max() > 1e-3


def test_class_token_and_registers_are_no_patches():
  encoder = token_cases.vit(mask_token=True).clone(class_token=True, registers=2)
  net = token_cases.token_net().clone(encoder=encoder)
  method = dinov2(
    net,
    token_cases.multi_crop,
    mask=corner_mask,
    masked_patches=3,
    prototypes=ROWS,
    teacher_temperature=constant(SHARP),
    momentum=constant(0.9),
  )

  def outputs(key):
    params, extra = method.init(key, images())
    rows = jax.random.split(key, 2)
    return method.forward(params, extra, images(), rows, jnp.int32(0))[0]

  shapes = jax.tree.map(jnp.shape, jax.eval_shape(outputs, jax.random.key(0)))
  assert shapes.student == (2, 4, 12)
  assert shapes.teacher_patches == shapes.student_patches == (2, 2, 3, 12)
  assert shapes.features == (2, 2, token_cases.WIDTH)


def test_masks_differ_between_rows_and_crops():
  draw = lambda key: jax.random.bernoulli(key, 0.5, (64,))
  masks, after = tokens.draw_masks(draw, keys())
  assert masks.shape == (BATCH, 2, 64)
  assert len(np.unique(np.asarray(masks).reshape(-1, 64), axis=0)) == 2 * BATCH
  assert not np.array_equal(jax.random.key_data(after), jax.random.key_data(keys()))


def loop_sinkhorn(scores, temperature=SHARP, iterations=3):
  q = np.exp((scores - scores.max()) / temperature).T
  for _ in range(iterations):
    q = q / q.sum(1, keepdims=True)
    q = q / q.sum(0, keepdims=True)
  return q.T


def loop_koleo(z):
  z, rows = unit(np.float64(z)), []
  for i in range(len(z)):
    others = [j for j in range(len(z)) if j != i]
    nearest = max(others, key=lambda j: z[i] @ z[j])
    rows.append(-np.log(np.linalg.norm(z[i] - z[nearest]) + 1e-8))
  return np.mean(rows)


def toy_outputs(crops=CROPS, patches=3):
  """Outputs of DINOv2's forward; one crop of one image has nothing hidden."""
  hidden = np.ones((BATCH, 2, patches), bool)
  hidden[0, 0], hidden[1, 1, 2] = False, False
  shapes = (2, 8), (crops, DIM), (2, DIM), (2, patches, DIM), (2, patches, DIM)
  arrays = [jnp.asarray(random(BATCH, *s, seed=i)) for i, s in enumerate(shapes)]
  return Dinov2Outputs(*arrays, jnp.asarray(hidden))


def test_dinov2_is_balanced_dino_and_ibot_and_koleo():
  method = dinov2(
    token_cases.token_net(),
    crops_of,
    mask=corner_mask,
    masked_patches=3,
    prototypes=ROWS,
    teacher_temperature=constant(SHARP),
    momentum=constant(0.9),
    koleo_weight=0.1,
    ibot_weight=0.5,
  )
  student, teacher = random(ROWS, DIM, seed=8), random(ROWS, DIM, seed=9)
  extra = Dinov2Extra({}, {"last_layer": jnp.asarray(teacher)}, {})
  outputs = toy_outputs()
  params = {"last_layer": jnp.asarray(student)}
  loss, (after, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  score = lambda z, layer: unit(np.float64(z)) @ unit(np.float64(layer)).T

  both = score(outputs.teacher, teacher)
  codes = loop_sinkhorn(both.reshape(-1, ROWS)).reshape(BATCH, 2, ROWS)
  scores = score(outputs.student, student)
  pairs = [
    cross_entropy(scores[:, v], codes[:, q])
    for q in range(2)
    for v in range(CROPS)
    if q != v
  ]
  np.testing.assert_allclose(metrics["class_loss"], np.mean(pairs), rtol=1e-4)

  hidden = np.asarray(outputs.hidden)
  codes = loop_sinkhorn(score(outputs.teacher_patches, teacher)[hidden])
  errors = np.zeros(hidden.shape)
  errors[hidden] = cross_entropy(score(outputs.student_patches, student)[hidden], codes)
  patch_loss = np.mean(errors.sum(-1) / np.maximum(hidden.sum(-1), 1))
  np.testing.assert_allclose(metrics["patch_loss"], patch_loss, rtol=1e-4)

  koleo = sum(loop_koleo(outputs.features[:, i]) for i in range(2))
  np.testing.assert_allclose(metrics["koleo"], koleo, rtol=1e-4)
  np.testing.assert_allclose(
    loss, np.mean(pairs) + 0.5 * patch_loss + 0.1 * koleo, rtol=1e-4
  )
  assert after is extra


def test_dinov2_scores_of_a_few_patches_at_a_time_change_nothing(monkeypatch):
  outputs = toy_outputs()
  last, target = (jnp.asarray(random(ROWS, DIM, seed=i)) for i in (8, 9))

  def loss(last, student):
    own = outputs._replace(student_patches=student)
    match = partial(losses.swav, temperature=0.1)
    options = {"epsilon": jnp.float32(SHARP), "iterations": 3}
    errors = DINOV2.patch_errors(own, last, target, match, **options)
    return DINOV2.patch_term(errors, own.hidden)

  def found():
    return jax.value_and_grad(loss, (0, 1))(last, outputs.student_patches)

  whole = found()
  monkeypatch.setattr(DINOV2, "PLACES", 2)
  close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, found(), whole)


def test_dino_objective_ignores_what_the_student_is():
  """The centre comes from the teacher alone, at any student."""
  method = toy_dino()
  _, params, extra = toy_state(method)
  extra = DinoExtra({}, extra.target, {}, extra.center)
  outputs = DinoOutputs(
    jnp.ones(BATCH), jnp.ones(BATCH), jnp.asarray(unit(random(BATCH, 2, DIM)))
  )
  grads = jax.grad(lambda p: method.objective(p, extra, outputs, jnp.int32(0))[0])(
    params
  )
  assert not any(np.any(np.asarray(x)) for x in jax.tree.leaves(grads))


def test_first_true_lists_in_order_and_pads():
  mask = jnp.array([[0, 1, 0, 1, 1], [1, 0, 0, 0, 0]], bool)
  index, valid = first_true(mask, 2)
  np.testing.assert_array_equal(index[0], [1, 3])
  np.testing.assert_array_equal(valid, [[True, True], [True, False]])
  assert index[1, 0] == 0
  for count in (0, 6):
    with pytest.raises(InputError, match=f"list {count} of 5"):
      first_true(mask, count)


CONTEXT, BLOCK_A, BLOCK_B = (0, 1, 2, 4, 5), (10, 11), (14,)


def places(*indices):
  return jnp.isin(jnp.arange(16), jnp.array(indices))


def fixed_blocks(step_key, row_key):
  del step_key, row_key
  return places(*CONTEXT), jnp.stack([places(*BLOCK_A), places(*BLOCK_B)])


def jepa_net():
  predictor = PatchPredictor(width=16, depth=1, heads=2)
  return Jepa(token_cases.vit(), predictor)


def toy_ijepa(blocks=fixed_blocks, context_patches=6):
  net = jepa_net()
  return ijepa(
    net.encoder,
    net.predictor,
    lambda key, image: (image,),
    blocks=blocks,
    context_patches=context_patches,
    target_patches=2,
    momentum=constant(0.75),
  )


def puzzle(image, context_patches):
  context, targets = fixed_blocks(None, None)
  lists = *first_true(context, context_patches), *first_true(targets, 2)
  rows = len(image)
  return Puzzle(image, *(jnp.broadcast_to(x, (rows, *x.shape)) for x in lists))


@functools.partial(jax.jit, static_argnums=2)
def predictions(params, image, context_patches=6):
  lists = puzzle(image, context_patches)
  return jepa_net().apply({"params": params}, lists, train=False)


def test_ijepa_predicts_the_teachers_features_of_the_whole_image():
  method, batch = toy_ijepa(), images()
  params, extra = started(method)
  extra = extra._replace(target=jax.tree.map(lambda x: 1.1 * x, extra.target))
  outputs, _ = forward(method, params, extra, batch)
  predicted = predictions(params, batch["input"])
  encode = jax.jit(functools.partial(method.encode, patches=True))
  whole = np.float64(encode(params, extra, batch))
  target = (whole - whole.mean(-1, keepdims=True)) / np.sqrt(
    whole.var(-1, keepdims=True) + 1e-5
  )
  error = np.zeros(2)
  for block, indices in enumerate((BLOCK_A, BLOCK_B)):
    for place, index in enumerate(indices):
      d = np.abs(np.asarray(predicted[:, block, place]) - target[:, index])
      error += np.where(d < 1, 0.5 * d**2, d - 0.5).mean(-1)
  np.testing.assert_allclose(outputs.error, error, rtol=1e-4)
  np.testing.assert_array_equal(outputs.count, 3)
  loss, _ = method.objective(params, extra, outputs, jnp.int32(0))
  np.testing.assert_allclose(loss, error.sum() / 6, rtol=1e-4)


@functools.cache
def strong_jepa():
  """Parameters large enough that what differs in the input shows in the output."""
  params, _ = started(toy_ijepa())
  return jax.tree.map(lambda x: 4.0 * x, params)


def test_the_context_encoder_sees_the_context_only():
  image = images()["input"]
  predict = functools.partial(predictions, strong_jepa())
  other = image.at[:, 4:].set(0.3)  # the lower half: no patch of it is context
  np.testing.assert_array_equal(predict(image), predict(other))
  seen = image.at[:, 0, 0].set(0.9)
  assert np.abs(predict(image) - predict(seen)).max() > 1e-4


def test_padding_of_the_context_changes_nothing():
  image = images()["input"]
  one, two = (predictions(strong_jepa(), image, size) for size in (5, 6))
  np.testing.assert_allclose(one[:, 0], two[:, 0], atol=1e-4)
  assert np.abs(one[:, 0, 0] - one[:, 0, 1]).max() > 1e-3  # places are told apart


def test_blocks_get_one_key_per_step_and_one_per_row():
  def blocks(step_key, row_key):
    size = jax.random.randint(step_key, (), 0, 3)
    first = jax.random.randint(row_key, (), 0, 2)
    return places(*CONTEXT), (jnp.arange(16) < size)[None] & (first >= 0)

  method, batch = toy_ijepa(blocks), images()
  params, extra = started(method)
  counts = [
    np.asarray(forward(method, params, extra, batch, s)[0].count) for s in range(6)
  ]
  assert all(len(np.unique(count)) == 1 for count in counts)
  assert len(np.unique(counts)) > 1


def test_ijepa_moves_the_target_towards_the_encoder():
  method = toy_ijepa()
  params, extra = started(method)
  extra = extra._replace(target=jax.tree.map(jnp.zeros_like, extra.target))
  same, after = method.update(params, extra, jnp.int32(0))
  jax.tree.map(
    lambda t, p: np.testing.assert_allclose(t, 0.25 * p, rtol=1e-6),
    after.target,
    params["encoder"],
  )
  assert same is params


def test_ijepa_refuses_a_class_token():
  with pytest.raises(InputError, match="class_token=False"):
    ijepa(
      token_cases.vit().clone(class_token=True),
      PatchPredictor(),
      crops_of,
      blocks=fixed_blocks,
      context_patches=5,
      target_patches=2,
      momentum=constant(0.9),
    )


def test_distill_predicts_balanced_groups_of_the_frozen_teachers_features():
  weights = jnp.asarray(random(PIXELS, 4, seed=3))
  teacher = Teacher(lambda variables, x: x @ variables, weights)
  method = distill(Siamese(Flat(), Linear()), crops_of, teacher, prototypes=ROWS)
  batch = {"input": jnp.asarray(random(BATCH, CROPS, PIXELS))}
  params, extra = jax.jit(method.init)(jax.random.key(0), batch)
  outputs, extra = forward(method, params, extra, batch)
  objective = jax.jit(jax.value_and_grad(method.objective, argnums=1, has_aux=True))
  (loss, (after, _)), grads = objective(params, extra, outputs, jnp.int32(0))
  targets = unit(np.float64(batch["input"][:, :2]) @ np.float64(weights))
  targets = targets @ unit(np.float64(extra.last_layer)).T
  codes = loop_sinkhorn(targets.reshape(-1, ROWS), temperature=0.05)
  codes = codes.reshape(BATCH, 2, ROWS)
  student = [by_hand(params, batch["input"][:, v]) for v in range(CROPS)]
  pairs = [
    cross_entropy(student[v], codes[:, q])
    for q in range(2)
    for v in range(CROPS)
    if q != v
  ]
  np.testing.assert_allclose(loss, np.mean(pairs), rtol=1e-4)
  assert not any(np.any(np.asarray(x)) for x in jax.tree.leaves(grads))
  np.testing.assert_array_equal(after.teacher, weights)
