"""Measures of a representation that need no labels, and a plain word on collapse.

Rows are examples, columns are dimensions: means and deviations run over the rows.
`uniformity` holds [n, n] values and the rank measures an SVD, so pass a few thousand
rows, not a whole data set.
"""

import functools
import math
from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize

MINIMUM_SPREAD = 0.03  # untrained convolutional nets on images have 0.15 to 0.45
MINIMUM_STD = 0.03  # of unit features; and about the same
MINIMUM_RANK = 2.0  # and 4 to 130; a single direction with 0.5 % noise has 1.6
DIRECTIONS_TO_JUDGE = 8  # with fewer possible directions, a low rank says nothing
JUDGED = ("spread", "feature_std", "effective_rank", "possible_rank")


def alignment(x: jax.Array, y: jax.Array, *, power: float = 2) -> jax.Array:
  """Mean distance of positive pairs on the sphere, to `power`; lower is better.

  arXiv 2005.10242, equation 3 (alpha is `power`).

  Args:
    x: [n, dim], l2-normalised here.
    y: [n, dim], the positives of `x` row by row.
    power: of the Euclidean distance.

  Returns:
    A float32 scalar.
  """
  chex.assert_rank([x, y], 2)
  chex.assert_equal_shape([x, y])
  difference = _unit(x) - _unit(y)
  square = jnp.sum(jnp.square(difference), axis=1)
  return jnp.mean(jnp.maximum(square, 1e-24) ** (power / 2))


def uniformity(x: jax.Array, *, t: float = 2) -> jax.Array:
  """Log of the mean over pairs of exp(-t squared distance); lower is better.

  arXiv 2005.10242, equation 4, over unordered pairs of different rows.

  Args:
    x: [n, dim], n at least 2, l2-normalised here.
    t: inverse width of the kernel.

  Returns:
    A float32 scalar, between -4 t and 0.

  Raises:
    InputError: if there is no pair.
  """
  chex.assert_rank(x, 2)
  if len(x) < 2:
    raise InputError(f"uniformity needs at least 2 rows; got {len(x)}.")
  x = _unit(x)
  exponent = 2 * t * (jnp.matmul(x, x.T, precision="highest") - 1)
  pairs = jnp.where(jnp.eye(len(x), dtype=bool), -jnp.inf, exponent)
  return jax.nn.logsumexp(pairs) - jnp.log(float(len(x) * (len(x) - 1)))


def rankme(z: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
  """RankMe: the exponential of the entropy of the singular values, not centred.

  arXiv 2210.02885, section 3.1: p = s / sum(s) + epsilon, exp(-sum(p log p)).

  Args:
    z: [n, dim]; the paper wants n of at least dim.
    epsilon: added after the division; the paper writes 1e-7, published code uses 1e-5.

  Returns:
    A float32 scalar, from about 1 to min(n, dim).
  """
  chex.assert_rank(z, 2)
  return _entropy_rank(z.astype(jnp.float32), epsilon)


def effective_rank(z: jax.Array) -> jax.Array:
  """RankMe of centred features, epsilon 1e-7: how many directions they vary in.

  Centring matters after a ReLU, where the common mean is the largest direction.

  Args:
    z: [n, dim].

  Returns:
    A float32 scalar, from about 1 to min(n - 1, dim).
  """
  chex.assert_rank(z, 2)
  return _entropy_rank(_centred(z), 1e-7)


def feature_std(z: jax.Array) -> jax.Array:
  """Standard deviation per dimension of l2-normalised rows, times sqrt(dim).

  The measure of SimSiam, arXiv 2011.10566, figure 2: 1 where the features point in
  all directions, 0 where they all point in one.

  Args:
    z: [n, dim].

  Returns:
    A float32 scalar: the mean over the dimensions.
  """
  chex.assert_rank(z, 2)
  return jnp.mean(jnp.std(_unit(z), axis=0)) * jnp.sqrt(float(z.shape[1]))


def spread(z: jax.Array) -> jax.Array:
  """Root mean square of the centred features, as a share of that of the features.

  Args:
    z: [n, dim], any scale.

  Returns:
    A float32 scalar: 1 without a common mean, 0 where all rows are equal.
  """
  chex.assert_rank(z, 2)
  size = jnp.sqrt(jnp.mean(jnp.square(z.astype(jnp.float32))))
  return jnp.sqrt(jnp.mean(jnp.square(_centred(z)))) / jnp.maximum(size, 1e-12)


def alpha_req(z: jax.Array) -> jax.Array:
  """α-ReQ: how fast the eigenvalues of the covariance fall, lambda_j ~ j^-alpha.

  Agrawal et al., NeurIPS 2022, section 3: near 1 is best, larger means fewer
  directions, 0 is noise. A line is fitted to log lambda against log j with weights
  1 / j, as the authors' code does, over ranks j from 1 + r // 20 to r // 2, where
  r = min(n - 1, dim) is the number of eigenvalues: the first few are left out, and the
  half in which a sample's spectrum always falls off. (The authors' code names fixed
  ranks, such as 12 to 100.) Eigenvalues below 1e-10 of the first are rounding and are
  left out too.

  Args:
    z: [n, dim], n at least 3 and dim at least 2.

  Returns:
    A float32 scalar; infinity where fewer than two eigenvalues are left.

  Raises:
    InputError: if there are fewer than two eigenvalues.
  """
  chex.assert_rank(z, 2)
  count = min(z.shape[0] - 1, z.shape[1])
  if count < 2:
    raise InputError(f"alpha_req needs [3, 2] features or more; got {z.shape}.")
  first = 1 + count // 20
  last = max(count // 2, first + 1)
  spectrum = jnp.square(jnp.linalg.svd(_centred(z), compute_uv=False))
  values = spectrum[first - 1 : last]
  kept = ~(values <= 1e-10 * spectrum[0])  # so that NaN is kept and seen
  logs = jnp.log(jnp.where(kept, values, 1.0))
  ranks = jnp.arange(first, last + 1, dtype=jnp.float32)
  slope = _slope(jnp.log(ranks), logs, jnp.where(kept, 1 / ranks, 0.0))
  return jnp.where(jnp.sum(kept) < 2, jnp.inf, -slope)


def lidar(z: jax.Array, *, delta: float = 1e-4, epsilon: float = 1e-8) -> jax.Array:
  """LiDAR: the rank of what tells examples apart, whitened by what views differ in.

  arXiv 2312.04000, section 3: the exponential of the entropy of the eigenvalues of
  S_w^-1/2 S_b S_w^-1/2, S_b the covariance of the examples' means and S_w that of
  their views about it. From the singular vectors of the views' deviations, so nothing
  is squared and no [dim, dim] matrix is formed where dim exceeds samples * views.

  Args:
    z: [samples, views, dim], at least 2 views of at least 2 samples; not normalised.
      The paper takes 1,000 samples of 10 views or more; 2 views are a coarse
      estimate of S_w.
    delta: added to the variance of the views in every direction.
    epsilon: added to every eigenvalue.

  Returns:
    A float32 scalar, from about 1 to min(samples - 1, dim).

  Raises:
    InputError: if there are fewer than 2 samples or views.
  """
  chex.assert_rank(z, 3)
  samples, views, dim = z.shape
  if samples < 2 or views < 2:
    raise InputError(f"lidar needs 2 samples and 2 views or more; got {z.shape}.")
  z = z.astype(jnp.float32)
  means = jnp.mean(z, axis=1)
  between = _centred(means) / math.sqrt(samples - 1)
  within = (z - means[:, None]).reshape(-1, dim) / math.sqrt(samples * (views - 1))
  whitened = _whitened(between, within, delta)
  values = jnp.square(jnp.linalg.svd(whitened, compute_uv=False))
  values = jnp.pad(values, (0, dim - len(values))) + epsilon
  p = values / jnp.sum(values)
  return jnp.exp(-jnp.sum(p * jnp.log(p)))


def prototype_entropy(probabilities: jax.Array) -> jax.Array:
  """Entropy of the mean assignment, in nats: 0 where all go to one prototype.

  Args:
    probabilities: of each row over the prototypes, [batch, prototypes], rows that sum
      to 1.

  Returns:
    A float32 scalar, from 0 to log(prototypes).
  """
  chex.assert_rank(probabilities, 2)
  mean = jnp.mean(probabilities.astype(jnp.float32), axis=0)
  return -jnp.sum(jax.scipy.special.xlogy(mean, mean))


def prototype_perplexity(probabilities: jax.Array) -> jax.Array:
  """How many prototypes are in use: the exponential of `prototype_entropy`.

  Args:
    probabilities: [batch, prototypes], rows that sum to 1.

  Returns:
    A float32 scalar, from 1 to prototypes.
  """
  return jnp.exp(prototype_entropy(probabilities))


def collapse_measures(z: jax.Array) -> dict[str, jax.Array]:
  """All measures of one set of features, for the log and for `verdict`.

  Args:
    z: features or projections, [n, dim].

  Returns:
    Scalars: spread, feature_std, rankme, effective_rank, and possible_rank, the
    largest value that effective_rank could have.
  """
  return {
    "spread": spread(z),
    "feature_std": feature_std(z),
    "rankme": rankme(z),
    "effective_rank": effective_rank(z),
    "possible_rank": jnp.float32(min(z.shape[0] - 1, z.shape[1])),
  }


def verdict(measures: Mapping[str, jax.Array]) -> str | None:
  """A sentence on what is wrong with the representation, or None.

  It speaks up where the spread is below 0.03 (all examples get nearly the same
  features) and where a measure is not finite; and if 8 or more directions are
  possible, where feature_std is below 0.03 (all features point one way, as losses of
  cosines collapse: the lengths stay free) or the effective rank below 2 (all examples
  lie on one line). It judges what it is given: features can stay apart for long while
  the projections that the loss compares have collapsed.

  Args:
    measures: what `collapse_measures` returns.

  Returns:
    What was measured, what spread-out features have, and what to check; or None.
  """
  share, direction, rank, possible = (float(measures[name]) for name in JUDGED)
  if not (math.isfinite(share) and math.isfinite(rank)):
    return (
      "The features hold NaN or infinity: the run has diverged. Lower the learning "
      "rate, lengthen the warm-up, and check the inputs."
    )
  if share < MINIMUM_SPREAD:
    return _collapsing(
      f"the standard deviation per dimension is {share:.2g} of the features' size, "
      "where spread-out features have 0.1 to 1"
    )
  if possible < DIRECTIONS_TO_JUDGE:
    return None
  if direction < MINIMUM_STD:
    return _collapsing(
      f"all features point nearly one way (feature_std {direction:.2g}, where "
      "spread-out features have 0.1 to 1)"
    )
  if rank < MINIMUM_RANK:
    return _collapsing(
      f"the features vary along {rank:.2g} of {possible:.0f} possible directions"
    )
  return None


def _collapsing(measured):
  return (
    f"The representation is collapsing: {measured}. Check that no gradient reaches "
    "the target, that what keeps features apart is at work (negatives, predictor, "
    "centring, variance term), and try a lower learning rate."
  )


def _entropy_rank(z, epsilon):
  values = jnp.linalg.svd(z, compute_uv=False)
  p = values / jnp.maximum(jnp.sum(values), 1e-12) + epsilon
  return jnp.exp(-jnp.sum(p * jnp.log(p)))


def _slope(x, y, weights):
  """Of the line that is nearest to `y` in weighted squares."""
  total = jnp.maximum(jnp.sum(weights), 1e-12)
  dx = x - jnp.sum(weights * x) / total
  dy = y - jnp.sum(weights * y) / total
  return jnp.sum(weights * dx * dy) / jnp.maximum(jnp.sum(weights * dx * dx), 1e-12)


def _whitened(rows, deviations, delta):
  """Rows times (deviations' Gram matrix + delta)^-1/2."""
  matmul = functools.partial(jnp.matmul, precision="highest")
  _, sizes, axes = jnp.linalg.svd(deviations, full_matrices=False)
  inside = matmul(rows, axes.T)
  outside = rows - matmul(inside, axes)  # where the deviations have no direction
  inside = inside / jnp.sqrt(jnp.square(sizes) + delta)[None]
  return matmul(inside, axes) + outside / math.sqrt(delta)


def _centred(z):
  z = z.astype(jnp.float32)
  return z - jnp.mean(z, axis=0, keepdims=True)


def _unit(z):
  return l2_normalize(z.astype(jnp.float32))
