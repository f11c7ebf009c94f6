"""Contrastive losses: reference values, loops, blocks, memory, hard points, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxssl import hlo, losses, ops
from jaxssl.errors import InputError
from jaxssl.ops.sharding import traced_for
from tests import golden
from tests.losses import common

LABELS = np.array([3, 1, 3, -2, 1, 3, 7, 1], np.int32)  # a class of 1, one below 0
VIEWS = ["nt_xent", "decoupled_nt_xent", "dclw"]
PAIRED = [*VIEWS, "info_nce", "cpc"]
NAMES = [*PAIRED, "info_nce_negatives", "supcon"]
COSINES = [name for name in NAMES if name != "cpc"]  # the others take products
GOLDEN = [name for name in COSINES if name != "dclw"]


def call(name, arrays, **options):
  return getattr(losses, name.removesuffix("_negatives"))(*arrays, **options)


def normal(name, rows=8, dim=5):
  """Random inputs of the loss: [rows, dim] each, 11 negatives, labels for supcon."""
  rng = np.random.default_rng(0)
  first, second, negatives = (
    rng.normal(size=(n, dim)).astype(np.float32) for n in (rows, rows, 11)
  )
  if name == "supcon":
    return [first, LABELS[:rows]]
  return [first, second, negatives][: 2 + (name == "info_nce_negatives")]


def on_floats(function, arrays):
  """Applies `function` to all but the labels."""
  return [function(a) if a.dtype == np.float32 else a for a in arrays]


@functools.cache
def compiled(name, places, temperature, block_size):
  """Rows, and gradients of their sum with weights that tell the rows apart."""

  def loss(*arrays):
    rows = call(name, arrays, temperature=temperature, block_size=block_size)
    return jnp.sum(rows * jnp.linspace(0.5, 1.5, rows.shape[0])), rows

  return jax.jit(jax.value_and_grad(loss, places, has_aux=True))


def run(name, arrays, *, temperature=0.2, block_size=None):
  places = tuple(range(1 if name == "supcon" else len(arrays)))
  (_, rows), gradients = compiled(name, places, temperature, block_size)(*arrays)
  return rows, gradients


# ---- reference values


def loop_unit(x):
  return x / np.sqrt(np.maximum((x * x).sum(-1, keepdims=True), 1e-24))


def loop_row(query, counted, positives, temperature):
  """-log of the positives' share of the counted, averaged outside the log."""
  denominator = sum(np.exp(query @ c / temperature) for c in counted)
  terms = [np.log(denominator) - query @ p / temperature for p in positives]
  return sum(terms) / len(terms) if terms else 0.0


def loop_views(z_a, z_b, temperature, *, decoupled):
  z, n = loop_unit(np.concatenate([z_a, z_b])), len(z_a)
  rows = []
  for i in range(2 * n):
    partner = (i + n) % (2 * n)
    excluded = {i, partner} if decoupled else {i}
    counted = [z[j] for j in range(2 * n) if j not in excluded]
    rows.append(loop_row(z[i], counted, [z[partner]], temperature))
  return np.array(rows)


def loop_nt_xent(z_a, z_b, temperature):
  return loop_views(z_a, z_b, temperature, decoupled=False)


def loop_decoupled_nt_xent(z_a, z_b, temperature):
  return loop_views(z_a, z_b, temperature, decoupled=True)


def loop_supcon(z, labels, temperature):
  z, rows = loop_unit(z), []
  for i in range(len(z)):
    others = [j for j in range(len(z)) if j != i]
    alike = [z[j] for j in others if labels[j] == labels[i]]
    rows.append(loop_row(z[i], [z[j] for j in others], alike, temperature))
  return np.array(rows)


def loop_info_nce(query, positive, temperature):
  query, positive = loop_unit(query), loop_unit(positive)
  pairs = zip(query, positive, strict=True)
  return np.array([loop_row(q, positive, [p], temperature) for q, p in pairs])


def loop_info_nce_negatives(query, positive, negatives, temperature):
  query, positive, negatives = map(loop_unit, (query, positive, negatives))
  pairs = zip(query, positive, strict=True)
  return np.array([loop_row(q, [p, *negatives], [p], temperature) for q, p in pairs])


def loop_dclw(z_a, z_b, temperature):
  """The weights stay those of `normal`: they are constants of the gradient."""
  pairs = zip(*map(loop_unit, normal("dclw")), strict=True)
  weights = 2 - 8 * common.softmax(np.array([a @ b / 0.5 for a, b in pairs]))
  agreement = (loop_unit(z_a) * loop_unit(z_b)).sum(1) / temperature
  return loop_decoupled_nt_xent(z_a, z_b, temperature) - np.tile(
    (weights - 1) * agreement, 2
  )


def loop_cpc(prediction, target, temperature):
  pairs = zip(prediction, target, strict=True)
  return np.array([loop_row(p, target, [t], temperature) for p, t in pairs])


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_pitfall_2_value_and_gradient_of_a_loop(name, block_size):
  arrays = normal(name)
  rows, gradients = run(name, arrays, block_size=block_size)
  exact = on_floats(np.float64, arrays)
  loop = functools.partial(globals()[f"loop_{name}"], temperature=0.2)
  np.testing.assert_allclose(rows, loop(*exact), rtol=1e-5, atol=1e-5)
  weights = np.linspace(0.5, 1.5, len(rows))
  for i, gradient in enumerate(gradients):
    total = lambda x, i=i: loop(*exact[:i], x, *exact[i + 1 :]) @ weights
    numeric = common.numeric_gradient(total, exact[i])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5)


CASES = [
  pytest.param(name, case, id=f"{name}-{i}")
  for name in GOLDEN
  for i, case in enumerate(golden.load(name))
]


def golden_outputs(name, case):
  """Rows, their mean and its gradients, by the names of the case's outputs."""
  labels = {n: x for n, x in case.inputs.items() if n == "labels"}
  arrays = {n: x for n, x in case.inputs.items() if n != "labels"}

  def mean(arrays):
    rows = call(name, [], **arrays, **labels, temperature=case.options["temperature"])
    return jnp.mean(rows), rows

  (value, rows), gradients = jax.jit(jax.value_and_grad(mean, has_aux=True))(arrays)
  named = {f"grad_{n}": g for n, g in gradients.items()}
  unstopped = {f"unstopped_grad_{n}": g for n, g in gradients.items()}
  return {"expected_mean": value, "expected_rows": rows} | named | unstopped


@pytest.mark.parametrize(("name", "case"), CASES)
def test_published_implementations(name, case):
  got = golden_outputs(name, case)
  for output, expected in case.outputs.items():
    atol, rtol = case.tolerance[output]
    np.testing.assert_allclose(
      got[output], expected, atol=atol, rtol=rtol, err_msg=f"{output}: {case.note}"
    )


@pytest.mark.parametrize("case", golden.load("nnclr"), ids=range(3))
def test_nnclr_is_info_nce_of_the_neighbours(case):
  """In both directions: the neighbours ask for the predictions, and the reverse."""
  found = ops.nearest_neighbours(case.inputs["z"], case.inputs["support"])
  np.testing.assert_array_equal(found, case.outputs["neighbour_index"])
  neighbours = case.inputs["support"][case.outputs["neighbour_index"]]

  def mean(prediction, reverse):
    pair = (prediction, neighbours) if reverse else (neighbours, prediction)
    rows = losses.info_nce(*pair, **case.options)
    return jnp.mean(rows), rows

  gradient = jax.jit(jax.value_and_grad(mean, has_aux=True), static_argnums=1)
  got = {}
  for prefix, reverse in (("", False), ("reversed_", True)):
    (value, rows), slope = gradient(case.inputs["prediction"], reverse)
    names = "expected_mean", "expected_rows", "grad_prediction"
    values = value, rows, slope
    got |= {f"{prefix}{n}": x for n, x in zip(names, values, strict=True)}
  common.assert_matches(got, case, without=["neighbour_index"])


@pytest.mark.parametrize(
  ("name", "candidates"),
  [
    ("nt_xent", 2 * 8 - 1),
    ("decoupled_nt_xent", 2 * 8 - 2),
    ("dclw", 2 * 8 - 2),
    ("cpc", 8),
    ("info_nce", 8),
    ("info_nce_negatives", 11 + 1),
    ("supcon", 8 - 1),
  ],
)
def test_one_point_gives_the_log_of_the_number_of_candidates(name, candidates):
  rows, _ = run(name, one_point(name))
  alone = (LABELS == -2) | (LABELS == 7) if name == "supcon" else False
  np.testing.assert_allclose(rows, np.where(alone, 0, np.log(candidates)), rtol=1e-5)


def test_orthogonal_rows_have_the_closed_form():
  z = np.eye(6, dtype=np.float32)
  rows, _ = run("nt_xent", [z, z], temperature=0.5)
  np.testing.assert_allclose(rows, np.log(1 + 10 * np.exp(-2.0)), rtol=1e-5)


@pytest.mark.parametrize("name", ["decoupled_nt_xent", "dclw"])
def test_pitfall_3_dcl_has_one_logsumexp(name):
  """Over both views at once; the sum of one for each would give 2 log(batch - 1)."""
  z = np.eye(8, dtype=np.float32)
  rows, _ = run(name, [z, z], temperature=0.5)
  np.testing.assert_allclose(rows, np.log(14) - 2.0, rtol=1e-5)  # not 2 log(7) - 2


def test_dclw_weighs_pairs_that_disagree_more():
  z_a = np.eye(3, 4, dtype=np.float32)
  z_b = np.stack([z_a[0], -z_a[1], np.eye(4, dtype=np.float32)[3]])
  plain, weighted = (run(n, [z_a, z_b])[0] for n in ("decoupled_nt_xent", "dclw"))
  weights = 2 - 3 * common.softmax(np.array([1.0, -1.0, 0.0]) / 0.5)
  extra = (1 - weights) * np.array([1.0, -1.0, 0.0]) / 0.2
  np.testing.assert_allclose(weighted - plain, np.tile(extra, 2), rtol=1e-4, atol=1e-5)
  assert weights[1] > weights[2] > weights[0]


def test_dclw_with_a_wide_sigma_is_dcl():
  z_a, z_b = normal("dclw")
  rows = losses.dclw(z_a, z_b, temperature=0.2, sigma=1e6)
  expected, _ = run("decoupled_nt_xent", [z_a, z_b])
  np.testing.assert_allclose(rows, expected, rtol=1e-4)


def test_cpc_takes_products_and_info_nce_their_cosines():
  prediction, target = normal("cpc")
  units = [common.unit(x) for x in (prediction, target)]
  rows, _ = run("info_nce", [prediction, target])
  np.testing.assert_allclose(run("cpc", units)[0], rows, rtol=1e-5)
  expected, _ = run("cpc", [5 * prediction, target], temperature=1.0)
  np.testing.assert_allclose(run("cpc", [prediction, target])[0], expected, rtol=1e-5)


# ---- blocks


@pytest.mark.parametrize("name", NAMES)
def test_blocks_change_neither_value_nor_gradient(name):
  arrays = normal(name)
  expected = run(name, arrays)
  for block_size in (3, 4, 100):  # does not divide, divides, exceeds the columns
    got = run(name, arrays, block_size=block_size)
    common.assert_all_close(got, expected, rtol=1e-5, atol=1e-5)


def compiled_gradient(name, rows, block_size, sharding=None, known=None):
  arrays = [jax.ShapeDtypeStruct((rows, 128), jnp.float32, sharding=sharding)] * 2

  def mean(a, b):
    return jnp.mean(getattr(losses, name)(a, b, temperature=0.1, block_size=block_size))

  gradient = jax.grad(mean, (0, 1))
  gradient = traced_for(known, gradient) if known else gradient
  return jax.jit(gradient, out_shardings=sharding).lower(*arrays).compile()


@pytest.mark.parametrize(("block_size", "mebibytes"), [(128, 48), (100, 64)])
def test_blocks_bound_the_memory_of_the_gradient(block_size, mebibytes):
  compiled = compiled_gradient("nt_xent", 8192, block_size)
  assert compiled.memory_analysis().temp_size_in_bytes <= mebibytes * 2**20


def rows_over_devices():
  mesh = Mesh(np.array(jax.devices()), ("data",))
  return NamedSharding(mesh, PartitionSpec("data"))


@pytest.mark.parametrize("name", [*VIEWS, "info_nce"])
def test_masks_are_not_constants_of_the_program(name):
  arrays = normal(name, rows=64)
  loss = jax.jit(lambda *arrays: call(name, arrays, temperature=0.5))
  constants = loss.trace(*arrays).jaxpr.consts
  assert sum(np.size(x) for x in constants) < 64 * 64


@pytest.mark.parametrize("name", [*VIEWS, "info_nce"])
def test_on_a_mesh_rows_are_gathered_once_and_change_no_device(name):
  text = compiled_gradient(name, 64, None, rows_over_devices()).as_text()
  found = hlo.collectives(text)
  assert set(found) == {"all-gather", "all-reduce"}
  rows = 4 * 128 * (64 if name == "info_nce" else 2 * 64)
  assert found["all-gather"]["bytes"] <= rows + 4 * 2 * 64  # and one value a row


@pytest.mark.parametrize("name", VIEWS)
def test_few_rows_take_one_collective_on_a_mesh_that_is_known(name):
  rows = rows_over_devices()
  found = hlo.collectives(compiled_gradient(name, 64, None, rows, rows.mesh).as_text())
  assert found == {"all-gather": {"count": 1, "bytes": 4 * 128 * 2 * 64}}


def test_few_rows_of_supcon_are_gathered_with_their_labels_and_that_is_all():
  rows = rows_over_devices()
  loss = lambda z, labels: jnp.mean(losses.supcon(z, labels, temperature=0.1))
  gradient = jax.jit(traced_for(rows.mesh, jax.grad(loss)), out_shardings=rows)
  z = jax.ShapeDtypeStruct((64, 128), jnp.float32, sharding=rows)
  labels = jax.ShapeDtypeStruct((64,), jnp.int32, sharding=rows)
  found = hlo.collectives(gradient.lower(z, labels).compile().as_text())
  assert found == {"all-gather": {"count": 2, "bytes": 4 * 128 * 64 + 4 * 64}}


def test_many_rows_are_compared_on_the_device_that_has_them():
  """The gradient of the gathered ones is added up then."""
  rows, count = rows_over_devices(), 4096  # two views of each are more than 2^24 logits
  text = compiled_gradient("nt_xent", count, 128, rows, rows.mesh).as_text()
  assert "all-reduce" in hlo.collectives(text)


def test_blocks_bound_the_memory_of_each_device_of_a_mesh():
  """Contiguous blocks would gather all rows at every step: 22 MiB instead of 6."""
  compiled = compiled_gradient("nt_xent", 8192, 128, rows_over_devices())
  assert compiled.memory_analysis().temp_size_in_bytes <= 8 * 2**20


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", ["nt_xent", "supcon"])
def test_sharded_rows_give_the_same(name, block_size):
  arrays = normal(name)
  sharded = jax.device_put(arrays, rows_over_devices())
  got = run(name, sharded, block_size=block_size)
  common.assert_all_close(got, run(name, arrays), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("check_vma", [True, False])
def test_gathered_rows_in_a_shard_map_have_the_global_gradient(check_vma):
  query, positive, negatives = map(jnp.asarray, normal("info_nce_negatives"))
  matrix = jnp.eye(5) + 0.1
  spec = PartitionSpec("data")

  def objective(matrix, query, positive):
    options = {"temperature": 0.2, "block_size": 3}
    query, positive = query @ matrix, positive @ matrix
    queued = losses.info_nce(query, positive, negatives @ matrix, **options)
    return jnp.mean(losses.nt_xent(query, positive, **options)) + jnp.mean(queued)

  def local(matrix, query, positive):
    gather = lambda x: jax.lax.all_gather(x, "data", tiled=True)
    loss = lambda m: jax.lax.pmean(
      objective(m, gather(query), gather(positive)), "data"
    )
    return jax.lax.pmean(jax.grad(loss)(matrix), "data")

  shard_map = jax.shard_map(
    local,
    mesh=rows_over_devices().mesh,
    in_specs=(PartitionSpec(), spec, spec),
    out_specs=PartitionSpec(),
    check_vma=check_vma,
  )
  expected = jax.jit(jax.grad(objective))(matrix, query, positive)
  got = jax.jit(shard_map)(matrix, query, positive)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_blocks_under_vmap_over_temperatures():
  z_a, z_b = normal("nt_xent")

  def gradient(temperature, block_size):
    options = {"block_size": block_size}
    total = lambda t: jnp.sum(losses.nt_xent(z_a, z_b, temperature=t, **options))
    return jax.value_and_grad(total)(temperature)

  got, expected = (
    jax.jit(jax.vmap(functools.partial(gradient, block_size=b)))(jnp.array([0.1, 0.5]))
    for b in (3, None)
  )
  common.assert_all_close(got, expected, rtol=1e-4)
  assert np.ptp(expected[1]) > 1.0


def test_blocks_can_be_differentiated_twice():
  z_a, z_b = normal("nt_xent")

  def penalty(z_a, block_size):
    options = {"temperature": 0.3, "block_size": block_size}
    mean = lambda z: jnp.mean(losses.nt_xent(z, z_b, **options))
    return jnp.sum(jnp.square(jax.grad(mean)(z_a)))

  twice = jax.jit(jax.grad(penalty), static_argnums=1)
  np.testing.assert_allclose(twice(z_a, 3), twice(z_a, None), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_products_are_taken_at_full_precision(name, block_size):
  text = str(
    jax.make_jaxpr(lambda *x: run(name, x, block_size=block_size))(*normal(name))
  )
  assert text.count("dot_general[") >= 3  # logits, and the gradients of both sides
  full = "precision=(Precision.HIGHEST, Precision.HIGHEST)"
  assert text.count(full) == text.count("dot_general[")


# ---- properties


@pytest.mark.parametrize("name", COSINES)
def test_length_of_a_row_does_not_matter(name):
  lengths = lambda a: np.linspace(0.1, 9.0, len(a), dtype=np.float32)[:, None]
  arrays = normal(name)
  scaled = on_floats(lambda a: a * lengths(a), arrays)
  rows, scaled_rows = run(name, arrays)[0], run(name, scaled)[0]
  np.testing.assert_allclose(scaled_rows, rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_pitfall_2_rows_follow_a_permutation_of_the_batch(name, block_size):
  arrays, order = normal(name), np.random.default_rng(1).permutation(8)
  permuted = [a[order] if len(a) == 8 else a for a in arrays]
  rows = np.reshape(run(name, arrays, block_size=block_size)[0], (-1, 8))
  got = np.reshape(run(name, permuted, block_size=block_size)[0], (-1, 8))
  np.testing.assert_allclose(got, rows[:, order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_exchanged_views_exchange_the_halves(name):
  arrays = normal(name)
  rows, exchanged = run(name, arrays)[0], run(name, arrays[::-1])[0]
  np.testing.assert_allclose(exchanged, np.roll(rows, 8), rtol=1e-5, atol=1e-6)


def test_order_of_the_negatives_does_not_matter():
  arrays = normal("info_nce_negatives")
  reverse = [*arrays[:2], arrays[2][::-1]]
  rows, got = (run("info_nce_negatives", x)[0] for x in (arrays, reverse))
  np.testing.assert_allclose(got, rows, rtol=1e-5)


def test_supcon_with_one_class_a_pair_is_nt_xent():
  arrays = normal("nt_xent")
  labels = np.tile(np.arange(8, dtype=np.int32), 2)
  rows, _ = run("supcon", [np.concatenate(arrays), labels])
  np.testing.assert_allclose(rows, run("nt_xent", arrays)[0], rtol=1e-5)


@pytest.mark.parametrize("block_size", [None, 3])
def test_supcon_row_without_positives_is_zero(block_size):
  z, labels = normal("supcon")
  rows, _ = run("supcon", [z, labels], block_size=block_size)
  alone = np.array([list(labels).count(label) == 1 for label in labels])
  assert (np.asarray(rows == 0.0) == alone).all()
  different = np.arange(8, dtype=np.int32)
  rows, gradients = run("supcon", [z, different], block_size=block_size)
  common.assert_all_close([rows, *gradients], [np.zeros(8), np.zeros_like(z)], atol=0.0)


def test_supcon_of_one_row_is_zero():
  rows, _ = run("supcon", normal("supcon", rows=1))
  np.testing.assert_array_equal(rows, [0.0])


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_detached(name, block_size):
  _, gradients = run(name, normal(name), block_size=block_size)
  for gradient in gradients:
    assert (np.abs(gradient).sum(axis=1) > 1e-4).all()


# ---- hard points


def identical_views(name):
  arrays = normal(name)
  return on_floats(lambda a: np.resize(arrays[0], a.shape), arrays)


def zero_vectors(name):
  return on_floats(lambda a: a * (np.arange(len(a))[:, None] % 2 > 0), normal(name))


def one_point(name):
  return on_floats(np.ones_like, normal(name))


def batch_of_two(name):
  return normal(name, rows=2)


def half_precision(name):
  return on_floats(lambda a: jnp.asarray(a, jnp.bfloat16), normal(name))


HARD = [identical_views, zero_vectors, one_point, batch_of_two, half_precision]


@pytest.mark.parametrize("point", HARD, ids=lambda point: point.__name__)
@pytest.mark.parametrize("name", COSINES)
def test_hard_points_are_finite(name, point):
  """With logits of 1e4 besides; blocked and not must agree there too."""
  arrays = point(name)
  rows, gradients = run(name, arrays, temperature=1e-4)
  blocked = run(name, arrays, temperature=1e-4, block_size=3)
  assert rows.dtype == jnp.float32
  assert all(g.dtype == arrays[0].dtype for g in gradients)
  for leaf in jax.tree.leaves([rows, gradients, blocked]):
    assert np.isfinite(np.asarray(leaf, np.float32)).all()
  np.testing.assert_allclose(blocked[0], rows, rtol=1e-5, atol=4e-3)  # 4 ulp of 1e4


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("name", ["nt_xent", "info_nce"])
def test_a_saturated_softmax_has_no_loss_below_zero(name, block_size):
  """The positive's logit and the denominator come from one product, to the bit."""
  arrays = identical_views(name)
  rows, _ = run(name, arrays, temperature=1e-4, block_size=block_size)
  assert (np.asarray(rows) >= 0.0).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 100.0])  # products of 1e4
def test_cpc_at_hard_points_is_finite(scale, dtype):
  for arrays in (normal("cpc"), identical_views("cpc"), batch_of_two("cpc")):
    arrays = [jnp.asarray(scale * a, dtype) for a in arrays]
    dense, blocked = (run("cpc", arrays, block_size=b) for b in (None, 3))
    common.assert_finite([dense, blocked])
    np.testing.assert_allclose(dense[0], blocked[0], rtol=1e-5, atol=2e-2)


def test_half_precision_is_computed_in_single():
  arrays = half_precision("nt_xent")
  rows, _ = run("nt_xent", arrays)
  single, _ = run("nt_xent", [np.asarray(a, np.float32) for a in arrays])
  np.testing.assert_allclose(rows, single, rtol=1e-6)


# ---- errors


@pytest.mark.parametrize("name", NAMES)
def test_other_ranks_say_what_to_pass(name):
  arrays = on_floats(lambda a: a[:, :, None], normal(name))
  with pytest.raises(InputError, match=r"\[batch, dim\]"):
    call(name, arrays, temperature=0.1)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("shape", [(7, 5), (8, 4), (1, 5)])
def test_unequal_shapes_do_not_broadcast(name, shape):
  with pytest.raises(InputError, match="same"):
    call(name, [jnp.ones((8, 5)), jnp.ones(shape)], temperature=0.1)


@pytest.mark.parametrize("name", PAIRED)
def test_one_row_has_no_negatives(name):
  with pytest.raises(InputError, match="at least 2"):
    call(name, [jnp.ones((1, 5))] * 2, temperature=0.1)


def test_one_row_with_negatives_is_fine():
  query, negatives = np.eye(2, dtype=np.float32)[:, None]
  arrays = [query, query, np.tile(negatives, (3, 1))]
  rows, _ = run("info_nce_negatives", arrays, temperature=0.5)
  np.testing.assert_allclose(rows, [np.log(1 + 3 * np.exp(-2.0))], rtol=1e-5)


@pytest.mark.parametrize(
  ("negatives", "message"),
  [((3, 4), "4 dimensions"), ((0, 5), "at least 1"), ((5,), r"\[batch, dim\]")],
)
def test_negatives_of_another_shape(negatives, message):
  z = jnp.ones((2, 5))
  with pytest.raises(InputError, match=message):
    losses.info_nce(z, z, jnp.ones(negatives), temperature=0.1)


@pytest.mark.parametrize(
  "labels", [np.zeros(7, int), np.zeros((8, 1), int), np.zeros(8)], ids=str
)
def test_labels_are_one_integer_a_row(labels):
  with pytest.raises(InputError, match="one integer per row"):
    losses.supcon(jnp.ones((8, 5)), labels, temperature=0.1)


def test_empty_batches_are_refused():
  with pytest.raises(InputError, match="at least 1"):
    losses.supcon(jnp.ones((0, 5)), np.zeros(0, int), temperature=0.1)
  with pytest.raises(InputError, match="at least 1"):
    empty = jnp.ones((0, 5))
    losses.info_nce(empty, empty, jnp.ones((3, 5)), temperature=0.1)


@pytest.mark.parametrize("block_size", [0, -1, 2.0, True, "8"])
@pytest.mark.parametrize("name", NAMES)
def test_block_size_is_a_positive_int(name, block_size):
  with pytest.raises(InputError, match="block_size"):
    call(name, normal(name), temperature=0.1, block_size=block_size)


@pytest.mark.parametrize("temperature", [0, -0.1, float("nan")])
@pytest.mark.parametrize("name", NAMES)
def test_temperature_is_above_zero(name, temperature):
  with pytest.raises(InputError, match="temperature"):
    call(name, normal(name), temperature=temperature)


def test_sigma_is_above_zero():
  with pytest.raises(InputError, match="sigma"):
    call("dclw", normal("dclw"), temperature=0.1, sigma=0.0)
