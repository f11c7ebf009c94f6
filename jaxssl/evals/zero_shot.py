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
  if not sentences or not all(len(of) for of in sentences):
    raise InputError("every class needs at least one sentence")
  whole = _unit(np.asarray(encode_text([s for of in sentences for s in of])))
  starts = np.cumsum([0, *map(len, sentences)])
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
  if np.ndim(images) != 2 or images.shape[1:] != classes.shape[1:]:
    raise InputError(
      f"images are {np.shape(images)} and classes {np.shape(classes)}; both are "
      "[n, dim] with one dim"
    )
  return np.argmax(_unit(np.asarray(images)) @ classes.T, axis=1).astype(np.int32)


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
  found = zero_shot(images, classes)
  if np.shape(labels) != found.shape or not len(found):
    raise InputError(
      f"{len(found)} images and labels {np.shape(labels)}; pass one label each"
    )
  if labels.min() < 0 or labels.max() >= len(classes):
    raise InputError(f"labels are 0 to {len(classes) - 1}, one for each class")
  return 100.0 * float((found == labels).mean())


def _unit(vectors):
  vectors = vectors.astype(np.float32)
  if not np.isfinite(vectors).all():
    raise InputError("there are vectors that are not finite")
  lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return vectors / np.maximum(lengths, 1e-12)
