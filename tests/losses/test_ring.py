"""Ring losses: the dense losses' values and gradients, with no rows gathered."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxssl import losses
from jaxssl.errors import InputError
from jaxssl.losses import ring
from jaxssl.mesh import data_mesh, make_mesh, replicated, rows_sharded
from jaxssl.ops.sharding import traced_for

LABELS = np.array([3, 1, 3, -2, 1, 3, 7, 1], np.int32)  # a class of 1, one below 0
VIEWS = ["nt_xent", "decoupled_nt_xent"]
NAMES = [*VIEWS, "info_nce", "supcon"]


def mesh_of(devices):
  return data_mesh(jax.devices()[:devices])


def normal(name, rows=8, dim=5):
  rng = np.random.default_rng(0)
  first, second = (rng.normal(size=(rows, dim)).astype(np.float32) for _ in range(2))
  return [first, np.resize(LABELS, rows) if name == "supcon" else second]


def on_floats(function, arrays):
  return [function(a) if a.dtype == np.float32 else a for a in arrays]


def weighted(rows):
  """Their sum with weights that tell the rows apart."""
  return jnp.sum(rows * jnp.linspace(0.5, 1.5, rows.shape[0]))


@functools.cache
def gradient(loss, supervised):
  """Rows, and gradients by the vectors and the temperature."""

  def total(vectors, temperature, *labels):
    rows = loss(*vectors, *labels, temperature=temperature)
    return weighted(rows), rows

  return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))


@functools.cache
def ring_loss(name, devices, block_size):
  loss = getattr(ring, f"ring_{name}")
  return functools.partial(loss, mesh=mesh_of(devices), block_size=block_size)


def run(loss, name, arrays, temperature=0.2):
  vectors = arrays[: 1 if name == "supcon" else 2]
  function = gradient(loss, name == "supcon")
  (_, rows), slopes = function(vectors, temperature, *arrays[len(vectors) :])
  return rows, slopes


def run_dense(name, arrays, **options):
  return run(getattr(losses, name), name, arrays, **options)


def run_ring(name, arrays, *, devices=8, block_size=None, **options):
  return run(ring_loss(name, devices, block_size), name, arrays, **options)


def assert_all_close(got, expected, **tolerance):
  for g, e in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(g, e, **tolerance)


# ---- values and gradients


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_of_the_dense_loss(name, devices, block_size):
  arrays = normal(name)
  got = run_ring(name, arrays, devices=devices, block_size=block_size)
  assert_all_close(got, run_dense(name, arrays), rtol=1e-5, atol=1e-5)


MATRIX = np.eye(5, dtype=np.float32) + 0.1  # stands for a net that all devices hold


def mean_of(loss, matrix, arrays):
  inputs = on_floats(lambda x: x @ matrix, arrays)
  return jnp.mean(loss(*inputs, temperature=0.2))


@functools.cache
def dense_gradient(name):
  """Mean of the dense loss, and its gradient by the net."""
  mean = functools.partial(mean_of, getattr(losses, name))
  return jax.jit(jax.value_and_grad(mean))(MATRIX, normal(name))


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("name", NAMES)
def test_pitfall_1_gradient_is_not_divided_by_the_number_of_devices(name, devices):
  """Whoever does not differentiate a collective has the value right and this wrong."""
  mesh = mesh_of(devices)
  arrays = jax.device_put(normal(name), rows_sharded(mesh))
  mean = functools.partial(mean_of, ring_loss(name, devices, None))
  step = jax.jit(jax.value_and_grad(mean), out_shardings=replicated(mesh))
  assert_all_close(step(MATRIX, arrays), dense_gradient(name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_rows_stay_on_the_devices_of_the_inputs(name):
  mesh = mesh_of(4)
  arrays = jax.device_put(normal(name), rows_sharded(mesh))
  rows, ((slope, *_), _) = run_ring(name, arrays, devices=4)
  assert slope.sharding.is_equivalent_to(rows_sharded(mesh), 2)
  assert rows.sharding.device_set == set(mesh.devices.flat)


def test_outside_of_jit():
  arrays = normal("info_nce")
  rows = ring_loss("info_nce", 2, None)(*arrays, temperature=0.2)
  dense = losses.info_nce(*arrays, temperature=0.2)
  np.testing.assert_allclose(rows, dense, rtol=1e-5, atol=1e-6)


def test_one_axis_of_a_mesh_of_two():
  axes = (jax.sharding.AxisType.Auto,) * 2
  mesh = jax.make_mesh((4, 2), ("rows", "model"), axis_types=axes)
  options = {"mesh": mesh, "axis_name": "rows", "block_size": 2}
  loss = functools.partial(ring.ring_nt_xent, **options)
  arrays = normal("nt_xent")
  got, expected = run(loss, "nt_xent", arrays), run_dense("nt_xent", arrays)
  assert_all_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_over_both_axes_of_a_mesh(name):
  loss = functools.partial(
    getattr(ring, f"ring_{name}"), mesh=make_mesh("data=4,fsdp=2"), block_size=None
  )
  arrays = normal(name)
  got, expected = run(loss, name, arrays), run_dense(name, arrays)
  assert_all_close(got, expected, rtol=1e-5, atol=1e-5)


def test_gradient_can_be_differentiated():
  z_a, z_b = normal("nt_xent")

  def penalty(loss, z_a):
    mean = lambda z: jnp.mean(loss(z, z_b, temperature=0.3))
    return jnp.sum(jnp.square(jax.grad(mean)(z_a)))

  got, expected = (
    jax.jit(jax.grad(functools.partial(penalty, loss)))(z_a)
    for loss in (ring_loss("nt_xent", 2, 3), losses.nt_xent)
  )
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)


# ---- inside code that runs per device


def device_step(name):
  """A per-device step with replicated parameters, right under every map."""
  loss = functools.partial(getattr(ring, f"ring_{name}"), mesh=None, block_size=3)

  def step(matrix, arrays):
    mean = lambda matrix: jax.lax.pmean(mean_of(loss, matrix, arrays), "data")
    value, slope = jax.value_and_grad(mean)(matrix)
    return value, jax.lax.pmean(slope, "data")

  return step


@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_without_a_mesh_inside_a_shard_map(name, check_vma):
  mapped = jax.shard_map(
    device_step(name),
    mesh=mesh_of(8),  # one row each: every negative is on another device
    in_specs=(PartitionSpec(), PartitionSpec("data")),
    out_specs=PartitionSpec(),
    check_vma=check_vma,
  )
  got = jax.jit(mapped)(MATRIX, normal(name))
  assert_all_close(got, dense_gradient(name), rtol=1e-5, atol=1e-6)


def test_without_a_mesh_inside_a_pmap():
  options = {"in_axes": (None, 0), "devices": jax.devices()[:4]}
  mapped = jax.pmap(device_step("nt_xent"), axis_name="data", **options)
  split = [x.reshape(4, 2, 5) for x in normal("nt_xent")]
  first = jax.tree.map(lambda x: np.asarray(x)[0], mapped(MATRIX, split))
  assert_all_close(first, dense_gradient("nt_xent"), rtol=1e-5, atol=1e-6)


# ---- what the compiler makes of it


def compiled_gradient(name, loss, rows, mesh):
  sharding, supervised = rows_sharded(mesh), name == "supcon"
  vectors = jax.ShapeDtypeStruct((rows, 128), jnp.float32, sharding=sharding)
  labels = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=sharding)

  def mean(*arrays):
    return jnp.mean(loss(*arrays, temperature=0.1))

  places = (0,) if supervised else (0, 1)
  function = jax.jit(jax.grad(mean, places), out_shardings=sharding)
  return function.lower(vectors, labels if supervised else vectors).compile()


@functools.cache
def compiled_ring(name, devices, rows, block_size=None):
  loss = ring_loss(name, devices, block_size)
  return compiled_gradient(name, loss, rows, mesh_of(devices))


def mebibytes(compiled):
  return compiled.memory_analysis().temp_size_in_bytes / 2**20


def test_a_step_may_be_compiled_for_a_mesh_of_other_axes():
  arrays, step = normal("nt_xent"), make_mesh("data=4,fsdp=2")
  loss = functools.partial(losses.ring_nt_xent, mesh=mesh_of(8), temperature=0.2)
  got = jax.jit(traced_for(step, loss), in_shardings=rows_sharded(step))(*arrays)
  np.testing.assert_allclose(got, losses.nt_xent(*arrays, temperature=0.2), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_travel_and_are_never_gathered(name):
  text = compiled_ring(name, 8, 512).as_text()
  assert "collective-permute" in text
  assert not re.findall(r"f32\[\d+,\S+ (?:all-gather|all-to-all)", text)
  largest = max(int(rows) for rows in re.findall(r"f32\[(\d+),128\]", text))
  assert largest == 512 // 8 * (2 if name in VIEWS else 1)  # both views in one array


def test_temporaries_of_a_device_shrink_with_their_number():
  one, two, eight = (mebibytes(compiled_ring("nt_xent", n, 2048)) for n in (1, 2, 8))
  assert two < 0.6 * one
  assert eight < one / 16


def test_temporaries_are_less_than_those_of_the_dense_loss_on_the_mesh():
  dense = compiled_gradient("nt_xent", losses.nt_xent, 2048, mesh_of(8))
  assert mebibytes(compiled_ring("nt_xent", 8, 2048)) < mebibytes(dense) / 2


def test_blocks_bound_the_temporaries_of_a_device():
  logits, vectors = 16, 1  # of one device's 2048 rows, all columns of another's
  whole, blocks = (mebibytes(compiled_ring("nt_xent", 8, 8192, b)) for b in (None, 64))
  assert whole > 2 * logits
  assert blocks < 10 * vectors


@pytest.mark.parametrize("name", NAMES)
def test_products_are_taken_at_full_precision(name):
  text = str(jax.make_jaxpr(lambda *x: run_ring(name, x))(*normal(name)))
  full = "precision=(Precision.HIGHEST, Precision.HIGHEST)"
  assert text.count("dot_general[") >= 3  # logits, and the gradients of both sides
  assert text.count(full) == text.count("dot_general[")


# ---- hard points


def identical_views(name):
  arrays = normal(name)
  return on_floats(lambda a: arrays[0], arrays)


def zero_vectors(name):
  return on_floats(lambda a: a * (np.arange(len(a))[:, None] % 2 > 0), normal(name))


def one_point(name):
  return on_floats(np.ones_like, normal(name))


def half_precision(name):
  return on_floats(lambda a: jnp.asarray(a, jnp.bfloat16), normal(name))


POINTS = [identical_views, zero_vectors, one_point, half_precision]


@pytest.mark.parametrize("point", POINTS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_are_those_of_the_dense_loss(name, point):
  arrays = point(name)
  got = run_ring(name, arrays)
  assert got[0].dtype == jnp.float32
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(got))
  dense = run_dense(name, arrays)
  assert_all_close(got[0], dense[0], rtol=1e-5, atol=1e-5)
  tolerance = 1e-2 if point is half_precision else 1e-5  # of the largest entry
  for g, e in zip(got[1][0], dense[1][0], strict=True):
    g, e = g.astype(jnp.float32), e.astype(jnp.float32)
    scale = max(1.0, float(jnp.max(jnp.abs(e))))
    np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_ten_thousand_stay_finite(name):
  arrays = normal(name)
  got = run_ring(name, arrays, temperature=1e-4)
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(got))
  expected = run_dense(name, arrays, temperature=1e-4)
  np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=2e-2)


def test_one_point_gives_the_log_of_the_number_of_candidates():
  for name, candidates in [("nt_xent", 15), ("decoupled_nt_xent", 14), ("info_nce", 8)]:
    rows, _ = run_ring(name, one_point(name))
    np.testing.assert_allclose(rows, np.log(candidates), rtol=1e-5)


def test_supcon_row_without_positives_on_any_device_is_zero():
  rows, _ = run_ring("supcon", normal("supcon"))
  np.testing.assert_array_equal(rows == 0.0, (LABELS == -2) | (LABELS == 7))


# ---- errors


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"axis_name": "datas"}, r"no axis 'datas', only data\. Did you mean 'data'\?"),
    ({"mesh": None}, r"No axis 'data' is mapped here; pass a mesh, or"),
    ({"temperature": 0.0}, r"`temperature` is 0\.0; pass a number above 0"),
    ({"block_size": 0}, r"`block_size` is 0; pass the number of columns"),
  ],
)
def test_bad_option(name, options, message):
  options = {"temperature": 0.2, "mesh": mesh_of(8)} | options
  with pytest.raises(InputError, match=message):
    getattr(ring, f"ring_{name}")(*normal(name), **options)


@pytest.mark.parametrize("name", NAMES)
def test_batch_that_does_not_divide_over_the_devices(name):
  message = r"12 rows of `(z|z_a|query)` do not divide over 8 devices .* multiple of 8"
  with pytest.raises(InputError, match=message):
    ring_loss(name, 8, None)(*normal(name, rows=12), temperature=0.2)


@pytest.mark.parametrize("name", [*VIEWS, "info_nce"])
def test_inputs_that_the_dense_loss_refuses(name):
  loss = functools.partial(ring_loss(name, 1, None), temperature=0.2)
  first, second = normal(name)
  with pytest.raises(InputError, match="the negatives are"):
    loss(first[:1], second[:1])
  with pytest.raises(InputError, match="with the same"):
    loss(first, second[:4])
  with pytest.raises(InputError, match="one row per example"):
    loss(first[0], second[0])


def test_labels_that_supcon_refuses():
  z, labels = normal("supcon")
  loss = functools.partial(ring_loss("supcon", 8, None), temperature=0.2)
  with pytest.raises(InputError, match="one integer per row"):
    loss(z, labels[:4])
  with pytest.raises(InputError, match="an empty batch"):
    loss(z[:0], labels[:0])


def test_columns_that_do_not_divide_over_the_devices():
  vectors, rows = jnp.ones((8, 5)), jnp.arange(8)
  tags = ring.Tags(rows, rows)
  cut = jax.tree.map(lambda x: x[:6], tags)
  arrays = vectors, vectors[:6], tags, cut
  options = {"mesh": mesh_of(4), "axis_name": "data", "block_size": None}
  with pytest.raises(InputError, match="6 rows of `candidates` do not divide over 4"):
    ring.ring_row_terms(ring._everything, *arrays, **options)
