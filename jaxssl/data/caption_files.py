"""Captioned images as they are read: scikit-learn's digits, folders, .npz files."""

import itertools
import json
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np

from jaxssl.data import folders, loader, sources
from jaxssl.data.table_files import read_rows
from jaxssl.errors import InputError, nearest

TABLES = ("captions.csv", "captions.tsv", "captions.jsonl")
SPLITS = ("train", "test")
CAPTION_KEYS = ("caption", "captions", "text")
LABEL_KEYS = ("label", "labels", "group", "y")
CLASS_KEYS = ("label_names", "group_names", *sources.CLASS_KEYS)
HINTED = 5  # missing files, for which the nearest of those there are is looked for
MOST_COMPARED = 10_000  # files; among more it would take long
NUMBERS = (
  *("zero", "one", "two", "three", "four"),
  *("five", "six", "seven", "eight", "nine"),
)
TEMPLATES = (
  "{}",
  "the number {}",
  "a handwritten {}",
  "a small picture of the digit {}",
)


class Pairs(NamedTuple):
  """Images with what is said of them.

  Attributes:
    images: uint8 [n, height, width, channels].
    captions: one or more of each image, the first the one that it is known by.
    label: int32 [n], or None.
    names: of the images, for messages: files, or "image 3".
    skipped: what was left out, "name: reason" each.
  """

  images: np.ndarray
  captions: list[tuple[str, ...]]
  label: np.ndarray | None
  names: tuple[str, ...]
  skipped: tuple[str, ...] = ()


class Splits(NamedTuple):
  """A captioned data set before its captions become tokens.

  Attributes:
    name: for logs and reports.
    train: the pairs to train on.
    test: held-out pairs, or None.
    classes: class names by label; empty where there are no labels.
  """

  name: str
  train: Pairs
  test: Pairs | None
  classes: tuple[str, ...]


def digits_captions() -> Splits:
  """Returns scikit-learn's digits, each with the same four sentences of its number."""
  data = sources.digits()

  def pairs(source):
    images, label = source.data["input"], source.data["label"]
    captions = [tuple(t.format(NUMBERS[i]) for t in TEMPLATES) for i in label]
    return Pairs(images, captions, label, _numbered(len(label)))

  return Splits("digits_captions", pairs(data.train), pairs(data.test), data.classes)


def captioned_folder(path: str | os.PathLike, *, size: int) -> Splits:
  """Reads a folder of images with a table of captions.

  The table is `captions.csv`, `captions.tsv` or `captions.jsonl` in the folder, UTF-8.
  Cells are separated by tabs in .tsv, in .csv by commas, tabs or semicolons, what the
  first line has most of. Columns (or keys) are `file`, relative to the folder, and
  `caption`; an image may have several rows, or in .jsonl a list of captions, null for
  none. If there are `split` ("train" or "test") and `label` (a name), they are used.
  Images without a caption, rows without an image and images that can't be decoded are
  left out and named in `skipped`; so are the labels of all where some images have none.

  Args:
    path: the folder.
    size: side of the square that images are brought to, in pixels; see `image_folder`.

  Raises:
    InputError: without folder, table or images; a table that can't be read, or has
      ragged rows; nothing left to train on.
  """
  root = pathlib.Path(path).expanduser()
  folders.check_folder(root)
  folders.check_size(size)
  rows = _by_file(_table(root))
  listed = folders._list_images(root).paths
  there = set(listed)
  skipped = _absent([f for f in rows if f not in there], listed)
  skipped += [f"{f}: no caption" for f in listed if f not in rows]
  images, kept = [], []
  for file in (f for f in listed if f in rows):
    try:
      images.append(folders.decode_image(root / file, size=size))
      kept.append(file)
    except Exception as error:  # pillow raises a dozen types for broken files
      skipped.append(f"{file}: {error}")
  if not kept:
    raise InputError(_nothing(root, skipped))
  return _folder_splits(root, np.stack(images), kept, rows, tuple(skipped))


def _absent(files, listed):
  """A line on each file that isn't there; on the first ones with the nearest name."""
  hinted = HINTED if len(listed) <= MOST_COMPARED else 0
  hints = [nearest(file, listed) for file in files[:hinted]]
  more = [""] * (len(files) - len(hints))
  pairs = zip(files, hints + more, strict=True)
  return [
    f"{file}: there is no such image{hint and '.' + hint}" for file, hint in pairs
  ]


def uncaptioned(spec: str, *, size: int) -> Splits:
  """Reads images as `open_data` does, each with an empty caption.

  Args:
    spec: a folder of images, an .npz, "digits" or a name of tensorflow-datasets.
    size: side of the images, in pixels.

  Raises:
    InputError: if there is no such data, or images that are arrays have another size.
  """
  fixed = spec == "digits" or spec.endswith(".npz")
  data = loader.open_data(spec, size=None if fixed else size)
  split = lambda source: None if source is None else _uncaptioned(source, size)
  return Splits(data.name, split(data.train), split(data.test), data.classes)


def has_captions(spec: str) -> bool:
  """Returns whether `spec` is an .npz or a folder with captions in it."""
  path = pathlib.Path(spec).expanduser()
  if path.is_dir():
    return any((path / name).is_file() for name in TABLES)
  if not path.is_file() or not zipfile.is_zipfile(path):
    return False
  with np.load(path) as archive:
    return any(key in archive.files for key in CAPTION_KEYS)


def captioned_npz(path: str | os.PathLike, *, size: int | None = None) -> Splits:
  """Reads captioned images that were saved with `numpy.savez`.

  Keys: images under `images`, `x`, `image`, `input` or `x_train`, or as encoded files
  one after the other under `bytes` (uint8) with their bounds under `offsets` [n + 1];
  `caption` [n], strings. If there are: `keywords` [n], further captions separated by
  "|", also joined into one with the caption; `label` or `group`, integers [n], named by
  `label_names`, `group_names` or `class_names`; `split` [n], "train" or "test".

  Args:
    path: the .npz file.
    size: side that encoded images are brought to, in pixels, None: their own; images
      that are arrays must have it.

  Raises:
    InputError: if the file, its keys, or an array in it is not as said here.
  """
  path = pathlib.Path(path).expanduser()
  with sources._open_npz(path) as archive:
    found = {key: sources._read(archive, key, path) for key in archive.files}
  images, broken = _npz_images(found, path, size)
  captions = _npz_captions(found, path, len(images))
  pairs = zip(broken, captions, strict=True)
  reasons = [why or ("" if c else "no caption") for why, c in pairs]
  names = _numbered(len(images))
  keep = np.array([not why for why in reasons])
  pairs = zip(names, reasons, strict=True)
  skipped = tuple(f"{name}: {why}" for name, why in pairs if why)
  if not keep.any():
    raise InputError(_nothing(path, skipped))
  label, classes = _npz_labels(found, path, len(images))
  split = _npz_split(found, path, len(images))
  train, test = (
    _selected(images, captions, label, names, keep & (split == s)) for s in SPLITS
  )
  return _splits(path.stem, train, test, classes, skipped)


def _numbered(count):
  return tuple(f"image {i}" for i in range(count))


def _nothing(where, skipped):
  first = f"; the first: {skipped[0]}" if skipped else ""
  return f"{where} has no image with a caption{first}"


def _splits(name, train, test, classes, skipped):
  """Puts splits together; what was skipped is said once, of the training split."""
  if train is None:
    raise InputError(f"{name} has no training images; all of them have split 'test'")
  return Splits(name, train._replace(skipped=skipped), test, classes)


def _selected(images, captions, label, names, mask):
  """The pairs where `mask` is True, or None."""
  if not mask.any():
    return None
  where = np.flatnonzero(mask)
  return Pairs(
    images[where],
    [captions[i] for i in where],
    None if label is None else label[where],
    tuple(names[i] for i in where),
  )


def _uncaptioned(source, size):
  arrays, names = source.arrays(), source.files or _numbered(len(source))
  images = arrays["input"]
  if images.shape[1:3] != (size, size):
    raise InputError(
      f"the images are {images.shape[1]}x{images.shape[2]}, not {size}x{size}; resize "
      "them, or give a folder of image files"
    )
  captions = [("",)] * len(source)
  return Pairs(images, captions, arrays.get("label"), names, source.skipped)


# Folders.


def _table(root):
  """The rows of the folder's table, each a dict of strings with file and caption."""
  path = next((root / n for n in TABLES if (root / n).is_file()), None)
  if path is None:
    raise InputError(
      f"{root} has no table of captions; expected one of {', '.join(TABLES)} with the "
      "columns file and caption"
    )
  try:
    text = path.read_text(encoding="utf-8-sig")
  except UnicodeDecodeError as error:
    raise InputError(f"{path} is not UTF-8: {error}") from error
  rows = _json_rows(path, text) if path.suffix == ".jsonl" else _csv_rows(path, text)
  if not rows:
    raise InputError(f"{path} has no rows")
  return rows


def _csv_rows(path, text):
  lines = read_rows(text, path, delimiter="\t" if path.suffix == ".tsv" else "")
  header = [name.strip().lower() for name in lines[0][1]] if lines else []
  _check_columns(path, "its first line", header)
  return [_csv_row(header, cells, path, number) for number, cells in lines[1:]]


def _csv_row(header, cells, path, number):
  if len(cells) != len(header):
    raise InputError(
      f"{path}, line {number}: not one value for each of the {len(header)} columns; "
      "put captions that hold a separator in double quotes"
    )
  return dict(zip(header, cells, strict=True))


def _json_rows(path, text):
  rows = []
  for number, line in enumerate(text.split("\n"), 1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except json.JSONDecodeError as error:
      raise InputError(f"{path}, line {number}: no JSON: {error}") from error
    _check_columns(path, f"line {number}", row if isinstance(row, dict) else ())
    captions = _json_captions(row["caption"], f"{path}, line {number}")
    plain = {name: "" if value is None else str(value) for name, value in row.items()}
    rows += [plain | {"caption": caption} for caption in captions]
  return rows


def _json_captions(value, where):
  """The captions of a line of JSON: one string, several, or none."""
  captions = value if isinstance(value, list) else ["" if value is None else value]
  if wrong := [c for c in captions if not isinstance(c, str)]:
    raise InputError(
      f"{where}: caption holds {json.dumps(wrong[0])}; it is a string, a list of "
      "strings, or null"
    )
  return captions or [""]


def _check_columns(path, where, columns):
  missing = [name for name in ("file", "caption") if name not in columns]
  if missing:
    raise InputError(
      f"{path}: {where} has no {' and no '.join(missing)}; it has "
      f"{', '.join(columns) or 'nothing'}.{nearest(missing[0], columns)}"
    )


def _by_file(rows):
  """file -> its rows that have a caption, in order."""
  found = {}
  for row in rows:
    if row["caption"].strip():
      file = pathlib.PurePath(row["file"].strip()).as_posix()
      found.setdefault(file, []).append(row)
  return found


def _label(rows):
  """The first label that the rows of an image give, or ""."""
  return next((x for row in rows if (x := (row.get("label") or "").strip())), "")


def _folder_splits(root, images, files, rows, skipped):
  first = [rows[f][0] for f in files]
  captions = [tuple(r["caption"].strip() for r in rows[f]) for f in files]
  split = np.array([row.get("split") or "train" for row in first])
  _check_split(split, root)
  given = [_label(rows[f]) for f in files]
  if (missing := given.count("")) and any(given):
    line = f"{missing} of {len(given)} images have none"
    skipped += (sources.Left(line, what="label", count=len(given) - missing),)
  classes = () if missing else tuple(sorted(set(given)))
  label = np.array([classes.index(g) for g in given], np.int32) if classes else None
  parts = (_selected(images, captions, label, files, split == name) for name in SPLITS)
  return _splits(root.resolve().name, *parts, classes, skipped)


def _check_split(split, where):
  if unknown := sorted(set(split.tolist()) - set(SPLITS)):
    raise InputError(f"{where}: split is {unknown[0]!r}; it can be: train, test")


# .npz files.


def _npz_images(found, path, size):
  """Images and why each is broken, "" for those that aren't."""
  if "bytes" in found and "offsets" in found:
    return _unpacked(found, path, size)
  key = _first(found, sources.IMAGE_KEYS)
  if key is None:
    raise InputError(sources._no_images(path, list(found)))
  images = sources._images(found[key], f"'{key}' of {path}")
  if size is not None and images.shape[1:3] != (size, size):
    raise InputError(
      f"the images of {path} are {images.shape[1]}x{images.shape[2]}, not "
      f"{size}x{size}; pass the size that they have"
    )
  return images, [""] * len(images)


def _first(found, keys):
  return next((key for key in keys if key in found), None)


def _unpacked(found, path, size):
  data, bounds = found["bytes"].tobytes(), found["offsets"]
  if bounds.ndim != 1 or bounds[-1] > len(data) or (np.diff(bounds) < 0).any():
    raise InputError(
      f"'offsets' of {path} are no bounds of its {len(data)} bytes; they start at 0, "
      "rise, and are one more than the images"
    )
  made, reasons = [], []
  for start, end in itertools.pairwise(bounds):
    try:
      image = folders.decode_bytes(data[start:end], size=size, channels=3)
      made.append(image)
      reasons.append("")
    except Exception as error:  # pillow raises a dozen types for broken files
      made.append(None)
      reasons.append(" ".join(str(error).split()) or type(error).__name__)
  return _stacked(made, path), reasons


def _stacked(made, path):
  """Images as one array, black where there is none."""
  shapes = {image.shape for image in made if image is not None}
  if len(shapes) != 1:
    said = f"are of {len(shapes)} sizes; pass `size`" if shapes else "can't be read"
    raise InputError(f"the images of {path} {said}")
  blank = np.zeros(shapes.pop(), np.uint8)
  return np.stack([blank if image is None else image for image in made])


def _npz_captions(found, path, count):
  """The captions of each image, none where there is only white space."""
  key = _first(found, CAPTION_KEYS)
  if key is None:
    raise InputError(
      f"{path} has the keys {', '.join(found)}; captions are looked for under "
      f"{', '.join(CAPTION_KEYS)}"
    )
  own = _strings(found[key], key, path, count)
  if "keywords" not in found:
    return [(c,) if c else () for c in own]
  listed = _strings(found["keywords"], "keywords", path, count)
  return [_with_keywords(c, k) if c else () for c, k in zip(own, listed, strict=True)]


def _with_keywords(caption, keywords):
  words = [k.strip() for k in keywords.split("|") if k.strip()]
  return (caption, *words, ", ".join([caption, *words])) if words else (caption,)


def _strings(values, key, path, count):
  if values.shape != (count,) or values.dtype.kind != "U":
    raise InputError(
      f"'{key}' of {path} is {values.dtype} {values.shape}, but there are {count} "
      f"images; it is one string per image, shape ({count},)"
    )
  return [str(v).strip() for v in values]


def _npz_labels(found, path, count):
  key = _first(found, LABEL_KEYS)
  if key is None:
    return None, ()
  label = sources._labels(found[key], count, f"'{key}' of {path}")
  names = _first(found, CLASS_KEYS)
  given = () if names is None else found[names].ravel()
  whole = sources.ArraySource({"input": label, "label": label})
  return label, sources._class_names(given, whole, None, path)


def _npz_split(found, path, count):
  if "split" not in found:
    return np.full(count, "train")
  split = np.array(_strings(found["split"], "split", path, count))
  _check_split(split, path)
  return split
