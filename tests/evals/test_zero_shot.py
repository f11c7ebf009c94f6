"""Classes as sentences: ensembles, ties, errors."""

import numpy as np
import pytest

from jaxssl import evals
from jaxssl.errors import InputError

WORDS = {"cat": (3.0, 0.0), "kitten": (0.0, 1.0), "dog": (-2.0, 0.0)}


def encode(sentences):
  """One known vector a word, of different lengths."""
  return np.array([WORDS[s] for s in sentences], np.float32)


def test_prompts_fill_every_template():
  found = evals.prompts(["dog", "cat {}"], ["a {}.", "{}"])
  assert found == [["a dog.", "dog"], ["a cat {}.", "cat {}"]]


def test_an_ensemble_is_the_mean_of_unit_vectors_made_unit():
  found = evals.class_vectors(encode, [["cat", "kitten"], ["dog"]])
  half = np.sqrt(0.5)
  np.testing.assert_allclose(found, [[half, half], [-1.0, 0.0]], rtol=1e-6)


def test_accuracy_is_of_the_nearest_class_by_cosine():
  classes = evals.class_vectors(encode, [["cat"], ["kitten"], ["dog"]])
  images = np.array([[9.0, 1.0], [0.1, 0.2], [-1.0, 0.5], [1.0, 5.0]], np.float32)
  np.testing.assert_array_equal(evals.zero_shot(images, classes), [0, 1, 2, 1])
  assert evals.zero_shot_accuracy(images, np.array([0, 1, 2, 0]), classes) == 75.0


def test_a_mixture_is_a_class_by_all_of_its_sentences():
  images = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
  near = np.array([[1.0, 0.1], [1.0, -0.1]], np.float32)  # two kinds of one class
  sentences = [near, np.array([[1.0, 0.05]], np.float32)]  # the nearest, alone
  labels = np.array([0, 1])
  accuracy = lambda scale: evals.mixture_accuracy(
    images[:1], labels[:1], sentences, scale=scale
  )
  assert accuracy(1.0) == 100.0
  assert accuracy(1e4) == 0.0
  kinds = [np.eye(2, dtype=np.float32), np.array([[-1.0, 0.0]], np.float32)]
  assert evals.mixture_accuracy(images, np.array([0, 1]), kinds, scale=3.0) == 50.0


def test_centred_vectors_lose_what_all_have_in_common():
  vectors = np.array([[1.0, 0.2], [1.0, -0.2]], np.float32)
  found = evals.centred(7.0 * vectors, vectors)
  np.testing.assert_allclose(found, [[0.0, 1.0], [0.0, -1.0]], atol=1e-6)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: evals.prompts([], ["{}"]), "at least one class"),
    (lambda: evals.prompts(["cat"], ["a photo"]), "{}"),
    (lambda: evals.class_vectors(encode, [["cat"], []]), "at least one sentence"),
    (lambda: evals.zero_shot(np.ones((2, 3)), np.ones((2, 2))), "one dim"),
    (lambda: evals.zero_shot(np.full((2, 2), np.nan), np.ones((2, 2))), "finite"),
    (
      lambda: evals.zero_shot_accuracy(np.ones((2, 2)), np.array([0]), np.ones((2, 2))),
      "one label each",
    ),
    (
      lambda: evals.zero_shot_accuracy(np.ones((1, 2)), np.array([2]), np.ones((2, 2))),
      "labels are 0 to 1",
    ),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(InputError, match=message):
    call()
