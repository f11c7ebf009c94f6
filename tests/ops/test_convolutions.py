"""3x3 convolutions in chunks, as one CPU device takes them, against XLA's."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import convolutions


def values(shape, seed=0):
  return jax.random.normal(jax.random.key(seed), shape)


def value_and_gradients(f):
  """f(x, kernel) and the gradients of a nonlinear sum of it to both."""

  def loss(x, kernel):
    y = f(x, kernel)
    return jnp.sum(jnp.sin(y)), y

  return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


@pytest.mark.parametrize("channels", [(1, 8), (3, 4), (8, 2)])
@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 7, 5), (6, 1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_chunks_and_gradients_are_xlas_convolution(shape, channels, stride):
  x, kernel = values((*shape, channels[0])), values((3, 3, *channels), 1)
  got = value_and_gradients(lambda x, k: convolutions.in_chunks(x, k, stride, 2, False))
  theirs = value_and_gradients(partial(convolutions.convolution, stride=stride))
  close = partial(np.testing.assert_allclose, atol=5e-5, rtol=1e-5)
  jax.tree.map(close, got(x, kernel), theirs(x, kernel))


@pytest.mark.parametrize("channels", [(1, 8), (5, 3)])
@pytest.mark.parametrize("shape", [(6, 8, 8), (4, 2, 2), (2, 6, 10)])
def test_winograds_products_and_gradients_are_xlas_convolution(shape, channels):
  x, kernel = values((*shape, channels[0])), values((3, 3, *channels), 1)
  got = value_and_gradients(lambda x, k: convolutions.in_chunks(x, k, 1, 2, True))
  theirs = value_and_gradients(convolutions.convolution)
  close = partial(np.testing.assert_allclose, atol=5e-5, rtol=1e-5)
  jax.tree.map(close, got(x, kernel), theirs(x, kernel))


def test_winograds_products_of_long_numbers():
  with jax.enable_x64(True):
    x, kernel = (
      a.astype(jnp.float64) for a in (values((2, 4, 4, 3)), values((3, 3, 3, 2)))
    )
    got = convolutions.in_chunks(x, kernel, 1, 1, True)
    theirs = convolutions.convolution(x, kernel)
    np.testing.assert_allclose(got, theirs, rtol=1e-12, atol=1e-12)


def test_winograds_products_are_as_accurate_as_the_plain_sums():
  """Both against float64, of many channels and with a mean far from zero."""
  x, kernel = values((2, 8, 8, 512)) + 1, values((3, 3, 512, 16), 1)
  patches = np.asarray(convolutions.shifted(x, 1), np.float64)
  exact = patches @ np.asarray(kernel, np.float64).reshape(-1, 16)
  off = lambda y: np.abs(np.asarray(y) - exact).max() / np.abs(exact).max()
  plain = off(convolutions.product_of_shifts(x, kernel, 1))
  tiles = off(convolutions.winograd.convolve(x, kernel))
  assert tiles < 2e-6 and tiles < 5 * plain


@pytest.mark.parametrize(
  ("shape", "channels", "stride", "tiled"),
  [
    ((256, 32, 32), (64, 64), 1, True),
    ((256, 32, 32), (64, 64), 2, False),
    ((256, 32, 32), (3, 64), 1, False),  # few channels
    ((256, 7, 7), (512, 512), 1, False),  # no tiles
    ((256, 4, 4), (512, 512), 1, True),  # a chunk of tiles, two smaller ones
    ((48, 8, 8), (256, 256), 1, True),
    ((64, 8, 8), (32, 32), 1, False),  # little to do
  ],
)
def test_winograds_products_are_taken_where_they_pay(
  monkeypatch, shape, channels, stride, tiled
):
  seen = []
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  monkeypatch.setattr(convolutions, "in_chunks", lambda x, *given: seen.append(given))
  x = jax.ShapeDtypeStruct((*shape, channels[0]), jnp.float32)
  kernel = jax.ShapeDtypeStruct((3, 3, *channels), jnp.float32)
  convolutions._on_cpu(x, kernel, stride=stride)
  assert [given[-1] for given in seen] == [tiled]


@pytest.mark.parametrize("tiled", [False, True])
def test_chunks_under_vmap_over_kernels(tiled):
  """As `--seeds` has them."""
  x, kernels = values((2, 4, 6, 6, 3)), values((2, 3, 3, 3, 4), 1)
  call = value_and_gradients(lambda x, k: convolutions.in_chunks(x, k, 1, 2, tiled))
  got = jax.vmap(call)(x, kernels)
  each = [call(x[i], kernels[i]) for i in range(2)]
  expected = jax.tree.map(lambda *rows: jnp.stack(rows), *each)
  jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), got, expected)


@pytest.mark.parametrize("tiled", [False, True])
def test_bfloat16_gradients_of_kernels_are_summed_in_float32(tiled):
  x, kernel = values((512, 4, 4, 8)), values((3, 3, 8, 8), 1)
  short = [a.astype(jnp.bfloat16) for a in (x, kernel)]
  pull = lambda x, k: jax.grad(
    lambda k: jnp.sum(convolutions.in_chunks(x, k, 1, 1, tiled) * x)
  )(k)
  got, expected = pull(*short).astype(jnp.float32), pull(x, kernel)
  scale = float(jnp.abs(expected).max())
  np.testing.assert_allclose(got / scale, expected / scale, atol=0.01)


@pytest.mark.parametrize(
  ("shape", "images"),
  [
    ((256, 32, 32), 2),
    ((6, 32, 32), 2),
    ((7, 64, 64), 1),
    ((2, 32, 32), 0),  # one chunk
    ((509, 4, 4), 0),  # a prime: only one image at a time would do
    ((0, 8, 8), 0),
    ((4, 0, 8), 0),
  ],
)
def test_a_chunk_divides_the_batch(shape, images):
  x = jax.ShapeDtypeStruct((*shape, 3), jnp.float32)
  assert convolutions._images_of_a_chunk(x, 2048) == images


def run_alone(code):
  """Runs code in a process that has one device."""
  environment = {"JAX_PLATFORMS": "cpu", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
  given = [sys.executable, "-c", code]
  return subprocess.run(given, env=environment, capture_output=True, text=True)


ALONE = """
import jax, jax.numpy as jnp
from jaxssl.ops import convolutions
x, kernel = jnp.ones((16, 32, 32, 2)), jnp.ones((3, 3, 2, 2))
chunked = lambda: "scan[" in str(jax.make_jaxpr(convolutions.convolve)(x, kernel))
print(jax.device_count(), chunked())
"""


def test_one_device_of_a_cpu_takes_chunks():
  """This process has eight."""
  ran = run_alone(ALONE)
  assert ran.stdout.split() == ["1", "True"], ran.stderr


PLANNED = """
import jax
from jaxssl import plan, registry
from jaxssl.mesh import data_mesh
experiment = registry.build("simclr_digits", batch=512)
mesh = data_mesh(jax.devices()[:1])
once = plan.lower(experiment, mesh).compile().cost_analysis()["flops"]
print(jax.device_count(), plan.plan(experiment, mesh).flops > 1.2 * once)
"""


@pytest.mark.slow  # it compiles a step twice
def test_a_plan_counts_every_chunk():
  ran = run_alone(PLANNED)
  assert ran.stdout.split() == ["1", "True"], ran.stderr


def test_no_chunks_in_shard_map():
  """There, a loop's carry would vary over devices and its start would not."""
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("data",))
  rows = jax.sharding.PartitionSpec("data")
  seen = []

  def look(x):
    seen.append(convolutions._images_of_a_chunk(x, 2048))
    return x

  call = jax.shard_map(look, mesh=mesh, in_specs=rows, out_specs=rows)
  jax.eval_shape(call, jax.ShapeDtypeStruct((16, 32, 32, 3), jnp.float32))
  assert seen == [0]
