"""Moving digits: real digits on a black canvas, each moving and bouncing its own way.

The label is the digit, or the direction in which it sets out: what a still frame shows,
and what no still frame shows. The motion is drawn from a seed, the same on every run.
"""

import gzip
import os
import pathlib
import zlib
from functools import partial

import numpy as np
from PIL import Image

from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.sources import ArraySource, DataSet, digits, npz
from jaxssl.data.video import video_kind, videos
from jaxssl.errors import InputError, nearest

NAME = "moving_digits"
LABELS = ("digit", "direction")
# (down, right) of each step, and what a person calls it.
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
DIRECTIONS = (
  *("right", "down right", "down", "down left"),
  *("left", "up left", "up", "up right"),
)
HELD_OUT = 5  # of so many images of a file without a test split, one is for the test
RATE = 8.0  # frames a second, for the report


def moving_digits(
  path: str | os.PathLike = "",
  *,
  frames: int = 8,
  size: int = 16,
  speed: int = 2,
  copies: int = 1,
  label: str = "digit",
  seed: int = 0,
) -> DataSet:
  """Makes clips of digits that move on a black canvas and bounce off its sides.

  A digit is brought to half the side of the canvas. Its place is drawn uniformly, its
  direction is one of eight, its speed 1 to `speed` pixels a frame. Training and test
  clips never show the same digit.

  Args:
    path: "": scikit-learn's digits, as they are on a canvas of 16; or a file of images:
      an .npz as `npz` reads it, or MNIST's idx format, packed with gzip or not, with
      the labels' file beside it; or a folder that holds MNIST's files. Without a test
      split every fifth image is for the test.
    frames: of a clip, 2 or more.
    size: side of the canvas in pixels, even.
    speed: the most pixels that a digit moves from frame to frame, each way.
    copies: clips of each training digit.
    label: "digit", or "direction": that in which it sets out, never into a wall.
    seed: draws the motion.

  Returns:
    The data set; clips are uint8 [n, frames, size, size, 1].

  Raises:
    InputError: for an option out of its range, or a file that isn't as said here.
  """
  _check(frames, size, speed, copies, label)
  train, test, classes = _images(path)
  options = {"frames": frames, "size": size, "speed": speed, "label": label}
  named = classes if label == "digit" else DIRECTIONS
  splits = [
    _clips(split, copies=count, rng=np.random.default_rng([seed, i]), **options)
    for i, (split, count) in enumerate(((train, copies), (test, 1)))
  ]
  again = partial(_again, copies=copies, seed=seed, **options)
  return DataSet(NAME, *splits, named, video_kind(RATE), like=again)


def open_clips(
  spec: str, *, frames: int, size: int, stride: int = 0, **options
) -> DataSet:
  """Opens clips by what a user would type.

  Args:
    spec: "moving_digits", "moving_digits:FILE" for digits of the user's own, or the
      path of videos as `videos` takes it.
    frames: of a clip.
    size: side of the frames in pixels.
    stride: frames from one clip's start to the next one's, of videos; 0: they don't
      overlap.
    **options: of `moving_digits`, for moving digits alone.

  Raises:
    InputError: if there is no such data.
  """
  if is_kept(spec):
    kept = read_kept(spec)
    moving = kept.spec.partition(":")[0] == NAME
    own = options if moving else {"stride": stride}
    again = partial(_again if moving else videos, frames=frames, size=size, **own)
    return kept.data_set(video_kind(RATE), like=again)
  name, colon, path = spec.partition(":")
  if name == NAME:
    if colon and not path:
      raise InputError("'moving_digits:' needs a file of images after the colon")
    return moving_digits(path, frames=frames, size=size, **options)
  if not pathlib.Path(spec).expanduser().exists():
    raise InputError(
      f"there are no clips '{spec}': no file or folder.{nearest(spec, [NAME])} It can "
      f"be {NAME}, {NAME}:FILE, or the path of a folder, an .npz or a video file."
    )
  return videos(spec, frames=frames, size=size, stride=stride)


def _again(spec, **options):
  """Other images that move as these do."""
  return moving_digits(spec.removeprefix(NAME).lstrip(":"), **options)


def bouncing(
  start: np.ndarray, step: np.ndarray, *, frames: int, room: int
) -> np.ndarray:
  """Returns where things are that move along a line and turn round at its ends.

  Args:
    start: int [n], places at first, 0 to `room`.
    step: int [n], how far each moves from frame to frame.
    frames: how many places are asked for.
    room: the last place.

  Returns:
    int [n, frames], all from 0 to `room`.
  """
  far = start[:, None] + step[:, None] * np.arange(frames)
  return room - np.abs(far % (2 * room) - room)


def read_idx(path: str | os.PathLike) -> np.ndarray:
  """Reads a file of MNIST's idx format, packed with gzip or not.

  Args:
    path: the file.

  Returns:
    uint8 [n, ...].

  Raises:
    InputError: if it isn't one, or is cut short.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise InputError(f"there is no file {path}; expected images in the idx format")
  data = path.read_bytes()
  try:
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
  except (OSError, EOFError, zlib.error) as error:
    raise InputError(f"cannot unpack {path}: {error}") from error
  if len(data) < 4 or data[:3] != b"\0\0\x08":
    raise InputError(f"{path} is no idx file of bytes (MNIST's format)")
  rank = data[3]
  shape = np.frombuffer(data[4 : 4 + 4 * rank], ">i4")
  values = np.frombuffer(data[4 + 4 * rank :], np.uint8)
  if len(shape) != rank or values.size != np.prod(shape, dtype=np.int64):
    raise InputError(f"{path} is cut short: {values.size} bytes for {shape.tolist()}")
  return values.reshape(shape)


def _check(frames, size, speed, copies, label):
  if label not in LABELS:
    raise InputError(
      f"label is {label!r}.{nearest(label, LABELS)} It can be: {', '.join(LABELS)}."
    )
  if frames < 2 or copies < 1:
    raise InputError(f"{frames} frames, {copies} copies; pass 2 or more, and 1 or more")
  if size < 4 or size % 2 or not 1 <= speed <= size // 4:
    raise InputError(
      f"a canvas of {size} and a speed of {speed}; pass an even side of 4 pixels or "
      "more, and a speed from 1 to a quarter of it"
    )


def _images(path):
  """Images and labels of both splits, and the names of the digits."""
  if not str(path):
    found = digits()
  elif str(path).endswith(".npz"):
    found = npz(path)
  else:
    return _idx_splits(pathlib.Path(path).expanduser())
  arrays = [None if s is None else s.arrays() for s in (found.train, found.test)]
  if any(a is not None and "label" not in a for a in arrays):
    raise InputError(f"the images of {path} have no labels; moving digits need them")
  pairs = [None if a is None else (_grey(a["input"]), a["label"]) for a in arrays]
  return *_both(*pairs), found.classes


def _idx_splits(path):
  """MNIST's files: one of them, or all of a folder."""
  if path.is_file():
    pairs = [_idx_pair(path), None]
  else:
    names = [p for p in sorted(path.glob("*images*idx3*")) if p.is_file()]
    if not names:
      raise InputError(f"{path} is no file, and no folder with MNIST's *images-idx3*")
    ordered = sorted(names, key=lambda p: not p.name.startswith("train"))
    pairs = [*(_idx_pair(p) for p in ordered[:2]), None][:2]
  train, test = _both(*pairs)
  classes = tuple(map(str, range(int(max(train[1].max(), test[1].max())) + 1)))
  return train, test, classes


def _idx_pair(path):
  images = read_idx(path)
  beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
  labels = read_idx(beside) if beside != path else np.zeros(0, np.uint8)
  if images.ndim != 3 or labels.shape != (len(images),):
    raise InputError(
      f"{path} holds {images.shape} and {beside.name} {labels.shape}; expected images "
      "[n, height, width] and as many labels, *images-idx3* and *labels-idx1*"
    )
  return images, labels.astype(np.int32)


def _both(train, test):
  """Both splits; every fifth image of the first is for the test if there is none."""
  if test is not None:
    return train, test
  held = np.arange(len(train[1])) % HELD_OUT == HELD_OUT - 1
  if not held.any():
    raise InputError(f"{len(held)} images are too few; pass {HELD_OUT} or more")
  return tuple(x[~held] for x in train), tuple(x[held] for x in train)


def _grey(images):
  if images.shape[-1] == 1:
    return images[..., 0]
  return np.round(images.mean(axis=-1)).astype(np.uint8)


def _clips(split, *, frames, size, speed, copies, label, rng):
  """One source: `copies` clips of each image, one copy of all after the other."""
  images, labels = (np.concatenate([x] * copies) for x in split)
  side, rows = size // 2, len(images)
  steps = np.asarray(STEPS)[rng.integers(len(STEPS), size=rows)]
  steps = steps * rng.integers(1, speed + 1, size=(rows, 1))
  start = rng.integers(size - side + 1, size=(rows, 2))
  after = start + steps
  steps = np.where((after < 0) | (after > size - side), -steps, steps)  # off the walls
  places = [
    bouncing(start[:, i], steps[:, i], frames=frames, room=size - side) for i in (0, 1)
  ]
  clips = _drawn(_resized(images, side), np.stack(places, axis=-1), size)
  labels = labels if label == "digit" else _directions(steps)
  return ArraySource({"input": clips, "label": labels.astype(np.int32)})


def _resized(images, side):
  if images.shape[1:3] == (side, side):
    return images
  shrink = lambda x: Image.fromarray(x).resize((side, side), Image.Resampling.BILINEAR)
  return np.stack([np.asarray(shrink(image)) for image in images])


def _drawn(images, places, size):
  """Clips, uint8 [n, frames, size, size, 1], of images at (row, column) [n, frames]."""
  (rows, frames), side = places.shape[:2], images.shape[1]
  clips = np.zeros((rows, frames, size, size, 1), np.uint8)
  offset = np.arange(side)
  down = places[..., 0, None, None] + offset[:, None]
  across = places[..., 1, None, None] + offset
  n, t = np.arange(rows)[:, None, None, None], np.arange(frames)[:, None, None]
  clips[n, t, down, across, 0] = images[:, None]
  return clips


def _directions(steps):
  """The number of the direction of each step [n, 2]."""
  number = {step: i for i, step in enumerate(STEPS)}
  return np.array([number[tuple(step)] for step in np.sign(steps).tolist()])
