"""Reference values computed by other people's implementations, with provenance."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

FOLDER = pathlib.Path(__file__).parent


class Case(NamedTuple):
  """One set of inputs with the outputs that a reference gave for them."""

  options: dict
  inputs: dict
  outputs: dict
  tolerance: dict  # output name -> (atol, rtol)
  note: str


def load(name: str) -> list[Case]:
  """Reads `NAME.npz` and `NAME.json` of this folder."""
  arrays = np.load(FOLDER / f"{name}.npz")
  cases = json.loads((FOLDER / f"{name}.json").read_text())["cases"]
  return [_case(arrays, i, case) for i, case in enumerate(cases)]


def _case(arrays, i, case):
  inputs = {n: arrays[f"case{i}/{n}"] for n in case["inputs"]}
  outputs = {n: arrays[f"case{i}/{n}"] for n in case["outputs"]}
  tolerance = {n: (o["atol"], o["rtol"]) for n, o in case["outputs"].items()}
  return Case(case["options"], inputs, outputs, tolerance, case["note"])
