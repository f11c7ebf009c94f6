"""Clips: their kind, and where they come from: frames, video files, packed frames.

A clip is uint8 [frames, height, width, channels]. A video is cut into windows of equal
length, and each window is an example. Videos that are too short or cannot be read are
left out, counted and named.
"""

import os
import pathlib
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from jaxssl.data.folders import EXTENSIONS, TEST_FOLDERS, decode_bytes, decode_image
from jaxssl.data.kinds import Frames, Kind, check_images
from jaxssl.data.sources import (
  RESIDENT_BYTES,
  ArraySource,
  DataSet,
  LazySource,
  Left,
  _read,
  threads,
)
from jaxssl.errors import InputError
from jaxssl.ops.numerics import to_float

VIDEO_FILES = (".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm")
RATE = 25.0  # frames a second, where nothing says it
PIECE = 16  # clips that a thread reads at a time
SIDE = 16  # frames are shrunk to this before their pixels count as features


class Video(NamedTuple):
  """A video that can be read.

  Attributes:
    name: where it is, for messages.
    label: number of its class, -1 if unknown.
    length: how many frames it has.
    read: int [n] -> these frames, uint8 [n, size, size, 3].
    in_order: whether a frame costs all frames before it, as in a video file; all of
      them were decoded then to count them.
  """

  name: str
  label: int
  length: int
  read: Callable[[np.ndarray], np.ndarray]
  in_order: bool = False


class _Split(NamedTuple):
  """The videos of a split, and what could not be opened, "name: reason" each."""

  videos: list[Video]
  unread: tuple[str, ...] = ()


class Cut(NamedTuple):
  """How videos are cut into clips.

  Attributes:
    frames: of a clip.
    stride: frames from one clip's start to the next one's.
    every: a clip takes every so many frames.
  """

  frames: int
  stride: int
  every: int = 1

  @property
  def span(self) -> int:
    """Frames of a video that a clip reaches over."""
    return (self.frames - 1) * self.every + 1


def video_kind(rate: float = RATE) -> Kind:
  """Returns the kind of clips that play `rate` frames a second.

  What needs no net: the pixels of all frames, each shrunk to at most 16 x 16.
  """
  return Kind("video", check_clips, raw_pixels, _pixels_name, partial(_tiles, rate))


def check_clips(clips: Any) -> None:
  """Raises an InputError unless `clips` are clips that can be encoded.

  Args:
    clips: [batch, frames, height, width, channels], uint8 or float in [0, 1].
  """
  clips = np.asarray(clips)
  if clips.ndim != 5 or not clips.size:
    raise InputError(
      f"the clips have shape {clips.shape}; they must be "
      "[batch, frames, height, width, channels], none of these 0"
    )
  check_images(clips.reshape(-1, *clips.shape[2:]), name="frames")


@partial(jax.jit, static_argnames="patches")
def raw_pixels(inputs: jax.Array, patches: bool = False) -> jax.Array:
  """Pixels of frames shrunk to at most 16 x 16, float32 [batch, values].

  Args:
    inputs: clips, [batch, frames, height, width, channels].
    patches: whether each frame stays by itself, [batch, frames, values].
  """
  x = to_float(inputs).astype(jnp.float32)
  batch, frames, height, width, channels = x.shape
  shape = (batch, frames, min(height, SIDE), min(width, SIDE), channels)
  x = x if shape == x.shape else jax.image.resize(x, shape, "linear")
  return x.reshape(batch, frames, -1) if patches else x.reshape(batch, -1)


def _pixels_name(inputs):
  shrunk = max(inputs.shape[2:4]) > SIDE
  return f"raw pixels at most {SIDE}x{SIDE}" if shrunk else "raw pixels"


def _tiles(rate, inputs):
  clips = np.asarray(to_float(inputs))
  if clips.ndim != 5:
    raise InputError(
      f"clips are [batch, frames, height, width, channels], not {clips.shape}"
    )
  return [Frames(np.clip(clip, 0.0, 1.0), rate) for clip in clips]


def videos(
  path: str | os.PathLike,
  *,
  size: int,
  frames: int,
  stride: int = 0,
  every: int = 1,
  resident_bytes: int = RESIDENT_BYTES,
) -> DataSet:
  """Opens videos as a data set of clips.

  Args:
    path: a folder, an .npz or a video file. In a folder, a subfolder with image files
      is a video, its frames in the order of their numbers, and so is a file that ends
      in .mp4, .avi, .mkv, .mov, .webm or .gif (`pip install jaxssl[video]`). If all of
      them lie a level deeper, the folders of the first level are the classes. With
      `train` and `test` (or `val`) below the folder, these are the splits. An .npz has
      packed frames, `bytes`, `offsets` [n + 1], `video` [n] and, if known,
      `video_names` and `fps`, or clips in `x` [n, frames, height, width(, channels)]
      with, if known, `y` and `classes`.
    size: side of the square that frames are brought to, in pixels.
    frames: of a clip.
    stride: frames from one clip's start to the next one's; 0: clips don't overlap.
    every: a clip takes every so many frames.
    resident_bytes: splits up to this size are kept in memory. In larger ones each clip
      of a video file is decoded from the start of its file: cut long files before.

  Returns:
    The data set; clips are uint8 [n, frames, size, size, 3].

  Raises:
    InputError: if there is nothing there, or no video is long enough.
  """
  root = pathlib.Path(path).expanduser()
  if min(size, frames, every) < 1 or stride < 0:
    raise InputError(
      f"size {size}, frames {frames}, stride {stride}, every {every}; each must be 1 "
      "or more, the stride also 0"
    )
  cut = Cut(frames, stride or frames * every, every)
  splits, classes, rate = _found(root, size)
  sources = [_source(split, cut, size, resident_bytes, root) for split in splits]
  options = {"size": size, "frames": frames, "stride": stride, "every": every}
  again = lambda spec: videos(spec, **options)
  kind, name = video_kind(rate / every), root.resolve().stem
  return DataSet(name, *[*sources, None][:2], classes, kind=kind, like=again)


def _found(root, size):
  """The splits, names of the classes, and frames a second."""
  if root.suffix == ".npz":
    return _archive(root, size)
  if root.is_file():
    return [_opened([(root, root.name, -1)], size)], (), RATE
  if not root.is_dir():
    raise InputError(f"there is no folder or file {root}")
  train, test = _split_folders(root)
  listed, classes = _listed(train)
  splits = [_opened(listed, size)]
  if test is not None:
    splits.append(_opened(_listed(test, classes)[0], size))
  return splits, classes, RATE


def _split_folders(root):
  """The folders of the training and of the test split, or None."""
  tests = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
  if not (root / "train").is_dir() or not tests:
    return root, None
  return root / "train", tests[0]


def _listed(root, known=None):
  """(path, name, class) of each video below a folder, and the names of the classes."""
  files = [p for p in sorted(root.rglob("*")) if not p.name.startswith(".")]
  paths = {p.parent for p in files if p.suffix.lower() in EXTENSIONS}
  paths |= {p for p in files if p.suffix.lower() in VIDEO_FILES}
  if not paths:
    raise InputError(
      f"no videos in {root}: a video is a folder of images ({', '.join(EXTENSIONS)}) "
      f"or a file that ends in {', '.join(VIDEO_FILES)}"
    )
  parts = {p: p.relative_to(root).parts for p in sorted(paths)}
  labelled = all(len(x) > 1 for x in parts.values())
  own = tuple(sorted({x[0] for x in parts.values()})) if labelled else ()
  classes = own if known is None else known
  if set(own) - set(classes):
    raise InputError(
      f"{root} has the classes {', '.join(sorted(set(own) - set(classes))[:5])}, which "
      f"the training videos have not; these have {', '.join(classes[:20]) or 'none'}"
    )
  number = lambda x: classes.index(x[0]) if labelled and classes else -1
  return [(p, "/".join(x) or p.name, number(x)) for p, x in parts.items()], classes


def _opened(listed, size):
  """The videos that can be opened, and the reasons of the others."""
  found, unread = [], []
  for path, name, label in listed:
    try:
      length, read = _frames_of(path, size)
      found.append(Video(name, label, length, read, in_order=not path.is_dir()))
    except InputError:
      raise  # imageio is missing: no file will open
    except Exception as error:  # decoders raise a dozen types for broken files
      unread.append(Left(f"{name}: {_reason(error)}", what="video"))
  return _Split(found, tuple(unread))


def _frames_of(path, size):
  """How many frames a folder or a file has, and what reads them."""
  if not path.is_dir():
    length = sum(1 for _ in _decoded(path))
    return length, partial(_read_file, path, size)
  images = [p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS]
  images = sorted((p for p in images if p.name[0] != "."), key=_by_number)
  return len(images), partial(_read_images, images, size)


def _by_number(path):
  """Sorts frame2 before frame10."""
  return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", path.name)]


def _read_images(images, size, indices):
  return np.stack([decode_image(images[i], size=size) for i in indices])


def _read_file(path, size, indices):
  wanted, found = set(map(int, indices)), {}
  for i, frame in enumerate(_decoded(path)):
    if i in wanted:
      found[i] = _fitted(frame, size)
    if len(found) == len(wanted):
      break
  return np.stack([found[int(i)] for i in indices])


def _decoded(path):
  """Yields the frames of a video file, uint8 [height, width, 3]."""
  yield from _decoder(path).imiter(path, plugin="pyav", format="rgb24")


def _decoder(path):
  try:
    import av  # noqa: F401  (what imageio decodes with)
    import imageio.v3
  except ImportError as error:
    raise InputError(
      f"{path.name} is a video file, which imageio and PyAV decode, and they are not "
      "installed: pip install jaxssl[video]; or give its frames as images in a folder"
    ) from error
  return imageio.v3


def frames_a_second(path: pathlib.Path) -> float:
  """Returns what a video file says of itself.

  Raises:
    InputError: if it cannot be read, or what decodes it is not installed.
  """
  decoder = _decoder(path)
  try:
    return float(decoder.immeta(path, plugin="pyav")["fps"])
  except Exception as error:  # decoders raise a dozen types for broken files
    raise InputError(_reason(error)) from error


def _fitted(frame, size):
  image = Image.fromarray(np.asarray(frame))
  return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def _reason(error):
  return " ".join(str(error).split()) or type(error).__name__


def _archive(path, size):
  """What `_found` returns, of an .npz file."""
  if not path.is_file() or not zipfile.is_zipfile(path):
    raise InputError(f"there is no .npz file {path} (written by numpy.savez)")
  with np.load(path) as archive:
    arrays = {name: _read(archive, name, path) for name in archive.files}
  if {"bytes", "offsets", "video"} <= set(arrays):
    rates = np.atleast_1d(arrays.get("fps", RATE))
    return [_Split(_packed(arrays, path, size))], (), float(np.median(rates))
  if "x" not in arrays:
    raise InputError(
      f"{path} has the keys {', '.join(arrays) or '(none)'}; clips are looked for "
      "under 'x', packed frames under 'bytes', 'offsets' and 'video'"
    )
  splits = [
    _Split(_arrays(arrays[x], arrays.get(y), path, size))
    for x, y in (("x", "y"), ("x_test", "y_test"))
    if x in arrays
  ]
  most = max(video.label for split in splits for video in split.videos)
  classes = arrays.get("classes", np.arange(most + 1))
  if len(classes) <= most:
    raise InputError(f"{path} has {len(classes)} class names but labels up to {most}")
  return splits, tuple(map(str, classes)), RATE


def _packed(arrays, path, size):
  """Videos of frames that are packed one after the other."""
  data, offsets, video = (arrays[n] for n in ("bytes", "offsets", "video"))
  good = len(offsets) == len(video) + 1 and np.all(np.diff(offsets) > 0)
  if not good or offsets[-1] != len(data):
    raise InputError(
      f"the 'offsets' of {path} don't fit its {len(data)} bytes and {len(video)} "
      "frames; they are where each frame starts, and the end, rising"
    )
  names = arrays.get("video_names", [f"video {i}" for i in range(video.max() + 1)])

  def read(rows, indices):
    spans = [(offsets[i], offsets[i + 1]) for i in rows[indices]]
    made = [decode_bytes(data[a:b].tobytes(), size=size, channels=3) for a, b in spans]
    return np.stack(made)

  rows = {v: np.flatnonzero(video == v) for v in np.unique(video)}
  return [Video(str(names[v]), -1, len(r), partial(read, r)) for v, r in rows.items()]


def _arrays(x, y, path, size):
  """Videos of clips that are there as one array."""
  x = x[..., None] if x.ndim == 4 else x
  check_clips(x)
  if x.shape[2:4] != (size, size):
    raise InputError(
      f"the frames of {path} are {x.shape[2]}x{x.shape[3]}, not {size}x{size}; pass "
      "the size that they have"
    )
  if y is not None and (
    y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0
  ):
    raise InputError(f"the labels of {path} must be {len(x)} integers from 0")
  x = x if x.dtype == np.uint8 else np.round(x * 255.0).astype(np.uint8)
  labels = np.full(len(x), -1) if y is None else y
  each = enumerate(zip(x, labels, strict=True))
  return [Video(f"clip {i}", int(n), len(c), c.__getitem__) for i, (c, n) in each]


def _source(split, cut, size, resident_bytes, root):
  """The clips of a split, in memory where they fit."""
  long, skipped = [], list(split.unread)
  for video in split.videos:
    reason = _check_video(video, cut)
    skipped += [Left(f"{video.name}: {reason}", what="video")] if reason else []
    long += [] if reason else [video]
  if not long:
    raise InputError(
      f"no clip of {cut.frames} frames in {root}; the first: {skipped[0]}"
    )
  starts = [np.arange(0, v.length - cut.span + 1, cut.stride) for v in long]
  windows = [(v, s) for v, each in zip(long, starts, strict=True) for s in each]
  labels = np.array([video.label for video, _ in windows], np.int32)

  known = lambda indices: {"label": labels[indices]} if labels[0] >= 0 else {}

  def read(indices):
    clips = [
      _clips(cut, video, np.array([s])) for video, s in (windows[i] for i in indices)
    ]
    return {"input": np.concatenate(clips)} | known(indices)

  if len(windows) * cut.frames * size * size * 3 > resident_bytes:
    return LazySource(read, len(windows), tuple(skipped))
  clips = _all_clips(cut, long, starts)
  return ArraySource({"input": clips} | known(np.arange(len(clips))), tuple(skipped))


def _clips(cut, video, starts):
  """The clips of a video that begin at `starts`; each frame is read once."""
  wanted = starts[:, None] + cut.every * np.arange(cut.frames)
  frames, place = np.unique(wanted, return_inverse=True)
  return video.read(frames)[place.reshape(wanted.shape)]


def _all_clips(cut, videos, starts):
  """Every clip of the videos, in threads; a file is decoded once, from its start."""
  pieces = [
    (video, part)
    for video, each in zip(videos, starts, strict=True)
    for part in np.array_split(each, 1 if video.in_order else -(-len(each) // PIECE))
  ]
  frame = videos[0].read(np.zeros(1, int))[0]
  bounds = np.cumsum([0, *(len(part) for _, part in pieces)])
  clips = np.empty((bounds[-1], cut.frames, *frame.shape), frame.dtype)

  def fill(i):
    clips[bounds[i] : bounds[i + 1]] = _clips(cut, *pieces[i])

  with ThreadPoolExecutor(threads()) as pool:
    list(pool.map(fill, range(len(pieces))))
  return clips


def _check_video(video, cut):
  """Why there are no clips of this video, or None; reads all of it, if not yet read."""
  if video.length < cut.span:
    return f"{video.length} frames, a clip takes {cut.span}"
  if video.in_order:
    return None
  try:
    for start in range(0, video.length, 64):
      video.read(np.arange(start, min(start + 64, video.length)))
  except Exception as error:  # decoders raise a dozen types for broken files
    return _reason(error)
  return None
