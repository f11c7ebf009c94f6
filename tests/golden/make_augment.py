"""Writes augment.npz and augment.json: torchvision's outputs for fixed parameters.

Made with torchvision 0.29.2 (installed with `pip install --no-deps`) beside torch
2.13.0 for CPU, numpy 2.4.6, Python 3.11. The tests read the two files only. To make
them again, in an environment with those packages:

    python tests/golden/make_augment.py

The inputs are drawn by numpy (`default_rng`, the seed is in each note).
"""

import json
import math
import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent
TOLERANCE = {"atol": 2e-6, "rtol": 0.0}

# torchvision's wheels are built for CUDA: on a CPU-only torch they import only if
# the schemas of its compiled operators exist. None of them is called here.
_ARGUMENTS = "Tensor rois, float scale, SymInt height, SymInt width"
_BACK = "Tensor grad, Tensor rois"
_OPERATORS = (
  "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
  "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
  f"roi_align(Tensor input, {_ARGUMENTS}, int ratio, bool aligned) -> Tensor",
  f"roi_pool(Tensor input, {_ARGUMENTS}) -> (Tensor, Tensor)",
  f"ps_roi_align(Tensor input, {_ARGUMENTS}, int ratio) -> (Tensor, Tensor)",
  f"ps_roi_pool(Tensor input, {_ARGUMENTS}) -> (Tensor, Tensor)",
  "deform_conv2d(Tensor input, Tensor weight, Tensor offset) -> Tensor",
  f"_roi_align_backward({_BACK}) -> Tensor",
  f"_roi_pool_backward({_BACK}) -> Tensor",
  f"_ps_roi_align_backward({_BACK}) -> Tensor",
  f"_ps_roi_pool_backward({_BACK}) -> Tensor",
  f"_deform_conv2d_backward({_BACK}) -> (Tensor, Tensor)",
)


def declare_operators():
  """Declares the schemas; the library must stay alive while torchvision is used."""
  library = torch.library.Library("torchvision", "DEF")
  for operator in _OPERATORS:
    library.define(operator)
  return library


LIBRARY = declare_operators()

import torchvision  # noqa: E402
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms import functional as F  # noqa: E402


def smooth(seed, height, width):
  """A smooth colour image: random 5 x 5 colours, enlarged, as 8-bit levels."""
  coarse = np.random.default_rng(seed).uniform(0, 1, (5, 5, 3))
  rows, columns = np.linspace(0, 4, height), np.linspace(0, 4, width)
  near = np.maximum(1 - np.abs(rows[:, None] - np.arange(5)), 0)
  across = np.maximum(1 - np.abs(columns[:, None] - np.arange(5)), 0)
  return np.round(np.einsum("ih,hwc,jw->ijc", near, coarse, across) * 255) / 255


def noisy(seed, height, width):
  """Colour noise; the first row holds black, white, greys and pure colours."""
  image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)) / 255
  pure = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(-1, 3)
  image[0, :8], image[1, 0], image[1, 1] = pure, 0.5, 128 / 255
  return image


def gray(seed, height, width):
  """Grey noise of 17 levels, one channel, as scikit-learn's digits have."""
  return np.random.default_rng(seed).integers(0, 17, (height, width, 1)) / 16


IMAGES = {
  "smooth, seed 0": smooth(0, 15, 12),
  "noisy, seed 1": noisy(1, 9, 11),
  "grey, seed 2": gray(2, 10, 8),
}


def blur(image, *, sigma, kernel):
  return F.gaussian_blur(image, [kernel, kernel], [sigma, sigma])


def crop(image, *, top, left, height, width, size):
  mode = InterpolationMode.BILINEAR
  return F.resized_crop(image, top, left, height, width, size, mode, antialias=True)


def affine(image, *, rotation, scale, shift, shear):
  translate, degrees = [shift[1], shift[0]], [math.degrees(math.atan(shear)), 0.0]
  mode = InterpolationMode.BILINEAR
  return F.affine(image, rotation, translate, scale, degrees, mode)


OPERATIONS = {
  "adjust_brightness": lambda image, factor: F.adjust_brightness(image, factor),
  "adjust_contrast": lambda image, factor: F.adjust_contrast(image, factor),
  "adjust_saturation": lambda image, factor: F.adjust_saturation(image, factor),
  "adjust_hue": lambda image, shift: F.adjust_hue(image, shift),
  "to_grayscale": lambda image: F.rgb_to_grayscale(image, image.shape[-3]),
  "solarize": lambda image, threshold: F.solarize(image, threshold),
  "flip_left_right": F.hflip,
  "gaussian_blur": blur,
  "crop_and_resize": crop,
  "affine": affine,
}


def windows(height, width):
  """Windows inside, at every border, thin, of one pixel and the whole image."""
  whole = {"top": 0, "left": 0, "height": height, "width": width}
  for size in ([5, 7], [8, 8], [19, 23]):
    yield whole | {"size": size}
    yield {"top": 2, "left": 3, "height": 4, "width": 5, "size": size}
    yield {"top": 0, "left": width - 4, "height": 7, "width": 4, "size": size}
    yield {"top": height - 3, "left": 0, "height": 3, "width": 7, "size": size}
    yield {"top": height - 1, "left": width - 1, "height": 1, "width": 1, "size": size}


def plan(height, width):
  """Every operation with its options, for an image of this size."""
  for factor in (0.0, 0.35, 1.0, 1.7):
    for name in ("brightness", "contrast", "saturation"):
      yield f"adjust_{name}", {"factor": factor}
  for shift in (-0.5, -0.13, 0.0, 0.05, 0.31, 0.5):
    yield "adjust_hue", {"shift": shift}
  yield "to_grayscale", {}
  yield "flip_left_right", {}
  for threshold in (0.0, 0.5, 128 / 255, 1.0):
    yield "solarize", {"threshold": threshold}
  for kernel, sigma in ((3, 0.1), (3, 2.0), (5, 0.8), (9, 1.7)):
    yield "gaussian_blur", {"kernel": kernel, "sigma": sigma}
  for window in windows(height, width):
    yield "crop_and_resize", window
  for rotation, scale, shift, shear in (
    (20.0, 1.0, (0.0, 0.0), 0.0),
    (0.0, 0.75, (1.2, -0.7), 0.0),
    (0.0, 1.25, (0.0, 0.0), 0.3),
    (-17.0, 0.9, (-1.1, 0.6), -0.25),
  ):
    yield (
      "affine",
      {"rotation": rotation, "scale": scale, "shift": shift, "shear": shear},
    )


def run(name, image, options):
  tensor = torch.from_numpy(np.moveaxis(image, -1, 0).astype(np.float32))
  result = OPERATIONS[name](tensor, **options).numpy()
  return np.ascontiguousarray(np.moveaxis(result, 0, -1))


def main():
  reference = f"torchvision {torchvision.__version__}, torch {torch.__version__}"
  arrays, cases = {}, []
  for note, image in IMAGES.items():
    for name, options in plan(*image.shape[:2]):
      i = len(cases)
      arrays[f"case{i}/image"] = image.astype(np.float32)
      arrays[f"case{i}/result"] = run(name, image, options)
      case = {"options": {"operation": name, **options}, "inputs": ["image"]}
      case |= {"outputs": {"result": TOLERANCE}, "reference": reference, "note": note}
      cases.append(case)
  np.savez_compressed(FOLDER / "augment.npz", **arrays)
  text = json.dumps({"kind": "augment", "cases": cases}, indent=1)
  (FOLDER / "augment.json").write_text(text + "\n")
  print(f"{len(cases)} cases by {reference}")


if __name__ == "__main__":
  main()
