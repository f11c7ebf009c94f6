"""The small net: its convolution is XLA's, its gradient too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models import convnet
from jaxssl.models.convnet import Conv3x3
from tests.models import nets


def reference(x, kernel, stride):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((1, 1), (1, 1)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision="highest",
  )


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 7, 5, 3), (2, 1, 2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_gradient_are_those_of_xla(shape, stride):
  layer, x = Conv3x3(4, stride), nets.images(shape)
  kernel = nets.variables(layer, shape)["params"]["kernel"]
  mine = lambda k, x: layer.apply({"params": {"kernel": k}}, x, train=True)
  theirs = lambda k, x: reference(x, k, stride)
  got = value_and_gradients(mine)(kernel, x)
  expected = value_and_gradients(theirs)(kernel, x)
  close = partial(np.testing.assert_allclose, atol=2e-5, rtol=1e-6)
  jax.tree.map(close, got, expected)


def value_and_gradients(f):
  """f(kernel, x) and the gradients of a nonlinear sum of it to both."""

  def loss(kernel, x):
    y = f(kernel, x)
    return jnp.sum(jnp.sin(y)), y

  return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


def test_parameters_and_shapes():
  net = models.ConvNet()
  assert nets.output_shape(net, (2, 28, 28, 1)) == (2, 256)
  kernels = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
  assert nets.parameters(net, (2, 8, 8, 1)) == kernels + 2 * (32 + 64 + 128 + 256)


def test_pools_are_means_over_squares():
  net, x = models.ConvNet(widths=(4,), pools=(2,)), nets.images((2, 7, 5, 3))
  values = nets.variables(net, x.shape)
  whole, pooled = sown(net.clone(pools=(1,)), values, x), sown(net, values, x)
  assert pooled.shape == (2, 6, 4)
  corner = whole.reshape(2, 7, 5, 4)[:, 4:6, 2:4].mean((1, 2))
  np.testing.assert_allclose(pooled[:, 5], corner, atol=1e-6)


def test_pools_of_short_numbers_are_summed_in_float32():
  x = 1.5 + jax.random.uniform(jax.random.key(0), (1, 32, 32, 1))
  got = convnet._average_pool(x.astype(jnp.bfloat16), 32).astype(jnp.float32)
  np.testing.assert_allclose(got, x.mean((1, 2), keepdims=True), rtol=4e-3)


def test_gradients_go_through_pools_in_a_compiled_step():
  net, x = models.ConvNet(widths=(4,), pools=(2,)), nets.images((2, 4, 4, 3))
  values = nets.variables(net, x.shape)
  loss = lambda x: jnp.sum(net.apply(values, x, train=False) ** 2)
  found = jax.jit(jax.grad(loss))(x)
  step = 1e-2 * jnp.sign(found)
  along = (loss(x + step) - loss(x - step)) / 2
  np.testing.assert_allclose(jnp.vdot(found, step), along, rtol=1e-2)


def sown(net, values, x):
  """The patches of some images."""
  call = jax.jit(partial(net.apply, train=False, mutable=["intermediates"]))
  _, seen = call(values, x)
  return seen["intermediates"]["patches"][0]


def test_images_must_fill_the_pools():
  net = models.ConvNet(widths=(4, 4), pools=(4, 4))
  with pytest.raises(InputError, match=r"2 x 2 positions are too few .* pool of 4"):
    nets.shapes(net, (2, 8, 8, 1))


def test_every_width_needs_a_pool():
  with pytest.raises(InputError, match="one pool per width"):
    nets.shapes(models.ConvNet(widths=(4, 8), pools=(1, 2, 2)))
