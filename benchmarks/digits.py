"""The digits table: every method with 1, 5 and 10 labels a class, and kNN.

  python benchmarks/digits.py                       six methods, seeds 0, 1, 2
  python benchmarks/digits.py simclr_digits --seeds 0 1 2

Each run is the registered experiment with its defaults, trained, evaluated and
reported as `jaxssl train` does it. Runs that the output folder holds already are
read, not repeated. The table goes to `benchmarks/results/digits.md`.
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
import numpy as np

METHODS = ("simclr", "moco_v2", "byol", "simsiam", "barlow_twins", "vicreg")
COLUMNS = ("1", "5", "10", "knn", "linear")
RESULTS = pathlib.Path(__file__).parent / "results"


def train(name: str, seed: int, folder: pathlib.Path) -> dict:
  """Runs one experiment in its own process; returns its rows and seconds."""
  out = folder / f"{name}_{seed}"
  seconds = out / "seconds.json"
  if not seconds.exists():
    start = time.perf_counter()
    command = [sys.executable, "-m", "jaxssl.cli", "train", name, "--seed", str(seed)]
    subprocess.run([*command, "--out", str(out)], check=True)
    seconds.write_text(json.dumps(time.perf_counter() - start))
  table = json.loads((out / "evaluation.json").read_text())
  return {"rows": table["rows"], "seconds": json.loads(seconds.read_text())}


def finished(name: str, folder: pathlib.Path) -> list[dict]:
  """All runs of an experiment that the folder holds, by seed."""
  seeds = sorted(
    int(p.parent.name.split("_")[-1]) for p in folder.glob(f"{name}_*/seconds.json")
  )
  return [train(name, seed, folder) for seed in seeds]


def scores(row: dict) -> list[float]:
  """The columns of one row of an evaluation."""
  few = row["few_label"]
  return [few["1"][0], few["5"][0], few["10"][0], row["knn"], row["linear"]]


def table(runs: dict[str, list[dict]]) -> str:
  """The table in Markdown: means over the seeds, and the deviation of the seeds."""
  first = next(iter(runs.values()))
  lines = [
    "| features | 1 label | 5 labels | 10 labels | kNN | linear | seeds | seconds |",
    "|---|---|---|---|---|---|---|---|",
  ]
  for i, title in enumerate(("raw pixels", "untrained encoder")):
    lines.append(line(title, [scores(run["rows"][i]) for run in first], ""))
  for name, found in runs.items():
    seconds = f"{np.mean([run['seconds'] for run in found]):.0f}"
    lines.append(line(name, [scores(run["rows"][-1]) for run in found], seconds))
  return "\n".join(lines)


def line(title: str, values: list[list[float]], seconds: str) -> str:
  """One line of the table."""
  mean, deviation = np.mean(values, axis=0), np.std(values, axis=0)
  cells = [f"{m:.1f} ± {d:.1f}" for m, d in zip(mean, deviation, strict=True)]
  return f"| {title} | " + " | ".join(cells) + f" | {len(values)} | {seconds} |"


def main() -> None:
  """Trains what is missing and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("names", nargs="*", default=[f"{m}_digits" for m in METHODS])
  parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
  parser.add_argument(
    "--out", type=pathlib.Path, default=pathlib.Path("runs/benchmark")
  )
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  for seed in args.seeds:
    for name in args.names:
      train(name, seed, args.out)
  names = [f"{method}_digits" for method in METHODS]
  runs = {name: found for name in names if (found := finished(name, args.out))}
  text = (
    "Test accuracy in percent (500 images), mean ± deviation of the seeds, which are "
    "0, 1, ...; each seed is the mean of 10 draws of labels. Seconds: the whole "
    f"command, compilation, evaluation and report included, on {os.cpu_count()} CPU "
    f"cores ({platform.machine()}; only `simclr_digits` had them to itself), "
    f"jax {jax.__version__}.\n\n{table(runs)}\n"
  )
  RESULTS.mkdir(exist_ok=True)
  (RESULTS / "digits.md").write_text(text)
  print(text)


if __name__ == "__main__":
  main()
