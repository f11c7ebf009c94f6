"""Distillation losses: reference values, loops, blocks, constants, hard points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common

TEMPERATURES = {"student_temperature": 0.1, "teacher_temperature": 0.05}
MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
RELATIONS = ["relational", "seed"]
NAMES = ["dino", "ibot_patch", "koleo", "smooth_l1", *RELATIONS]


def options(name):
  """Arguments that are no function's variable: temperatures, centre, mask."""
  center = np.linspace(-0.3, 0.4, 5, dtype=np.float32)
  return {
    "dino": {"center": center, **TEMPERATURES},
    "ibot_patch": {"mask": MASK, "center": center, **TEMPERATURES},
    "koleo": {},
    "smooth_l1": {"beta": 0.7},
    "relational": TEMPERATURES,
    "seed": TEMPERATURES,
  }[name]


def arrays(name, rows=3):
  """Random inputs; the student's, which alone receives gradient, first."""
  shapes = {
    "dino": [(rows, 5)] * 2,
    "ibot_patch": [(rows, 4, 5)] * 2,
    "koleo": [(rows + 4, 5)],
    "smooth_l1": [(rows, 2, 5)] * 2,
  }
  return common.normal(*shapes.get(name, [(rows, 5), (rows, 5), (7, 5)]))


def call(name, inputs, **changes):
  return getattr(losses, name)(*inputs, **{**options(name), **changes})


def weigh(rows):
  """Weights that tell the rows apart."""
  return jnp.linspace(0.5, 1.5, rows.size, dtype=jnp.float32).reshape(rows.shape)


def run(name, inputs, **changes):
  """Rows, and the gradients of their weighted sum to every input."""

  def loss(*inputs):
    rows = call(name, inputs, **changes)
    return jnp.sum(rows * weigh(rows)), rows

  places = tuple(range(len(inputs)))
  (_, rows), gradients = jax.jit(jax.value_and_grad(loss, places, has_aux=True))(
    *inputs
  )
  return rows, gradients


# ---- reference values


def loop_cross_entropy(student, teacher):
  """Of the softmax of one row of logits to that of another."""
  return -np.sum(common.softmax(teacher) * np.log(common.softmax(student)))


def loop_dino(student, teacher):
  center = options("dino")["center"]
  pairs = zip(student, (teacher - center) / 0.05, strict=True)
  return np.array([loop_cross_entropy(s / 0.1, t) for s, t in pairs])


def loop_ibot_patch(student, teacher):
  rows = []
  for s, t, mask in zip(student, teacher, MASK, strict=True):
    errors = [loop_dino(s[i : i + 1], t[i : i + 1])[0] for i in np.flatnonzero(mask)]
    rows.append(sum(errors) / max(len(errors), 1))
  return np.array(rows)


def loop_koleo(z):
  z, rows = common.unit(z), []
  for i, row in enumerate(z):
    others = [other for j, other in enumerate(z) if j != i]
    nearest = max(others, key=lambda other: row @ other)
    rows.append(-np.log(np.linalg.norm(row - nearest + 1e-8) + 1e-8))
  return np.array(rows)


def loop_smooth_l1(prediction, target):
  rows = np.zeros(prediction.shape[:-1])
  for place in np.ndindex(prediction.shape):
    d = abs(prediction[place] - target[place])
    rows[place[:-1]] += (d * d / 1.4 if d < 0.7 else d - 0.35) / prediction.shape[-1]
  return rows


def loop_relational(student, teacher, candidates):
  student, teacher, candidates = map(common.unit, (student, teacher, candidates))
  pairs = zip(student @ candidates.T, teacher @ candidates.T, strict=True)
  return np.array([loop_cross_entropy(s / 0.1, t / 0.05) for s, t in pairs])


def loop_seed(student, teacher, candidates):
  pairs = zip(student, teacher, strict=True)
  own = [(s[None], t[None], np.stack([t, *candidates])) for s, t in pairs]
  return np.array([loop_relational(*row)[0] for row in own])


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_of_a_loop(name):
  inputs = arrays(name)
  rows, (gradient, *constant) = run(name, inputs)
  loop, exact = globals()[f"loop_{name}"], [np.float64(x) for x in inputs]
  np.testing.assert_allclose(rows, loop(*exact), rtol=1e-5, atol=1e-5)
  total = lambda x: np.sum(loop(x, *exact[1:]) * np.float64(weigh(rows)))
  numeric = common.numeric_gradient(total, exact[0])
  np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)
  common.assert_all_close(constant, [0 * c for c in constant], atol=0.0)


@pytest.mark.parametrize("name", ["dino", "ibot_patch"])
def test_no_gradient_reaches_the_center(name):
  def loss(center):
    return jnp.sum(call(name, arrays(name), center=center))

  np.testing.assert_array_equal(jax.grad(loss)(jnp.ones(5)), np.zeros(5))


CASES = [
  pytest.param(name, case, id=f"{name}-{i}")
  for name in ("dino", "ibot_patch", "koleo")
  for i, case in enumerate(golden.load(name))
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_published_implementations(name, case):
  variable = "z" if name == "koleo" else "student"
  fixed = {n: x for n, x in case.inputs.items() if n != variable}

  def mean(x):
    rows = getattr(losses, name)(**{variable: x}, **fixed, **case.options)
    return jnp.mean(rows), rows

  x = case.inputs[variable]
  (value, rows), gradient = jax.jit(jax.value_and_grad(mean, has_aux=True))(x)
  got = {"expected_mean": value, "expected_rows": rows, f"grad_{variable}": gradient}
  common.assert_matches(got, case, without=["updated_center"])  # the method's part


# ---- values


@pytest.mark.parametrize("prototypes", [3000, 8192])
def test_uniform_logits_give_the_log_of_the_number_of_prototypes(prototypes):
  """What DINO, iBOT and SwAV show at their first step."""
  flat = jnp.zeros((2, prototypes))
  common_options = {"center": jnp.zeros(prototypes), **TEMPERATURES}
  rows = losses.dino(flat, flat, **common_options)
  np.testing.assert_allclose(rows, np.log(prototypes), rtol=1e-6)
  patches = losses.ibot_patch(
    flat[:, None], flat[:, None], MASK[:2, :1], **common_options
  )
  np.testing.assert_allclose(patches, [np.log(prototypes), 0.0], rtol=1e-6)


def test_dino_center_removes_what_all_examples_share():
  student, teacher = arrays("dino")
  shared = np.linspace(-9.0, 9.0, 5, dtype=np.float32)
  center = options("dino")["center"]
  moved = call("dino", [student, teacher + shared], center=center + shared)
  np.testing.assert_allclose(moved, call("dino", [student, teacher]), rtol=1e-4)


def test_koleo_of_opposite_and_orthogonal_rows():
  z = jnp.array([[2.0, 0.0], [-3.0, 0.0]])
  np.testing.assert_allclose(losses.koleo(z), -np.log([2.0, 2.0]), rtol=1e-6)
  np.testing.assert_allclose(losses.koleo(5 * jnp.eye(4)), -np.log(2) / 2, rtol=1e-6)


def test_smooth_l1_is_square_near_zero_and_straight_beyond():
  prediction = jnp.array([[0.5], [-1.0], [3.0]])
  rows = losses.smooth_l1(prediction, jnp.zeros((3, 1)))
  np.testing.assert_allclose(rows, [0.125, 0.5, 2.5], rtol=1e-6)


@pytest.mark.parametrize("name", RELATIONS)
def test_a_student_like_its_teacher_has_the_teachers_entropy_and_no_gradient(name):
  teacher, _, candidates = arrays(name)
  same = {"student_temperature": 0.1, "teacher_temperature": 0.1}
  rows, (gradient, *_) = run(name, [teacher, teacher, candidates], **same)
  np.testing.assert_allclose(gradient, np.zeros_like(teacher), atol=1e-5)
  other = call(name, [common.normal((3, 5), seed=1)[0], teacher, candidates], **same)
  assert (np.asarray(other) > np.asarray(rows)).all()


def test_seed_with_a_cold_teacher_is_info_nce():
  """The self term: at the official temperature of 1e-4 the target is one-hot."""
  student, teacher, candidates = arrays("seed")
  rows = call("seed", [student, teacher, candidates], teacher_temperature=1e-4)
  expected = losses.info_nce(student, teacher, candidates, temperature=0.1)
  np.testing.assert_allclose(rows, expected, rtol=1e-5)


# ---- invariances


@pytest.mark.parametrize("name", ["dino", "ibot_patch"])
def test_shift_of_logits_and_order_of_prototypes_do_not_matter(name):
  inputs, order = arrays(name), np.array([3, 0, 4, 2, 1])
  rows = call(name, inputs)
  shift = np.linspace(-3, 3, 3, dtype=np.float32)
  shifted = [x + shift.reshape(-1, *[1] * (x.ndim - 1)) for x in inputs]
  np.testing.assert_allclose(call(name, shifted), rows, rtol=1e-4, atol=1e-5)
  center = options(name)["center"][order]
  permuted = call(name, [x[..., order] for x in inputs], center=center)
  np.testing.assert_allclose(permuted, rows, rtol=1e-5)


def test_ibot_ignores_patches_that_were_not_masked():
  student, teacher = arrays("ibot_patch")
  rows, _ = run("ibot_patch", [student, teacher])
  other = np.where(MASK[..., None], student, 77.0).astype(np.float32)
  moved, (gradient, _) = run("ibot_patch", [other, teacher])
  np.testing.assert_array_equal(moved, rows)
  np.testing.assert_array_equal(gradient[~MASK], np.zeros((5, 5)))
  as_numbers = call("ibot_patch", [student, teacher], mask=MASK.astype(np.float32))
  np.testing.assert_allclose(as_numbers, rows, rtol=1e-6)


@pytest.mark.parametrize("name", ["koleo", *RELATIONS])
def test_length_and_rotation_do_not_matter(name):
  inputs, turn = arrays(name), common.rotation(5)
  lengths = [np.linspace(0.1, 9.0, len(x), dtype=np.float32)[:, None] for x in inputs]
  moved = [n * (x @ turn) for n, x in zip(lengths, inputs, strict=True)]
  np.testing.assert_allclose(call(name, moved), call(name, inputs), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_rows_follow_a_permutation_of_the_batch(name):
  inputs, rows = arrays(name), call(name, arrays(name))
  order = np.roll(np.arange(len(rows)), 1)
  changes = {"mask": MASK[order]} if name == "ibot_patch" else {}
  permuted = [x[order] if len(x) == len(rows) else x[::-1] for x in inputs]
  got = call(name, permuted, **changes)
  np.testing.assert_allclose(got, rows[order], rtol=1e-5, atol=1e-6)


# ---- blocks, devices, precision


@pytest.mark.parametrize("name", RELATIONS)
def test_blocks_change_neither_value_nor_gradient(name):
  inputs = arrays(name)
  expected = run(name, inputs)
  for block_size in (3, 7, 100):  # does not divide, divides, exceeds the candidates
    got = run(name, inputs, block_size=block_size)
    common.assert_all_close(got, expected, rtol=1e-5, atol=1e-5)


def temporaries(name, block_size):
  student, candidates = (
    jax.ShapeDtypeStruct((n, 32), jnp.float32) for n in (1024, 16384)
  )

  def mean(student, teacher, candidates):
    inputs = [student, teacher, candidates]
    return jnp.mean(call(name, inputs, block_size=block_size))

  lowered = jax.jit(jax.grad(mean)).lower(student, student, candidates)
  return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("name", RELATIONS)
def test_blocks_bound_the_memory_of_the_gradient(name):
  """The logits alone have 64 MiB; a block of them has half of one."""
  assert temporaries(name, 128) <= 16 * 2**20 < 64 * 2**20 <= temporaries(name, None)


@pytest.mark.parametrize("name", ["dino", "koleo", *RELATIONS])
def test_sharded_rows_give_the_same(name):
  inputs = arrays(name, rows=4 if name == "koleo" else 8)
  inputs[2:] = [np.resize(x, (16, 5)) for x in inputs[2:]]
  got = run(name, common.over_devices(inputs))
  common.assert_all_close(got, run(name, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "products"), [("koleo", 1), ("seed", 4)])
def test_products_are_taken_at_full_precision(name, products):
  common.assert_full_precision(
    lambda *inputs: run(name, inputs), *arrays(name), products=products
  )


# ---- hard points


def identical(name):
  inputs = arrays(name)
  return [np.resize(inputs[0], x.shape) for x in inputs]


def one_point(name):
  return [np.ones_like(x) for x in arrays(name)]


def zeros(name):
  return [np.zeros_like(x) for x in arrays(name)]


def large(name):
  return [1e4 * x for x in arrays(name)]


def overconfident(name):
  """Logits of 1e4 where the teacher says otherwise."""
  return [1e4 * x * (-1) ** i for i, x in enumerate(identical(name))]


HARD = [identical, one_point, zeros, large, overconfident]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("point", HARD, ids=lambda point: point.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_are_finite(name, point, dtype):
  inputs = [jnp.asarray(x, dtype) for x in point(name)]
  rows, gradients = run(name, inputs)
  assert rows.dtype == jnp.float32
  assert all(g.dtype == dtype for g in gradients)
  common.assert_finite([rows, gradients])


@pytest.mark.parametrize("name", RELATIONS)
def test_logits_of_ten_thousand_are_finite_with_and_without_blocks(name):
  cold = {"student_temperature": 1e-4, "teacher_temperature": 1e-4}
  for inputs in (arrays(name), identical(name), zeros(name)):
    dense, blocked = (run(name, inputs, block_size=b, **cold) for b in (None, 3))
    common.assert_finite([dense, blocked])
    np.testing.assert_allclose(dense[0], blocked[0], rtol=1e-5, atol=4e-3)


@pytest.mark.parametrize("name", NAMES)
def test_pitfall_6_half_precision_is_computed_in_single(name):
  inputs = common.half(arrays(name))
  got, expected = call(name, inputs), call(name, common.widened(inputs))
  np.testing.assert_allclose(got, expected, rtol=1e-6)


# ---- errors, and what broke elsewhere


def test_pitfall_3_ibot_without_masked_patches_is_no_zero_by_zero():
  """Nor is any pair of DINO: an empty batch is refused, not divided by."""
  nothing = {"mask": np.zeros_like(MASK)}
  rows, gradients = run("ibot_patch", arrays("ibot_patch"), **nothing)
  np.testing.assert_array_equal(rows, np.zeros(3))
  np.testing.assert_array_equal(gradients[0], np.zeros((3, 4, 5)))
  with pytest.raises(InputError, match="at least 1"):
    call("dino", [jnp.zeros((0, 5))] * 2)


def test_pitfall_5_koleo_of_one_row_is_refused():
  with pytest.raises(InputError, match="at least 2"):
    losses.koleo(jnp.ones((1, 4)))


def test_koleo_of_two_equal_rows_is_the_log_of_the_epsilons():
  rows, _ = run("koleo", [np.ones((2, 4), np.float32)])
  np.testing.assert_allclose(rows, -np.log(np.sqrt(4) * 1e-8 + 1e-8), rtol=1e-5)


def test_pitfall_5_koleo_does_not_take_a_row_as_its_own_neighbour():
  """Nor a zero vector, whose cosine with itself is not the largest."""
  z = np.concatenate([np.zeros((1, 4)), np.eye(4)]).astype(np.float32)
  rows = losses.koleo(z)
  np.testing.assert_allclose(rows, [0.0, *[0.0] * 4], atol=1e-6)


@pytest.mark.parametrize(
  ("name", "shapes", "message"),
  [
    ("dino", [(5,), (5,)], r"\[batch, dim\]"),
    ("dino", [(3, 5), (1, 5)], "same"),
    ("dino", [(3, 6), (3, 6)], "center"),
    ("ibot_patch", [(3, 4, 5), (3, 1, 5)], "same"),
    ("ibot_patch", [(2, 4, 5), (2, 4, 5)], "mask"),
    ("ibot_patch", [(3, 5), (3, 5)], r"\[batch, patches, prototypes\]"),
    ("ibot_patch", [(3, 4, 6), (3, 4, 6)], "center"),
    ("koleo", [(3, 4, 5)], r"\[batch, dim\]"),
    ("smooth_l1", [(3, 5), (1, 5)], "same"),
    ("smooth_l1", [(), ()], "scalar"),
    *[
      row
      for name in RELATIONS
      for row in [
        (name, [(3, 5), (1, 5), (7, 5)], "same"),
        (name, [(3, 5), (3, 5), (7, 4)], "4 dimensions"),
        (name, [(3, 5), (3, 5), (5,)], r"\[batch, dim\]"),
        (name, [(3, 5), (3, 5), (0, 5)], "at least 1"),
        (name, [(0, 5), (0, 5), (7, 5)], "at least 1"),
      ]
    ],
  ],
)
def test_other_shapes_say_what_to_pass(name, shapes, message):
  with pytest.raises(InputError, match=message):
    call(name, [jnp.ones(shape) for shape in shapes])


@pytest.mark.parametrize("option", TEMPERATURES)
@pytest.mark.parametrize("name", ["dino", "ibot_patch", *RELATIONS])
def test_temperatures_are_above_zero(name, option):
  with pytest.raises(InputError, match=option):
    call(name, arrays(name), **{option: 0.0})


@pytest.mark.parametrize("name", RELATIONS)
def test_block_size_is_a_positive_int(name):
  with pytest.raises(InputError, match="block_size"):
    call(name, arrays(name), block_size=0)


def test_beta_is_above_zero():
  with pytest.raises(InputError, match="beta"):
    call("smooth_l1", arrays("smooth_l1"), beta=0)


def test_traced_options_are_accepted():
  """Temperatures are schedules of the step: one program for all of them."""
  inputs = arrays("dino")

  @jax.jit
  def rows(temperature):
    return call("dino", inputs, teacher_temperature=temperature)

  for temperature in (0.04, 0.05):
    expected = call("dino", inputs, teacher_temperature=temperature)
    np.testing.assert_allclose(rows(temperature), expected, rtol=1e-5)
  assert rows._cache_size() == 1
