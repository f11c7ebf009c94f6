"""Makes one .npz of Imagenette, ready for `--data`, from files of packed JPEGs.

  python benchmarks/prepare_imagenette.py FOLDER --out DIR [--size 160]

FOLDER holds train_0.npz, train_1.npz, ... (all training images, in that order) and one
val*.npz (images for validation, all or some), each with the arrays

  bytes        uint8 [n], all JPEG files one after the other
  offsets      int64 [images + 1], where each file starts; the last is n
  label        integers from 0, [images]
  class_names  (optional) names by label

The result is DIR/imagenette.npz with `x`, `y`, `x_test`, `y_test` (uint8 images
[n, size, size, 3], int32 labels) and `classes`, uncompressed: 0.9 GB for 9,469 and
1,959 images of 160 pixels. Images are scaled until the shorter side fits, by a bicubic
filter, and cropped at the centre.
"""

import argparse
import functools
import io
import itertools
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxssl.data import decode_image

KEYS = ("bytes", "offsets", "label")


def unpack(path: pathlib.Path, *, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Decodes one packed file: uint8 [images, size, size, 3] and int32 [images]."""
  with np.load(path) as packed:
    data, offsets, labels = (packed[key] for key in KEYS)
  files = [data[a:b].tobytes() for a, b in itertools.pairwise(offsets)]
  decode = functools.partial(decode_image, size=size)
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    images = list(pool.map(decode, map(io.BytesIO, files)))
  return np.stack(images), labels.astype(np.int32)


def unpack_all(
  paths: list[pathlib.Path], *, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Decodes several packed files, one after the other."""
  parts = [unpack(path, size=size) for path in paths]
  images, labels = zip(*parts, strict=True)
  return np.concatenate(images), np.concatenate(labels)


def class_names(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The array `classes`, if a packed file has the names."""
  with np.load(path) as packed:
    return {"classes": packed["class_names"]} if "class_names" in packed else {}


def main() -> None:
  """Decodes all images and writes the file."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("folder", type=pathlib.Path, help="holds the packed files")
  parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write")
  parser.add_argument("--size", type=int, default=160, help="side in pixels")
  options = parser.parse_args()
  train = sorted(options.folder.glob("train_*.npz"))
  test = sorted(options.folder.glob("val*.npz"))
  if not train or len(test) != 1:
    parser.error(f"{options.folder} must hold train_0.npz, ... and one val*.npz")
  x, y = unpack_all(train, size=options.size)
  x_test, y_test = unpack(test[0], size=options.size)
  options.out.mkdir(parents=True, exist_ok=True)
  path = options.out / "imagenette.npz"
  np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test, **class_names(test[0]))
  print(f"{path}: {len(x)} training and {len(x_test)} test images, {x.shape[1:]}")


if __name__ == "__main__":
  main()
