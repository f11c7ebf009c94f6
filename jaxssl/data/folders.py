"""Folders of image files: found once, decoded in threads, broken files left out."""

import io
import os
import pathlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from jaxssl.data.sources import (
  RESIDENT_BYTES,
  ArraySource,
  DataSet,
  LazySource,
  Source,
  threads,
)
from jaxssl.errors import InputError, nearest

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
TEST_FOLDERS = ("test", "val", "validation")


class Listing(NamedTuple):
  """The image files below a folder, in a fixed order.

  Attributes:
    root: the folder.
    paths: image files, relative to `root`, sorted.
    classes: names of the class subfolders, sorted; empty if there are none.
  """

  root: pathlib.Path
  paths: list[str]
  classes: tuple[str, ...]


def image_folder(
  path: str | os.PathLike, *, size: int, resident_bytes: int = RESIDENT_BYTES
) -> DataSet:
  """Opens a folder of image files as a data set.

  Images are the files below `path` that end in .bmp, .jpeg, .jpg, .png or .webp. If
  all lie in subfolders, the subfolders of the first level are the classes;
  otherwise there are no labels. A subfolder `train` is the training split if it is the
  only one, or if `test`, `val` or `validation` lies beside it; the first of those there
  is is the test split.

  Every file is decoded once when the folder is opened. Those that cannot be are left
  out and named in `source.skipped`, so positions are fixed for the whole run. Images
  that fit in `resident_bytes` stay in memory; others are decoded again at each use
  (JPEG at reduced scale, where the image is more than twice as large as asked for).

  Args:
    path: the folder.
    size: side of the square that images are brought to, in pixels: scaled until the
      shorter side fits, then cropped at the centre. Always 3 channels; transparent
      pixels become white, 16-bit images 8-bit.
    resident_bytes: splits up to this size are kept in memory.

  Raises:
    InputError: if the folder does not exist, cannot be read, or has no image that
      can be decoded.
  """
  root = pathlib.Path(path).expanduser()
  check_folder(root)
  check_size(size)
  train_root, test_root = _split_folders(root)
  train = _list_images(train_root)
  test = _list_images(test_root) if test_root else None
  if test:
    _check_classes(train, test)
  open_split = lambda listing: _source(listing, train.classes, size, resident_bytes)
  return DataSet(
    name=root.resolve().name,
    train=open_split(train),
    test=open_split(test) if test else None,
    classes=train.classes,
  )


def decode_image(
  file: str | os.PathLike | BinaryIO, *, size: int | None, channels: int = 3
) -> np.ndarray:
  """Decodes one image file.

  Args:
    file: a path or an open file.
    size: side of the square to scale and crop to, in pixels; None keeps the size.
    channels: 1 (grey) or 3 (colour).

  Returns:
    The image, uint8 [height, width, channels].
  """
  with Image.open(file) as image:
    if size is not None:
      image.draft("RGB", (2 * size, 2 * size))
    image = _to_mode(image, "L" if channels == 1 else "RGB")
  if size is not None and image.size != (size, size):
    image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
  return np.asarray(image).reshape(image.height, image.width, channels)


def _to_mode(image, mode):
  """Converts to grey or colour; transparent pixels become white."""
  if image.mode.startswith("I"):  # 16 bits: pillow itself would clip at 255
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if "A" in image.mode or "transparency" in image.info:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  return image.convert(mode)


def check_folder(root: pathlib.Path, *, also: Iterable[str] = ()) -> None:
  """Raises an InputError unless `root` is a folder.

  Args:
    root: the path.
    also: what could be opened in its place; the nearest name is shown.
  """
  if not root.exists():
    raise InputError(f"there is no folder {root}.{nearest(str(root), also)}")
  if not root.is_dir():
    raise InputError(f"{root} is a file; give a folder of images, or an .npz file")


def check_size(size: int | None) -> None:
  """Raises an InputError unless `size` is None or a number of pixels."""
  if size is not None and size < 1:
    raise InputError(f"size is {size}; it is the side in pixels, at least 1")


def _split_folders(root):
  """Returns the folders of the training and of the test split (or None).

  `train` among other folders, none of which is a test split, is a class of that name.
  """
  folders = [p.name for p in root.iterdir() if p.is_dir() and p.name[0] != "."]
  tests = [root / name for name in TEST_FOLDERS if name in folders]
  if "train" in folders and (tests or folders == ["train"]):
    return root / "train", tests[0] if tests else None
  return root, None


def _list_images(root):
  """Finds the image files below `root`, an InputError if there are none."""
  files = sorted(_walk(root))
  paths = [f for f in files if f.lower().endswith(EXTENSIONS)]
  if not paths:
    raise InputError(
      f"no images in {root}: found {_count_extensions(files)}; images end in"
      f" {', '.join(EXTENSIONS)}"
    )
  labelled = all("/" in f for f in paths)
  classes = sorted({f.split("/")[0] for f in paths}) if labelled else []
  return Listing(root, paths, tuple(classes))


def _walk(root):
  """Yields the files below `root` as relative paths, hidden ones left out."""

  def fail(error):
    raise InputError(f"cannot read the folder {root}: {error}") from error

  for folder, subfolders, files in os.walk(root, onerror=fail, followlinks=True):
    subfolders[:] = [name for name in subfolders if not name.startswith(".")]
    for name in files:
      if not name.startswith("."):
        yield pathlib.Path(folder, name).relative_to(root).as_posix()


def _count_extensions(files):
  """Returns for instance "3 .txt, 1 .gif files", or "nothing"."""
  endings = [pathlib.PurePath(f).suffix.lower() or "(no ending)" for f in files]
  counts = {ending: endings.count(ending) for ending in sorted(set(endings))}
  found = ", ".join(f"{count} {ending}" for ending, count in counts.items())
  return f"{found} file{'s' if len(files) > 1 else ''}" if found else "nothing"


def _check_classes(train, test):
  unknown = sorted(set(test.classes) - set(train.classes))
  if train.classes and unknown:
    raise InputError(
      f"{test.root} has the classes {', '.join(unknown[:5])}, which are not in"
      f" {train.root}; allowed: {', '.join(train.classes[:20])}"
    )


def _source(listing, classes, size, resident_bytes) -> Source:
  """Decodes every file once, and keeps the images where they fit."""
  if len(listing.paths) * size * size * 3 <= resident_bytes:
    return _resident(listing, classes, size)
  reasons = _try_all(lambda i: _check_file(listing.root / listing.paths[i]), listing)
  keep, skipped = _readable(listing, reasons)
  paths = [listing.root / listing.paths[i] for i in keep]
  labels = _labels(listing, classes, keep)

  def read(indices):
    images = [_decode_again(paths[i], size) for i in indices]
    return _batch(np.stack(images), labels[indices])

  files = tuple(listing.paths[i] for i in keep)
  return LazySource(read, len(paths), skipped, files)


def _resident(listing, classes, size):
  images = np.empty((len(listing.paths), size, size, 3), np.uint8)

  def fill(i):
    images[i] = decode_image(listing.root / listing.paths[i], size=size)

  keep, skipped = _readable(listing, _try_all(fill, listing))
  kept = images[keep] if skipped else images
  files = tuple(listing.paths[i] for i in keep)
  return ArraySource(_batch(kept, _labels(listing, classes, keep)), skipped, files)


def _try_all(visit: Callable[[int], None], listing: Listing) -> Iterable[str | None]:
  """Calls `visit` for each file, in threads; returns why it failed, or None."""

  def attempt(i):
    try:
      visit(i)
    except Exception as error:  # pillow raises a dozen types for broken files
      return " ".join(str(error).split()) or type(error).__name__
    return None

  with ThreadPoolExecutor(threads()) as pool:
    return list(pool.map(attempt, range(len(listing.paths))))


def _check_file(path):
  """Decodes the file at the smallest scale there is, and forgets it."""
  with Image.open(path) as image:
    image.draft("RGB", (1, 1))
    image.load()


def _readable(listing, reasons):
  """Returns the positions of the files without a reason, and the others' lines."""
  keep = np.asarray([i for i, reason in enumerate(reasons) if reason is None], np.int64)
  pairs = zip(listing.paths, reasons, strict=True)
  skipped = tuple(f"{path}: {reason}" for path, reason in pairs if reason)
  if not len(keep):
    raise InputError(
      f"none of the {len(listing.paths)} images in {listing.root} can be read;"
      f" the first: {skipped[0]}"
    )
  return keep, skipped


def _labels(listing, classes, keep):
  """Returns class numbers, int32 [n]; -1 where the files have no classes."""
  number = {name: i for i, name in enumerate(classes if listing.classes else ())}
  labels = [number.get(listing.paths[i].split("/")[0], -1) for i in keep]
  return np.asarray(labels, np.int32)


def _batch(images, labels):
  """Returns the batch dict, without `label` where the images have no classes."""
  labelled = {"label": labels} if labels.size and labels[0] >= 0 else {}
  return {"input": images} | labelled


def _decode_again(path, size):
  """Decodes a file that was readable when the folder was opened."""
  try:
    return decode_image(path, size=size)
  except Exception as error:
    raise InputError(
      f"{path} could be read when the folder was opened and cannot be any more: {error}"
    ) from error


def decode_bytes(data: bytes, *, size: int | None, channels: int) -> np.ndarray:
  """Decodes an image file that is in memory; see `decode_image`."""
  return decode_image(io.BytesIO(data), size=size, channels=channels)
