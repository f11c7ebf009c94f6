"""Where examples come from, and which ones each step sees."""

from jaxssl.data.folders import decode_image, image_folder
from jaxssl.data.loader import gather, open_data, prefetch, resident, take
from jaxssl.data.sampler import (
  host_rows,
  in_order,
  index_block,
  indices,
  steps_per_epoch,
)
from jaxssl.data.sources import (
  RESIDENT_BYTES,
  ArraySource,
  DataSet,
  LazySource,
  Source,
  check_images,
  digits,
  npz,
  skipped_message,
)
from jaxssl.data.tfds import tfds_images

__all__ = [
  "RESIDENT_BYTES",
  "ArraySource",
  "DataSet",
  "LazySource",
  "Source",
  "check_images",
  "decode_image",
  "digits",
  "gather",
  "host_rows",
  "image_folder",
  "in_order",
  "index_block",
  "indices",
  "npz",
  "open_data",
  "prefetch",
  "resident",
  "skipped_message",
  "steps_per_epoch",
  "take",
  "tfds_images",
]
