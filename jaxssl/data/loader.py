"""From a data set's name to batches: opened, on the device, or fetched ahead."""

import collections
import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.folders import image_folder
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import IMAGES, Kind
from jaxssl.data.sources import (
  Arrays,
  DataSet,
  Source,
  blank,
  digits,
  npz,
  reddened,
)
from jaxssl.data.tfds import tfds_images
from jaxssl.errors import InputError


def open_data(
  spec: str, *, size: int | None = None, data_dir: str | os.PathLike | None = None
) -> DataSet:
  """Opens a data set by what a user would type.

  Args:
    spec: "digits"; the path of an .npz file; the path of a folder of images; or a
      name of tensorflow-datasets, as "fashion_mnist" or "tfds:fashion_mnist" (which
      is never taken for a folder). "blank:1000x256x256x3" is black images, for plans
      and timings.
    size: side of the images in pixels. A folder needs it, and so do data sets whose
      images differ in size; digits and .npz files must already have it.
    data_dir: where tensorflow-datasets keeps its data; None for its own default.

  Raises:
    InputError: if there is no such data, with the nearest name that there is.
  """
  if spec.startswith("tfds:"):
    return tfds_images(spec.removeprefix("tfds:"), size=size, data_dir=data_dir)
  if spec.startswith("blank:"):
    return blank(spec.removeprefix("blank:"))
  if is_kept(spec):
    return read_kept(spec).data_set(IMAGES, reddened)
  if spec == "digits":
    return _of_size(digits(), size)
  if spec.endswith(".npz"):
    return _of_size(npz(spec), size)
  if _is_path(spec):
    return _open_folder(spec, size)
  return tfds_images(spec, size=size, data_dir=data_dir, also=("digits",))


def _is_path(spec):
  """Returns whether `spec` is a path: it exists, or looks like nothing else."""
  looks = spec.startswith((".", "~")) or os.path.isabs(spec) or spec.endswith(os.sep)
  return looks or pathlib.Path(spec).exists()


def _open_folder(spec, size):
  """Opens a folder of images; only its size cannot be guessed."""
  if size is None and pathlib.Path(spec).expanduser().is_dir():
    raise InputError(
      f"{spec} is a folder of images; pass `size`, the side in pixels to bring them to"
    )
  return image_folder(spec, size=size)


def _of_size(data, size):
  """Returns `data` if its images are `size` pixels square, or `size` is None."""
  height, width = data.train.arrays()["input"].shape[1:3]
  if size is not None and (height, width) != (size, size):
    raise InputError(
      f"the images of {data.name} are {height}x{width}, not {size}x{size}; pass"
      " the size that they have, or none"
    )
  return data


def resident(source: Source, kind: Kind = IMAGES) -> Arrays:
  """Returns all of a source, checked, to be put on the device once.

  Args:
    source: with `source.resident`; use `prefetch` for one without.
    kind: what its examples are.

  Returns:
    numpy arrays: `input` (of images uint8 [n, height, width, channels]), and `label`
    int32 [n] where known.

  Raises:
    InputError: if the source does not fit in memory.
  """
  arrays = source.arrays()
  kind.check(arrays["input"])
  return arrays


def take(data: Mapping[str, jax.Array], indices: jax.Array) -> dict[str, jax.Array]:
  """Gathers a batch from arrays on the device; works inside `jit`.

  Args:
    data: what `resident` returned, as jax arrays.
    indices: positions, int32 [batch].

  Returns:
    The batch: `input` and `label` at `indices`, and `index`, the positions.
  """
  rows = lambda values: jnp.take(values, indices, axis=0, mode="clip")
  return jax.tree.map(rows, dict(data)) | {"index": indices}


def gather(source: Source, indices: np.ndarray) -> Arrays:
  """Returns the batch of `source` at `indices`, with `index`, as numpy arrays."""
  return source[indices] | {"index": np.asarray(indices, np.int32)}


@contextlib.contextmanager
def prefetch(
  source: Source, index_stream: Iterable[np.ndarray], *, ahead: int
) -> Iterator[Iterator[Arrays]]:
  """Assembles batches in the background while the device computes.

  with prefetch(source, stream, ahead=2) as batches:
    for batch in batches: ...

  Args:
    source: any source.
    index_stream: positions of each batch, int32 [batch]; may be endless. It is read
      in the caller's thread, `ahead` batches in advance.
    ahead: how many batches are made before they are asked for, at least 1.

  Returns:
    A context manager that gives the batches, with `index`, in the order of the
    stream. An exception of the source is raised in place of its batch. Leaving the
    context, at any time, stops the thread.
  """
  if ahead < 1:
    raise InputError(f"ahead is {ahead}; it must be at least 1")
  with ThreadPoolExecutor(1, thread_name_prefix="jaxssl-prefetch") as pool:
    try:
      yield _batches(pool, source, index_stream, ahead)
    finally:
      pool.shutdown(cancel_futures=True)


def _batches(
  pool: Executor, source: Source, index_stream: Iterable[np.ndarray], ahead: int
) -> Iterator[Arrays]:
  pending = collections.deque()
  for indices in index_stream:
    pending.append(pool.submit(gather, source, indices))
    if len(pending) > ahead:
      yield pending.popleft().result()
  while pending:
    yield pending.popleft().result()
