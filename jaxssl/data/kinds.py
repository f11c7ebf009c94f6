"""What examples are: how they are checked, what they are worth raw, how they look.

A data set has a `Kind`. Everything that trains is the same for all kinds; what checks
inputs, scores them without a net, or shows them to a person asks the kind.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.numerics import to_float

PyTree = Any
SIDE = 32  # larger images are shrunk to this before their pixels count as features


class Sound(NamedTuple):
  """A recording, for a report.

  Attributes:
    wave: float [samples] in [-1, 1].
    rate: samples a second.
    spectrum: [time, bands], larger where louder, any scale; a picture is made of it.
  """

  wave: np.ndarray
  rate: int
  spectrum: np.ndarray


class Frames(NamedTuple):
  """A clip, for a report.

  Attributes:
    images: [frames, height, width, channels], uint8 or in [0, 1].
    rate: frames a second.
  """

  images: np.ndarray
  rate: float


class Sketch(NamedTuple):
  """A graph, for a report.

  Attributes:
    places: [nodes, 2], where each node is drawn, any scale.
    edges: int [2, edges], each drawn as a line.
    colours: int [nodes], a class each, negative: none.
  """

  places: np.ndarray
  edges: np.ndarray
  colours: np.ndarray


# What a person sees of an example: a sentence, an image [height, width, channels], a
# recording, a clip, a graph, column -> value of a table's row, or several of these.
Tile = str | np.ndarray | Sound | Frames | Sketch | dict | list


class Kind(NamedTuple):
  """What the examples of a data set are.

  Attributes:
    name: "images", "text", "audio", "video", "graphs", "tables", "captions"...
    check: (inputs [batch, ...]) -> None; an InputError if they cannot be encoded.
    raw: (inputs, patches=False) -> float32 [batch, dim], features that need no net;
      with `patches` [batch, parts, dim]. Jitted.
    raw_name: (inputs of one example, [1, ...]) -> how a table calls these features.
    tiles: (inputs [batch, ...], numpy) -> a `Tile` an example; what isn't of this kind
      is an InputError.
  """

  name: str
  check: Callable[[PyTree], None]
  raw: Callable[..., jax.Array]
  raw_name: Callable[[PyTree], str]
  tiles: Callable[[PyTree], list[Tile]]


def check_images(images: Any, *, name: str = "input") -> None:
  """Checks a batch of images before anything is computed from it.

  Args:
    images: [batch, height, width, channels], uint8 or float in [0, 1]; or a batch
      dict, of which `input` is checked.
    name: what the message calls the images.

  Raises:
    InputError: for another rank or type, no images, values that are not finite or
      out of range.
  """
  if isinstance(images, dict):
    if "input" not in images:
      raise InputError(f"a batch needs the key 'input'; it has {sorted(images)}")
    images = images["input"]
  images = np.asarray(images)
  if images.ndim != 4:
    raise InputError(
      f"{name} has shape {images.shape}; images are [batch, height, width, channels]"
    )
  if images.size == 0:
    raise InputError(f"{name} has shape {images.shape}: there are no images in it")
  _check_values(images, name=name)


def _check_values(images, *, name):
  """Raises unless `images` is uint8, or float with all values in [0, 1]."""
  if images.dtype == np.uint8:
    return
  if images.dtype.kind != "f" and images.dtype.name != "bfloat16":
    raise InputError(
      f"{name} is {images.dtype}; images are uint8 in 0..255 or float in [0, 1]"
    )
  with np.errstate(invalid="ignore"):
    low, high = float(images.min()), float(images.max())
  if np.isnan(low):
    raise InputError(f"{name} holds NaN; images are float in [0, 1] or uint8")
  if low < 0.0 or high > 1.0:
    raise InputError(
      f"{name} has values from {low:g} to {high:g}; float images are in [0, 1]"
      " (divide by 255, or pass uint8)"
    )


@functools.partial(jax.jit, static_argnames="patches")
def raw_values(inputs: PyTree, patches: bool = False) -> jax.Array:
  """Inputs as they are, float32 [batch, values]; pixels in [0, 1].

  Images with a side above 32 pixels are shrunk to 32 along that side. With `patches`
  an input that is a sequence is [batch, parts, values].
  """
  axes = 2 if patches else 1
  leaves = [_shrink(x).astype(jnp.float32) for x in jax.tree.leaves(to_float(inputs))]
  return jnp.concatenate([x.reshape(*x.shape[:axes], -1) for x in leaves], axis=axes)


def _shrink(x):
  if x.ndim < 4 or max(x.shape[-3:-1]) <= SIDE:
    return x
  height, width = (min(side, SIDE) for side in x.shape[-3:-1])
  shape = (*x.shape[:-3], height, width, x.shape[-1])
  return jax.image.resize(x, shape, "linear")


def _pixels_name(inputs):
  shapes = [x.shape for x in jax.tree.leaves(inputs)]
  if any(len(s) < 4 for s in shapes):
    return "raw inputs"
  shrunk = any(max(s[-3:-1]) > SIDE for s in shapes)
  return f"raw pixels at most {SIDE}x{SIDE}" if shrunk else "raw pixels"


def _pictures(inputs):
  images = np.asarray(to_float(inputs))
  if images.ndim != 4:
    raise InputError(f"images are [batch, height, width, channels], not {images.shape}")
  return [*images]


IMAGES = Kind("images", check_images, raw_values, _pixels_name, _pictures)
