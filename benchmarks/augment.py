"""Images per second of every augmentation, jitted and vmapped over a batch.

    python benchmarks/augment.py | tee benchmarks/results/augment.txt

256 images of 32 x 32 x 3 (digits: 8 x 8 x 1), one view each; the best of 10 runs
after one to warm up. `us` is the processor time an image takes, over all cores: it
tells the cost even where other programs share the machine.
"""

import os
import time
from functools import partial

import jax
import numpy as np

from jaxssl import augment

BATCH, RUNS, SIZE = 256, 10, 32
JITTER = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
AFFINE = {"rotation": 20.0, "scale": (0.75, 1.25), "shift": 1.2, "shear": 0.3}
NO_BLUR = {"blur_probability": 0.0}

OPERATIONS = {
  "random_resized_crop": partial(
    augment.random_resized_crop, size=SIZE, scale=(0.08, 1.0)
  ),
  "random_flip": augment.random_flip,
  "color_jitter": partial(augment.color_jitter, **JITTER),
  "random_grayscale": partial(augment.random_grayscale, probability=0.2),
  "random_solarize": partial(augment.random_solarize, probability=0.2),
  "random_gaussian_blur, kernel 3": partial(augment.random_gaussian_blur, kernel=3),
  "random_gaussian_blur, kernel 23": partial(augment.random_gaussian_blur, kernel=23),
  "random_affine": partial(augment.random_affine, **AFFINE),
  "gaussian_noise": partial(augment.gaussian_noise, deviation=0.1),
}
RECIPES = {
  "simclr_view, no blur": augment.simclr_view(SIZE, strength=0.5, **NO_BLUR),
  "simclr_view": augment.simclr_view(SIZE),
  "moco_view": augment.moco_view(SIZE),
  "byol_views, first": augment.byol_views(SIZE)[0],
  "byol_views, second": augment.byol_views(SIZE)[1],
  "gray_view, one channel": augment.gray_view(SIZE),
  "digits_view, 8 x 8 x 1": augment.digits_view(),
}


def measure(view, images):
  """Returns the best seconds of a run, wall clock and processor, and of compiling."""
  keys = jax.random.split(jax.random.key(0), BATCH)
  start = time.perf_counter()
  run = jax.jit(jax.vmap(view)).lower(keys, images).compile()
  compiling = time.perf_counter() - start
  jax.block_until_ready(run(keys, images))
  times = np.asarray([clock(run, keys, images) for _ in range(RUNS)])
  return *times.min(axis=0), compiling


def clock(run, *arguments):
  wall, processor = time.perf_counter(), time.process_time()
  jax.block_until_ready(run(*arguments))
  return time.perf_counter() - wall, time.process_time() - processor


def examples(name):
  """Bytes for the recipes, floats for single operations."""
  shape = (8, 8, 1) if name.startswith("digits") else (SIZE, SIZE, 3)
  shape = (*shape[:2], 1) if name.startswith("gray_view") else shape
  images = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), np.uint8)
  return images if name in RECIPES else images.astype(np.float32) / 255


def main():
  kind, load = jax.devices()[0].device_kind, os.getloadavg()[0]
  print(f"{kind.upper()}, {os.cpu_count()} cores; jax {jax.__version__}")
  print(f"{BATCH} images of {SIZE} x {SIZE} x 3, one view each; load {load:.1f} before")
  print(f"\n{'':34}{'images/s':>12}{'us':>8}{'compile s':>12}")
  for name, view in (OPERATIONS | RECIPES).items():
    wall, processor, compiling = measure(view, jax.device_put(examples(name)))
    rate, cost = BATCH / wall, processor / BATCH * 1e6
    print(f"{name:34}{rate:12,.0f}{cost:8.1f}{compiling:12.1f}", flush=True)


if __name__ == "__main__":
  main()
