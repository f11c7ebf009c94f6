"""Zero-shot classification: classes are sentences, and no label is used."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from jaxssl.errors import InputError

TEMPLATES = ("a photo of a {}.",)


def prompts(
  classes: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> list[list[str]]:
  """Returns the sentences of each class: its name in every template.

  Args:
    classes: names, as a sentence would have them.
    templates: sentences with one {}; several make an ensemble.

  Raises:
    InputError: without classes or templates, or if a template has no {}.
  """
  if not classes or not templates:
    raise InputError("pass at least one class and one template")
  if wrong := [t for t in templates if t.count("{}") != 1]:
    raise InputError(f"the template {wrong[0]!r} needs one {{}} for the class's name")
  return [[t.replace("{}", name) for t in templates] for name in classes]


def class_vectors(
  encode_text: Callable[[list[str]], np.ndarray], sentences: Sequence[Sequence[str]]
) -> np.ndarray:
  """The vector of each class: the mean of its sentences' unit vectors, of length 1.

  Radford et al., arXiv 2103.00020, section 3.1.4.

  Args:
    encode_text: sentences -> vectors [n, dim] of any length.
    sentences: one or more of each class.

  Returns:
    float32 [classes, dim].

  Raises:
    InputError: if a class has no sentence, or vectors are not finite.
  """
  starts = _starts(sentences)
  whole = _unit(np.asarray(encode_text([s for of in sentences for s in of])))
  means = [whole[a:b].mean(axis=0) for a, b in itertools.pairwise(starts)]
  return _unit(np.stack(means))


def zero_shot(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
  """Returns the class nearest to each image by cosine, int32 [n].

  Args:
    images: vectors [n, dim].
    classes: what `class_vectors` returned, [classes, dim].

  Raises:
    InputError: if the dims differ, or vectors are not finite.
  """
  return np.argmax(_cosines(images, classes), axis=1).astype(np.int32)


def _cosines(images, classes):
  if np.ndim(images) != 2 or images.shape[1:] != classes.shape[1:]:
    raise InputError(
      f"images are {np.shape(images)} and classes {np.shape(classes)}; both are "
      "[n, dim] with one dim"
    )
  return _unit(np.asarray(images)) @ _unit(np.asarray(classes)).T


def zero_shot_accuracy(
  images: np.ndarray, labels: np.ndarray, classes: np.ndarray
) -> float:
  """Returns how many images are nearest to their own class, in percent.

  Args:
    images: vectors [n, dim].
    labels: int [n].
    classes: what `class_vectors` returned, [classes, dim].

  Raises:
    InputError: as `zero_shot`; if there isn't one label in range for each image.
  """
  return _share_right(zero_shot(images, classes), labels, len(classes))


def _share_right(found, labels, classes):
  if np.shape(labels) != found.shape or not len(found):
    raise InputError(
      f"{len(found)} images and labels {np.shape(labels)}; pass one label each"
    )
  if labels.min() < 0 or labels.max() >= classes:
    raise InputError(f"labels are 0 to {classes - 1}, one for each class")
  return 100.0 * float((found == labels).mean())


def mixture_accuracy(
  images: np.ndarray,
  labels: np.ndarray,
  sentences: Sequence[np.ndarray],
  *,
  scale: float,
) -> float:
  """Returns how many images are told right by all sentences of a class, in percent.

  A class is as probable as its sentences together, by a softmax over the sentences of
  all classes. For classes of many kinds of things, of which the mean is like none.

  Args:
    images: vectors [n, dim].
    labels: int [n].
    sentences: the vectors of each class's sentences, [of that class, dim].
    scale: of the cosines: 1 / temperature, as the model has learned it.

  Raises:
    InputError: as `zero_shot_accuracy`; if a class has no sentence.
  """
  starts = _starts(sentences)[:-1]
  cosines = _cosines(images, np.concatenate(sentences))
  weights = np.exp(scale * (cosines - cosines.max(axis=1, keepdims=True)))
  found = np.argmax(np.add.reduceat(weights, starts, axis=1), axis=1)
  return _share_right(found, labels, len(sentences))


def centred(vectors: np.ndarray, around: np.ndarray) -> np.ndarray:
  """Returns vectors about the mean of others, all of length 1 before and after.

  Images and texts lie in cones of their own (Liang et al., arXiv 2203.02053), which
  hides what they have in common. The means need examples of each, not pairs or labels.

  Args:
    vectors: [n, dim].
    around: [m, dim], such as the vectors of the training images.
  """
  return _unit(_unit(np.asarray(vectors)) - _unit(np.asarray(around)).mean(axis=0))


def _starts(sentences):
  """Where each class's sentences begin, and the end of the last."""
  if not sentences or not all(len(of) for of in sentences):
    raise InputError("every class needs at least one sentence")
  return np.cumsum([0, *map(len, sentences)])


def _unit(vectors):
  vectors = vectors.astype(np.float32)
  if not np.isfinite(vectors).all():
    raise InputError("there are vectors that are not finite")
  lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return vectors / np.maximum(lengths, 1e-12)
