"""The Fashion-MNIST row: `simclr_fashion_mnist` and its linear probe.

  python benchmarks/fashion_mnist.py --data-dir DIR

DIR is where tensorflow-datasets keeps its data; `benchmarks/prepare_fashion_mnist.py`
prepares it from the four official files. The output goes to
`benchmarks/results/fashion_mnist.md`.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import jax

from jaxssl import evals

RESULTS = pathlib.Path(__file__).parent / "results"


def main() -> None:
  """Trains the experiment and writes its evaluation with the time that it took."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--data-dir", default="")
  parser.add_argument("--out", default="runs/benchmark/simclr_fashion_mnist")
  args = parser.parse_args()
  command = [sys.executable, "-m", "jaxssl.cli", "train", "simclr_fashion_mnist"]
  start = time.perf_counter()
  options = ["--data-dir", args.data_dir, "--out", args.out]
  subprocess.run([*command, *options], check=True)
  seconds = time.perf_counter() - start
  found = json.loads((pathlib.Path(args.out) / "evaluation.json").read_text())
  text = (
    f"`simclr_fashion_mnist`, seed 0: {seconds / 60:.1f} minutes for the whole command "
    f"(compilation, evaluation and report included) on {os.cpu_count()} CPU cores "
    f"({platform.machine()}), jax {jax.__version__}.\n\n"
    f"{evals.as_markdown(evals.Table(**found))}\n"
  )
  RESULTS.mkdir(exist_ok=True)
  (RESULTS / "fashion_mnist.md").write_text(text)
  print(text)


if __name__ == "__main__":
  main()
