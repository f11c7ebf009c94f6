"""Parameters of our layers from the names and layouts of torch."""

import numpy as np


def dense(weights: dict, name: str, *, transposed: bool = True) -> dict:
  """A dense layer; GPT-2's kernels are not transposed."""
  kernel = weights[f"{name}.weight"]
  kernel = kernel.T if transposed else kernel
  return {"kernel": kernel, "bias": weights[f"{name}.bias"]}


def norm(weights: dict, name: str) -> dict:
  """A layer norm."""
  return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def joined(*layers: dict) -> dict:
  """Queries, keys and values as one dense layer."""
  return {
    n: np.concatenate([x[n] for x in layers], axis=-1) for n in ("kernel", "bias")
  }
