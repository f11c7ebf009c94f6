"""Images with captions: the input of CLIP, SigLIP and LiT.

What can be opened, by `open_captions`:

- "digits_captions": scikit-learn's digits with sentences about their number;
- a folder of images with `captions.csv`, `captions.tsv` or `captions.jsonl`, which has
  the columns `file` and `caption`; see `caption_files.captioned_folder`;
- an .npz of images and captions; see `caption_files.captioned_npz`.
"""

import pathlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxssl.data import folders
from jaxssl.data.caption_files import (
  Pairs,
  Splits,
  captioned_folder,
  captioned_npz,
  digits_captions,
  has_captions,
  uncaptioned,
)
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import IMAGES, Kind, check_images
from jaxssl.data.sources import ArraySource, DataSet
from jaxssl.data.tokenizers import (
  END,
  FIRST,
  PAD,
  SPECIAL,
  Tokenizer,
  tokenizer_from,
  train_tokenizer,
)
from jaxssl.errors import InputError

PyTree = Any
DIGITS = "digits_captions"
LUMA = np.asarray([0.299, 0.587, 0.114], np.float32)


class Captioned(NamedTuple):
  """Images and their captions.

  Attributes:
    image: [batch, height, width, channels], uint8 or float in [0, 1].
    text: token ids, int32 [batch, captions, length], 0 where there are none. The first
      caption is the one that counts; views put another one there.
  """

  image: jax.Array
  text: jax.Array


def open_captions(
  spec: str,
  *,
  size: int | None = None,
  length: int = 40,
  vocabulary: int = 4096,
  tokenizer: str = "",
) -> DataSet:
  """Opens captioned images; see the head of this module.

  All lie in memory. A caption of more tokens than fit is left out, and an image whose
  captions are all too long is skipped and named.

  Args:
    spec: "digits_captions", or the path of a folder or an .npz file.
    size: side that images are brought to, in pixels; a folder needs it.
    length: tokens of a caption at most, the one before and the one after it included.
    vocabulary: of the tokenizer that is trained on the captions.
    tokenizer: its kind, see `tokenizers.KINDS`; empty: "characters" for
      "digits_captions", which then needs no package, else "word-pieces".

  Returns:
    The data set, of `Captioned`; its `files` has the tokenizer.

  Raises:
    InputError: if there is no such data, it isn't as its reader says, or no caption
      fits.
  """
  if is_kept(spec):
    return _kept(read_kept(spec), length)
  splits = _read(spec, size)
  kind = tokenizer or ("characters" if spec == DIGITS else "word-pieces")
  texts = [caption for captions in splits.train.captions for caption in captions]
  made = train_tokenizer(kind, texts, vocabulary=vocabulary)
  return tokenized(splits, made, length=length)


def tokenized(splits: Splits, tokenizer: Tokenizer, *, length: int) -> DataSet:
  """Returns captioned images as arrays of pixels and token ids.

  Args:
    splits: images and captions.
    tokenizer: of the captions.
    length: tokens of a caption at most.

  Raises:
    InputError: if no caption of a split fits.
  """
  parts = [p for p in (splits.train, splits.test) if p is not None]
  most = max(len(c) for p in parts for c in p.captions)
  sources = [_source(p, tokenizer, length, most) for p in parts]
  return _data_set(splits.name, [*sources, None][:2], splits.classes, tokenizer, length)


def _data_set(name, sources, classes, tokenizer, length):
  shape = sources[0].data["input"].image.shape[1:]
  like = partial(_like, tokenizer=tokenizer, length=length, shape=shape)
  kind, files = caption_kind(tokenizer), {"tokenizer.json": tokenizer.text}
  return DataSet(name, *sources, classes, kind, like=like, files=files)


def _kept(kept, length):
  """The data set of a run, without its images and captions."""
  tokenizer = tokenizer_from(kept.files["tokenizer.json"])
  splits = kept.splits(Captioned)
  return _data_set(kept.name, splits, kept.classes, tokenizer, length)


def caption_tokens(
  tokenizer: Tokenizer, texts: Sequence[str], *, length: int
) -> np.ndarray:
  """Returns sentences as token ids, int32 [n, length].

  Raises:
    InputError: if one has more tokens than fit, with its number and text.
  """
  made = np.full((len(texts), length), PAD, np.int32)
  for i, ids in enumerate(_framed(tokenizer, texts)):
    if len(ids) > length:
      raise InputError(
        f"sentence {i} has {len(ids)} tokens, more than the {length} that fit: "
        f"'{texts[i][:60]}'"
      )
    made[i, : len(ids)] = ids
  return made


def caption_kind(tokenizer: Tokenizer) -> Kind:
  """Returns what captioned images are: shown as image and sentence, worth as pixels."""

  def tiles(inputs):
    _check_form(inputs)
    texts = [_sentence(tokenizer, ids) for ids in np.asarray(inputs.text)[:, 0]]
    return [list(t) for t in zip(IMAGES.tiles(inputs.image), texts, strict=True)]

  raw = lambda inputs, patches=False: IMAGES.raw(inputs.image, patches)
  raw_name = lambda inputs: IMAGES.raw_name(inputs.image)
  return Kind("captions", check_captioned, raw, raw_name, tiles)


def check_captioned(inputs: PyTree) -> None:
  """Checks captioned images before anything is computed from them.

  Args:
    inputs: a `Captioned`, or a batch dict whose `input` is one.

  Raises:
    InputError: for another form, images that `check_images` refuses, or captions that
      are no token ids [batch, captions, length].
  """
  if isinstance(inputs, dict):
    inputs = inputs.get("input")
  _check_form(inputs)
  check_images(inputs.image, name="image")
  text = np.asarray(inputs.text)
  if text.dtype.kind != "i" or text.ndim != 3 or len(text) != len(inputs.image):
    raise InputError(
      f"text is {text.dtype} {text.shape} for {len(inputs.image)} images; captions are "
      "integers [batch, captions, length]"
    )


def _check_form(inputs):
  if not isinstance(inputs, Captioned):
    raise InputError(
      f"the inputs are {type(inputs).__name__}; captioned images are "
      "Captioned(image, text)"
    )


def _framed(tokenizer, texts):
  frame = lambda ids: np.concatenate([[FIRST], ids, [END]]).astype(np.int32)
  return [frame(ids) for ids in tokenizer.encode(list(texts))]


def _sentence(tokenizer, ids):
  return tokenizer.decode([i for i in ids.tolist() if i >= len(SPECIAL)])


def _source(pairs, tokenizer, length, most):
  """One split as arrays, each image with `most` captions, again from the first."""
  counts = [len(captions) for captions in pairs.captions]
  flat = [caption for captions in pairs.captions for caption in captions]
  framed = iter(_framed(tokenizer, flat))
  text = np.full((len(counts), most, length), PAD, np.int32)
  keep, skipped = [], list(pairs.skipped)
  for i, count in enumerate(counts):
    own = [next(framed) for _ in range(count)]
    fit = [ids for ids in own if len(ids) <= length]
    if not fit:
      shortest = min(map(len, own))
      skipped.append(f"{pairs.names[i]}: {shortest} tokens, more than {length}")
      continue
    keep.append(i)
    for j in range(most):
      ids = fit[j % len(fit)]
      text[i, j, : len(ids)] = ids
  if not keep:
    raise InputError(f"no caption has at most {length} tokens; {skipped[-1]}")
  return _arrays(pairs, text, np.asarray(keep), tuple(skipped))


def _arrays(pairs, text, keep, skipped):
  whole = len(keep) == len(text)
  taken = lambda x: x if whole else x[keep]
  data = {"input": Captioned(taken(pairs.images), taken(text))}
  if pairs.label is not None:
    data["label"] = taken(pairs.label)
  return ArraySource(data, skipped, tuple(pairs.names[i] for i in keep))


def _read(spec: str, size: int | None) -> Splits:
  if spec == DIGITS:
    return _of_size(digits_captions(), size)
  if spec.endswith(".npz"):
    return captioned_npz(spec, size=size)
  folders.check_folder(pathlib.Path(spec).expanduser(), also=(DIGITS,))
  if size is None:
    raise InputError(
      f"{spec} is a folder of images; pass `size`, the side in pixels to bring them to"
    )
  return captioned_folder(spec, size=size)


def _of_size(splits, size):
  side = splits.train.images.shape[1]
  if size not in (None, side):
    raise InputError(f"the images of {splits.name} have {side} pixels, not {size}")
  return splits


def _like(spec, *, tokenizer, length, shape):
  """Opens other data in the form of a run's; captions may be missing: empty ones."""
  if spec == DIGITS or has_captions(spec):
    splits = _read(spec, shape[0])
  else:
    splits = uncaptioned(spec, size=shape[0])
  test = splits.test
  splits = splits._replace(
    train=_with_channels(splits.train, shape[-1]),
    test=None if test is None else _with_channels(test, shape[-1]),
  )
  return tokenized(splits, tokenizer, length=length)


def _with_channels(pairs: Pairs, channels: int) -> Pairs:
  """Makes grey of colours, or colours of grey."""
  images = pairs.images
  if images.shape[-1] == channels:
    return pairs
  if channels == 1:
    images = np.round(images @ LUMA)[..., None].astype(np.uint8)
  else:
    images = np.repeat(images, channels, axis=-1)
  return pairs._replace(images=images)
