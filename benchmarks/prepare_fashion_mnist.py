"""Prepares Fashion-MNIST for tensorflow-datasets, without TensorFlow and network.

  python benchmarks/prepare_fashion_mnist.py FOLDER [--data-dir DIR]

FOLDER holds the four files of https://github.com/zalandoresearch/fashion-mnist
(train-images-idx3-ubyte.gz and so on). The result is `fashion_mnist/3.0.1` in DIR
in the array_record format, which `jaxssl.data.tfds_images("fashion_mnist")` and
`tfds.data_source("fashion_mnist", download=False)` read. The stock builder makes
the same data set, but it needs TensorFlow to unpack the files and to encode the
images as PNG; here gzip and pillow do that. Takes about ten seconds and 41 MiB.
"""

import argparse
import gzip
import io
import logging
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.image_classification import mnist

PREFIX = {"train": "train", "test": "t10k"}
FILES = ("{}-images-idx3-ubyte.gz", "{}-labels-idx1-ubyte.gz")


def read_idx(path, *, header):
  """Returns the bytes after the header of a gzipped idx file, uint8 [n]."""
  return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def examples(folder, prefix):
  """Yields `(position, {"image": PNG bytes, "label": int})` of one split."""
  images, labels = (folder / name.format(prefix) for name in FILES)
  pixels = read_idx(images, header=16).reshape(-1, 28, 28)
  for i, (image, label) in enumerate(
    zip(pixels, read_idx(labels, header=8), strict=True)
  ):
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    yield i, {"image": png.getvalue(), "label": int(label)}


def offline_builder(folder, data_dir):
  """Returns tfds's own Fashion-MNIST builder, made to read the files in `folder`."""
  with registered.skip_registration():

    class FashionMNIST(mnist.FashionMNIST):
      def _split_generators(self, dl_manager):
        del dl_manager
        return {split: examples(folder, prefix) for split, prefix in PREFIX.items()}

  return FashionMNIST(data_dir=data_dir, file_format="array_record")


def missing_files(folder):
  """Returns the names of the four files that `folder` lacks."""
  names = [name.format(prefix) for prefix in PREFIX.values() for name in FILES]
  return [name for name in names if not (folder / name).is_file()]


def main():
  """Prepares the data set and reads its first record back."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("folder", type=pathlib.Path, help="holds the four .gz files")
  parser.add_argument("--data-dir", help="default: TFDS_DATA_DIR, or tfds's own")
  options = parser.parse_args()
  if missing := missing_files(options.folder):
    parser.error(f"{options.folder} lacks {', '.join(missing)}")
  logging.disable(logging.WARNING)  # tfds speaks of TensorFlow and OpenCV
  builder = offline_builder(options.folder, options.data_dir)
  builder.download_and_prepare()
  source = tfds.data_source(
    "fashion_mnist", split="train", data_dir=options.data_dir, download=False
  )
  print(
    f"{builder.data_dir}: {len(source)} training images, {source[0]['image'].shape}"
  )


if __name__ == "__main__":
  main()
