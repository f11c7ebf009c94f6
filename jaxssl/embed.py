"""Features of the user's own files, by the encoder of a run."""

import pathlib
from collections.abc import Callable

import jax
import numpy as np

from jaxssl import data, evals, runs, seeds
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh

BLANKS = {"label": -1, "path": ""}  # of a split that lacks what the other one has


def embed(
  run: str | pathlib.Path,
  source: str,
  out: str | pathlib.Path,
  *,
  patches: bool = False,
) -> str:
  """Writes features of a data set to an `.npz`.

  The file has `features` [n, dim] (or [n, patches, dim]), `label` where known, `path`
  where the data is a folder of images (users, where it is their items), and `split`,
  "train" or "test", where the data has both: first the one, then the other.

  Args:
    run: the run's folder.
    source: a folder of images, an .npz, the name of a data set, or what else an
      experiment takes as its data.
    out: the file to write; ".npz" is added where it lacks.
    patches: the encoder's features before pooling.

  Returns:
    A sentence that says what was written; of several seeds it is by the first.

  Raises:
    InputError: if the run or the data cannot be read, or the images do not have the
      form of those that the run was trained on, or there is no folder to write to.
  """
  out = _target(out)
  experiment, variables = runs.open_encoder(run)
  encode = runs.make_encode(experiment, data_mesh(jax.devices()[:1]))
  opened, convert = open_like(source, experiment.data)
  features = lambda x: encode(variables, convert(x), patches)
  splits = {"train": opened.train, "test": opened.test}
  parts = {n: _found(features, x) for n, x in splits.items() if x is not None}
  found = _joined(parts)
  np.savez(out, **found)
  shape = runs.example_shape(experiment.data.train)
  sizes = ", ".join(f"{len(x['features'])} {name}" for name, x in parts.items())
  split = f" ({sizes})" if len(parts) > 1 else ""
  count = len(found["features"])
  made = f"features {found['features'].shape} of {count} examples{split}"
  said = f"{out}: {made} as {shape}."
  first = seeds.of_the_first(experiment.run, "They are")
  return "\n".join(filter(None, (data.skipped_message(opened), said, first)))


def _target(out):
  path = pathlib.Path(out)
  if not path.parent.is_dir():
    raise InputError(f"There is no folder {path.parent} to write {path.name} to.")
  return path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")


def _found(features, examples):
  """What the file has of one split."""
  rows, labels = evals.extract(features, examples)
  found = {"features": rows, "label": labels}
  if examples.files:
    found["path"] = np.asarray(examples.files)
  return {name: x for name, x in found.items() if x is not None}


def _joined(parts):
  """One split after the other; where one has no labels they are -1, no paths ""."""
  if len(parts) == 1:
    return next(iter(parts.values()))
  names = set.union(*(set(x) for x in parts.values()))
  of = lambda x, n: x.get(n, np.full(len(x["features"]), BLANKS.get(n)))
  found = {n: np.concatenate([of(x, n) for x in parts.values()]) for n in sorted(names)}
  return found | {
    "split": np.repeat(list(parts), [len(x["features"]) for x in parts.values()])
  }


def open_like(source: str, trained: data.DataSet) -> tuple[data.DataSet, Callable]:
  """Opens a data set in the form of that which an encoder was trained on.

  Returns:
    The data set, and inputs -> inputs as the encoder takes them.

  Raises:
    InputError: if there is no such data, or it cannot be brought into this form.
  """
  if trained.like is not None:
    return trained.like(source), lambda x: x
  shape = runs.example_shape(trained.train)
  opened = _images_of(source, shape)
  return opened, channel_converter(runs.example_shape(opened.train), shape)


def _images_of(source, shape):
  """Opens images; folders are resized to `shape`."""
  fixed = source == "digits" or source.endswith(".npz")
  opened = data.open_data(source, size=None if fixed else shape[0])
  found = runs.example_shape(opened.train)
  if found[:-1] != shape[:-1]:
    raise InputError(
      f"The images of {source} are {found}, but this run's encoder was trained on "
      f"{shape}; resize them, or give a folder of image files."
    )
  return opened


def channel_converter(have: tuple[int, ...], want: tuple[int, ...]) -> Callable:
  """Returns a function of uint8 images that makes grey of colour, or colour of grey."""
  if have[-1] == want[-1]:
    return lambda x: x
  if want[-1] == 1:
    luma = np.asarray([0.299, 0.587, 0.114], np.float32)
    return lambda x: np.round(x @ luma)[..., None].astype(np.uint8)
  return lambda x: np.repeat(x, want[-1], axis=-1)
