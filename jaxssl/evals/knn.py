"""Weighted nearest neighbours, the evaluation that has nothing to train."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.evals.features import check_labelled
from jaxssl.ops.numerics import l2_normalize

SIMILARITIES = 2**25  # at once, in a block of test rows: 128 MiB


def knn_predict(
  train: jax.Array,
  labels: jax.Array,
  test: jax.Array,
  *,
  k: int = 20,
  temperature: float = 0.07,
  classes: int,
) -> np.ndarray:
  """Class with the largest sum of exp(cosine / temperature) over k neighbours.

  NPID, arXiv 1805.01978, section 3.4; k and temperature of DINO, arXiv 2104.14294.
  Similarities are float32 of l2-normalised features, one block of test rows at a
  time; of equal classes the lowest wins.

  Args:
    train: features of the bank, [n, dim].
    labels: classes of the bank, integers in [0, classes), [n].
    test: features to classify, [m, dim].
    k: neighbours, at most n.
    temperature: of the weights, positive.
    classes: the number of classes.

  Returns:
    Classes, int32 [m].

  Raises:
    InputError: if k is not in 1..n, or features and labels do not fit.
  """
  check_labelled(train, labels, classes=classes)
  _check_query(train, test, k=k, temperature=temperature)
  rows = max(1, min(512, SIMILARITIES // len(train)))
  bank, test = (jnp.asarray(x, jnp.float32) for x in (train, test))
  labels = jnp.asarray(labels, jnp.int32)
  settings = {"k": k, "classes": classes, "rows": rows}
  return np.asarray(_predict(bank, labels, test, jnp.float32(temperature), **settings))


def knn_accuracy(
  train: jax.Array,
  labels: jax.Array,
  test: jax.Array,
  test_labels: jax.Array,
  *,
  k: int = 20,
  temperature: float = 0.07,
  classes: int,
) -> float:
  """Percent of test rows that `knn_predict` classifies as `test_labels`, [m]."""
  check_labelled(test, test_labels, classes=classes)
  predicted = knn_predict(
    train, labels, test, k=k, temperature=temperature, classes=classes
  )
  return 100.0 * float(np.mean(predicted == np.asarray(test_labels)))


def nearest_accuracy(
  train: jax.Array,
  labels: jax.Array,
  test: jax.Array,
  test_labels: jax.Array,
  *,
  classes: int,
) -> float:
  """Percent of test rows whose nearest training row has their class.

  By Euclidean distance of the features as they are, which is how BiGAN is judged
  (arXiv 1605.09782, section 4.2, and its official code); by scikit-learn.

  Args:
    train: features of the bank, [n, dim].
    labels: classes of the bank, integers in [0, classes), [n].
    test: features to classify, [m, dim].
    test_labels: their classes, [m].
    classes: the number of classes.

  Returns:
    The accuracy in percent.

  Raises:
    InputError: if features and labels do not fit.
  """
  from sklearn.neighbors import KNeighborsClassifier

  check_labelled(train, labels, classes=classes)
  check_labelled(test, test_labels, classes=classes)
  _check_query(train, test, k=1, temperature=1.0)
  train, test = (np.asarray(x, np.float32) for x in (train, test))
  nearest = KNeighborsClassifier(1, algorithm="brute").fit(train, np.asarray(labels))
  return 100.0 * float(nearest.score(test, np.asarray(test_labels)))


@functools.partial(jax.jit, static_argnames=("k", "classes", "rows"))
def _predict(bank, labels, test, temperature, *, k, classes, rows):
  bank = l2_normalize(bank)

  def predict(row):
    similarity = jnp.matmul(bank, row, precision="highest")
    nearest, index = jax.lax.top_k(similarity, k)
    weights = jnp.exp((nearest - nearest[0]) / temperature)
    return jnp.argmax(weights @ jax.nn.one_hot(labels[index], classes))

  return jax.lax.map(predict, l2_normalize(test), batch_size=rows).astype(jnp.int32)


def _check_query(train, test, *, k, temperature):
  if np.ndim(test) != 2 or np.shape(test)[1] != np.shape(train)[1]:
    raise InputError(
      f"test features must be [m, {np.shape(train)[1]}] like the bank's; "
      f"got {np.shape(test)}."
    )
  if not 1 <= k <= len(train):
    raise InputError(f"k must be 1 to {len(train)}, the size of the bank; got {k}.")
  if temperature <= 0:
    raise InputError(f"temperature must be positive; got {temperature}.")
