"""Losses of masked patches against MAE's official code, loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses, ops
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common

MASKED = (losses.masked_squared_error, losses.masked_absolute_error)


def mean(error, count):
  """The loss of a batch."""
  return error.sum() / count.sum()


@pytest.mark.parametrize("case", golden.load("mae_target"), ids=lambda c: c.note[:6])
def test_targets_equal_the_official_ones(case):
  images, patch = jnp.asarray(case.inputs["images"]), case.options["patch_size"]
  target = losses.patch_targets(images, patch, normalize=True)
  prediction, mask = (jnp.asarray(case.inputs[n]) for n in ("prediction", "mask"))
  got = {
    "patches": losses.patch_targets(images, patch, normalize=False),
    "normalised_target": target,
    "expected_loss_normalised": mean(
      *losses.masked_squared_error(prediction, target, mask)
    ),
  }
  common.assert_matches(got, case)


@pytest.mark.parametrize(
  "case", golden.load("masked_squared_error"), ids=lambda c: c.note[:6]
)
def test_the_error_equals_the_official_one(case):
  arrays = [jnp.asarray(case.inputs[n]) for n in ("prediction", "target", "mask")]
  loss = lambda p: mean(*losses.masked_squared_error(p, *arrays[1:]))
  value, grad = jax.jit(jax.value_and_grad(loss))(arrays[0])
  common.assert_matches({"expected": value, "grad_prediction": grad}, case)


@pytest.mark.parametrize(("patch", "loss"), [(2, 11 / 12), (16, 767 / 768)])
def test_a_prediction_of_zero_has_the_loss_of_the_unbiased_variance(patch, loss):
  images = common.normal((2, 32, 32, 3))[0]
  target = losses.patch_targets(jnp.asarray(images), patch, normalize=True)
  mask = jnp.ones(target.shape[:2], bool)
  got = mean(*losses.masked_squared_error(jnp.zeros_like(target), target, mask))
  np.testing.assert_allclose(got, loss, rtol=2e-6)


def test_the_absolute_error_is_simmims_over_pixels():
  image, rebuilt = common.normal((3, 8, 8, 3), (3, 8, 8, 3))
  mask = np.random.default_rng(1).random((3, 4)) < 0.5
  pixels = mask.reshape(3, 2, 2).repeat(4, 1).repeat(4, 2)
  total = sum(
    np.abs(image[i, y, x] - rebuilt[i, y, x]).sum() for i, y, x in np.argwhere(pixels)
  )
  expected = total / (pixels.sum() + 1e-5) / 3
  cut = [ops.cut_patches(jnp.asarray(x), 4) for x in (rebuilt, image)]
  got = losses.masked_absolute_error(*cut, jnp.asarray(mask))
  np.testing.assert_allclose(mean(*got), expected, rtol=1e-5)
  np.testing.assert_array_equal(got[1], mask.sum(1))


@pytest.mark.parametrize("loss", MASKED)
def test_rows_are_separate_and_patches_in_sight_do_not_count(loss):
  prediction, target, other = map(jnp.asarray, common.normal(*[(4, 5, 6)] * 3))
  mask = jnp.asarray(np.random.default_rng(2).random((4, 5)) < 0.5)
  whole = loss(prediction, target, mask)
  part = loss(prediction[2:], target[2:], mask[2:])
  np.testing.assert_allclose(whole[0][2:], part[0], rtol=1e-6)
  elsewhere = jnp.where(mask[..., None], prediction, other)
  np.testing.assert_array_equal(loss(elsewhere, target, mask)[0], whole[0])


def test_no_gradient_reaches_the_images():
  def loss(images):
    return jnp.sum(losses.patch_targets(images, 2, normalize=True) ** 2)

  images = jnp.asarray(common.normal((1, 4, 4, 1))[0])
  np.testing.assert_array_equal(jax.grad(loss)(images), 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sums_are_float32(dtype):
  prediction, target = (jnp.asarray(x, dtype) for x in common.normal(*[(2, 3, 4)] * 2))
  mask = jnp.ones((2, 3), bool)
  assert losses.masked_squared_error(prediction, target, mask)[0].dtype == jnp.float32


@pytest.mark.parametrize("loss", MASKED)
def test_bad_input_is_refused(loss):
  x, mask = jnp.zeros((2, 3, 4)), jnp.ones((2, 3), bool)
  with pytest.raises(InputError, match=r"\[batch, patches, values\]"):
    loss(x[0], x[0], mask)
  with pytest.raises(InputError, match="one target for each prediction"):
    loss(x, x[..., :2], mask)
  with pytest.raises(InputError, match="one entry per patch"):
    loss(x, x, mask[:, :2])
  with pytest.raises(InputError, match="must be bool"):
    loss(x, x, mask.astype(jnp.float32))
  with pytest.raises(InputError, match="empty batch"):
    loss(x[:0], x[:0], mask[:0])


def test_patches_must_fill_the_images():
  with pytest.raises(InputError, match="do not split into patches of 3"):
    losses.patch_targets(jnp.zeros((1, 8, 8, 1)), 3, normalize=True)
