"""The local loss of VICRegL: a loop, both ways to match, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests.losses import common


def inputs(batch=4, patches_a=4, patches_b=4, dim=3):
  shapes = [(batch, n, d) for d in (dim, 2) for n in (patches_a, patches_b)]
  return common.normal(*shapes)


def run(*arrays, matches=3, **weights):
  """The loss and its gradients to both views."""

  def loss(z_a, z_b):
    return losses.vicreg_local(z_a, z_b, *arrays[2:], matches=matches, **weights)

  return jax.jit(jax.value_and_grad(loss, (0, 1)))(*arrays[:2])


def loop_pairs(z_a, z_b, at_a, at_b, matches):
  """Of one image: the `matches` closest (patch of a, its nearest of b), a's order."""
  found = []
  for own, here in zip(z_a, at_a, strict=True):
    apart = [np.sum((here - there) ** 2) for there in at_b]
    found.append((min(apart), own, z_b[int(np.argmin(apart))]))
  limit = sorted(distance for distance, _, _ in found)[matches - 1]
  kept = [(own, other) for distance, own, other in found if distance <= limit]
  return np.transpose(kept, (1, 0, 2))  # [2, matches, dim]


def loop_vicreg(z_a, z_b):
  dim = z_a.shape[1]
  total = 25.0 * np.mean((z_a - z_b) ** 2)
  for z in (z_a, z_b):
    covariance = np.cov(z.T, ddof=1)
    deviations = np.sqrt(np.diagonal(covariance) + 1e-4)
    total += 12.5 * np.mean(np.maximum(0.0, 1.0 - deviations))
    total += (np.sum(covariance**2) - np.sum(np.diagonal(covariance) ** 2)) / dim
  return total


def loop_one_way(z_a, z_b, at_a, at_b, matches):
  images = zip(z_a, z_b, at_a, at_b, strict=True)
  pairs = np.stack([loop_pairs(*image, matches) for image in images])
  places = [loop_vicreg(pairs[:, 0, i], pairs[:, 1, i]) for i in range(matches)]
  return np.mean(places)


def loop_vicreg_local(z_a, z_b, positions_a, positions_b, matches):
  total = 0.0
  for at_a, at_b in ((z_a, z_b), (positions_a, positions_b)):
    total += loop_one_way(z_a, z_b, at_a, at_b, matches) / 2
    total += loop_one_way(z_b, z_a, at_b, at_a, matches) / 2
  return total


@pytest.mark.parametrize(("patches_b", "matches"), [(4, 3), (4, 4), (3, 2), (4, 1)])
def test_value_and_gradient_of_a_loop(patches_b, matches):
  arrays = inputs(patches_b=patches_b)
  value, gradients = run(*arrays, matches=matches)
  exact = [np.float64(x) for x in arrays]
  loop = lambda z_a, z_b: loop_vicreg_local(z_a, z_b, *exact[2:], matches)
  np.testing.assert_allclose(value, loop(*exact[:2]), rtol=1e-5)
  expected = (
    common.numeric_gradient(lambda z: loop(z, exact[1]), exact[0]),
    common.numeric_gradient(lambda z: loop(exact[0], z), exact[1]),
  )
  common.assert_all_close(gradients, expected, rtol=1e-3, atol=1e-4)


def test_pitfall_3_matching_by_position_adds_to_matching_by_embedding():
  """Neither overwrites the other: where both match alike, the loss is twice one's."""
  z, _, positions, _ = inputs()
  value, _ = run(z, z, positions, positions, matches=4)
  one = np.mean([loop_vicreg(z[:, i], z[:, i]) for i in range(4)])
  np.testing.assert_allclose(value, 2 * one, rtol=1e-4)
  other = np.roll(positions, 1, axis=1)
  moved, _ = run(z, z, positions, other, matches=4)
  by_position = np.mean(
    [loop_vicreg(z[:, i], np.roll(z, -1, axis=1)[:, i]) for i in range(4)]
  )
  np.testing.assert_allclose(moved, one + by_position, rtol=1e-4)


def test_order_of_images_and_of_views_does_not_matter():
  z_a, z_b, at_a, at_b = inputs()
  value, _ = run(z_a, z_b, at_a, at_b)
  order = np.array([2, 0, 3, 1])
  images, _ = run(*(x[order] for x in (z_a, z_b, at_a, at_b)))
  np.testing.assert_allclose(images, value, rtol=1e-5)
  np.testing.assert_allclose(run(z_b, z_a, at_b, at_a)[0], value, rtol=1e-5)


def test_order_of_patches_does_not_matter_when_all_are_kept():
  z_a, z_b, at_a, at_b = inputs()
  order = np.array([2, 0, 3, 1])
  value, _ = run(z_a, z_b, at_a, at_b, matches=4)
  got, _ = run(z_a[:, order], z_b, at_a[:, order], at_b, matches=4)
  np.testing.assert_allclose(got, value, rtol=1e-5)


def test_shift_of_embeddings_and_of_positions_does_not_matter():
  z_a, z_b, at_a, at_b = inputs()
  value, _ = run(z_a, z_b, at_a, at_b)
  moved, _ = run(z_a + 2.0, z_b + 2.0, 5 * at_a - 1.0, 5 * at_b - 1.0)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


def test_weights_belong_to_their_terms():
  arrays, names = (
    inputs(),
    ("invariance_weight", "variance_weight", "covariance_weight"),
  )
  parts = [run(*arrays, **{**dict.fromkeys(names, 0.0), n: 1.0})[0] for n in names]
  weighted = {n: 2.0**i for i, n in enumerate(names)}
  expected = sum(2.0**i * float(part) for i, part in enumerate(parts))
  np.testing.assert_allclose(run(*arrays, **weighted)[0], expected, rtol=1e-5)


def test_sharded_images_give_the_same():
  arrays = inputs(batch=8)
  got = run(*common.over_devices(arrays))
  common.assert_all_close(got, run(*arrays), rtol=1e-4, atol=1e-5)


HARD = {
  "identical views": lambda a, b, *at: (a, a, at[0], at[0]),
  "zeros": lambda *arrays: [0 * x for x in arrays],
  "batch of two": lambda *arrays: [x[:2] for x in arrays],
  "equal images": lambda *arrays: [x[[0, 0]] for x in arrays],
  "large": lambda *arrays: [1e4 * x for x in arrays],
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("point", HARD.values(), ids=HARD.keys())
def test_hard_points_are_finite_and_in_single(point, dtype):
  arrays = [jnp.asarray(x, dtype) for x in point(*inputs())]
  value, gradients = run(*arrays)
  assert value.dtype == jnp.float32
  assert all(g.dtype == dtype for g in gradients)
  common.assert_finite([value, gradients])
  expected, _ = run(*common.widened(arrays))
  np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_products_are_taken_at_full_precision():
  arrays = inputs()
  loss = lambda z_a, z_b: run(z_a, z_b, *arrays[2:])
  common.assert_full_precision(loss, *arrays[:2], products=3)


@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    ([(4, 3), (4, 3), (4, 2), (4, 2)], r"\[batch, patches, dim\]"),
    ([(4, 4, 3), (3, 4, 3), (4, 4, 2), (3, 4, 2)], "same batch"),
    ([(4, 4, 3), (4, 4, 2), (4, 4, 2), (4, 4, 2)], "same batch"),
    ([(1, 4, 3), (1, 4, 3), (1, 4, 2), (1, 4, 2)], "at least 2"),
    ([(4, 4, 3), (4, 4, 3), (4, 3, 2), (4, 4, 2)], "positions_a"),
    ([(4, 4, 3), (4, 4, 3), (4, 4, 2), (4, 4, 3)], "positions_b"),
    ([(4, 4, 3), (4, 2, 3), (4, 4, 2), (4, 2, 2)], "from 1 to 2"),
  ],
)
def test_other_shapes_say_what_to_pass(shapes, message):
  with pytest.raises(InputError, match=message):
    losses.vicreg_local(*map(jnp.ones, shapes), matches=3)


@pytest.mark.parametrize("matches", [0, 5, 2.0])
def test_matches_are_at_most_the_patches(matches):
  with pytest.raises(InputError, match="matches"):
    losses.vicreg_local(*inputs(), matches=matches)
