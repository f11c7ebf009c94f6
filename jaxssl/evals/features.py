"""Frozen features of a whole data set, and the checks that every protocol makes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.sources import Parts
from jaxssl.errors import InputError

PyTree = Any
Encode = Callable[..., jax.Array]  # of `Parts`: called with patches=True as second


def extract(
  encode: Encode, source: Any, *, batch: int = 512
) -> tuple[np.ndarray, np.ndarray | None]:
  """Encodes every example of `source`, in order and without augmentation.

  The last batch is padded to the shape of the others, so `encode` compiles once.

  Args:
    encode: inputs [batch, ...] -> features [batch, dim], jitted by the caller.
    source: a data source (`len(source)`, `source[indices]` -> {"input", "label"}),
      a dict of such arrays, one array of inputs, rows first, or `Parts` of examples.
    batch: examples a call.

  Returns:
    Features, float32 [n, dim] (or [n, patches, dim]), and labels, int32 [n], or None
    without labels.

  Raises:
    InputError: if there is nothing to encode, or features have no dimension.
  """
  if isinstance(source, Parts):
    known = None if source.label is None else source.label.astype(np.int32)
    return _extract_parts(encode, source, batch), known
  features, labels = [], []
  for start in range(0, _rows(source), batch):
    indices = np.arange(start, min(start + batch, _rows(source)))
    rows = _take(source, indices)
    padded = jax.tree.map(lambda x: _pad(np.asarray(x), batch), rows["input"])
    features.append(_checked(encode(padded))[: len(indices)])
    labels.append(rows.get("label"))
  labels = None if labels[0] is None else np.concatenate(labels).astype(np.int32)
  return np.concatenate(features), labels


def _extract_parts(encode, source, batch):
  """Features of the parts of examples, [n, dim]."""
  rows, where = np.unique(source.row, return_inverse=True)
  taken = source.whole[rows]
  whole, _ = extract(lambda x: encode(x, True), taken, batch=min(batch, len(rows)))
  return whole[where, source.part]


def check_labelled(features: np.ndarray, labels: np.ndarray, *, classes: int) -> None:
  """Raises InputError unless finite [n, dim] features go with labels in [0, classes).

  Args:
    features: [n, dim], n at least 1.
    labels: integers, [n].
    classes: the number of classes.
  """
  if np.ndim(features) != 2 or np.shape(labels) != np.shape(features)[:1]:
    raise InputError(
      "features must be [n, dim] and labels [n]; got shapes "
      f"{np.shape(features)} and {np.shape(labels)}."
    )
  if not len(labels):
    raise InputError("there are no labelled examples; at least 1 is needed.")
  if not np.isfinite(features).all():
    raise InputError("the features hold NaN or infinity; the encoder has diverged.")
  low, high = np.min(labels), np.max(labels)
  if low < 0 or high >= classes:
    raise InputError(
      f"labels must be 0 to {classes - 1}; they run from {low} to {high}."
    )


def _rows(source: Any) -> int:
  if isinstance(source, Mapping) and "input" not in source:
    raise InputError(f"a dict of arrays needs 'input'; it has {sorted(source)}.")
  rows = len(jax.tree.leaves(source)[0] if isinstance(source, Mapping) else source)
  if not rows:
    raise InputError("the data is empty; at least 1 example is needed.")
  return rows


def _take(source: Any, indices: np.ndarray) -> Mapping[str, PyTree]:
  if isinstance(source, np.ndarray | jax.Array):
    return {"input": source[indices]}
  if isinstance(source, Mapping):
    return jax.tree.map(lambda x: x[indices], dict(source))
  return source[indices]


def _pad(x: np.ndarray, rows: int) -> np.ndarray:
  return np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])


def _checked(features: jax.Array) -> np.ndarray:
  if features.ndim < 2:
    raise InputError(
      f"encode must return [batch, dim] or [batch, patches, dim]; it gave "
      f"{features.shape}."
    )
  return np.asarray(features.astype(jnp.float32))
