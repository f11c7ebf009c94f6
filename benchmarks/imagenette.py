"""Eight methods on Imagenette, 200 epochs each, beside lightly's published numbers.

  python benchmarks/imagenette.py --data imagenette.npz              all eight
  python benchmarks/imagenette.py --data imagenette.npz swav dino    these two

`prepare_imagenette.py` makes the .npz; a name such as tfds:imagenette/160px-v2 does as
well. Each method is its registered experiment `METHOD_imagenette`, trained in a process
of its own, so that its peak of device memory is its own. A method that is done is one
JSON file in the output folder and is not repeated; one that was stopped goes on from
its last checkpoint, ten epochs back at most. The table of all that are done goes to
`benchmarks/results/imagenette.md`. The goal on one H200 is under 6 minutes for the 200
epochs of a method. It wants a GPU; a look at whether it works at all:

  python benchmarks/imagenette.py --data imagenette.npz simclr --encoder convnet \\
    --size 32 --batch 16 --limit 3 --out runs/try --results runs/try.md
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import core, evals, registry, runs
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh
from jaxssl.ops import to_float
from jaxssl.presets import run_of
from jaxssl.presets.imagenette import open_imagenette
from jaxssl.train import Trainer, use_compilation_cache

# kNN in % at 200 and at 800 epochs; minutes and GiB of 200 epochs on an A6000.
PUBLISHED = {
  "simclr": (83.5, 88.9, 49.7, 3.7),
  "moco_v2": (78.6, 87.4, 57.5, 4.3),
  "byol": (70.5, 88.7, 54.4, 4.3),
  "simsiam": (75.2, 87.2, 58.2, 3.9),
  "barlow_twins": (65.1, 85.2, 85.0, 4.0),
  "vicreg": (76.3, 84.5, 53.2, 4.0),
  "swav": (86.1, 90.2, 73.3, 6.4),
  "dino": (87.3, 88.8, 75.4, 6.6),
}
SHOWN = ("steps", "batch", "encoder", "size", "seed", "precision")
KNN = {"k": 20, "temperature": 0.1}
RESULTS = pathlib.Path(__file__).parent / "results" / "imagenette.md"


def settings(options: argparse.Namespace) -> dict:
  """The settings of every method's experiment."""
  examples = len(open_imagenette(options.data, options.data_dir).train)
  run = run_of(options.epochs, examples=examples, batch=options.batch)
  own = dataclasses.asdict(run)
  own["steps"] = min(run.steps, options.limit or run.steps)
  names = ("data", "data_dir", "encoder", "size", "seed", "precision")
  return {**own, **{name: getattr(options, name) for name in names}}


def measure(method: str, options: argparse.Namespace) -> None:
  """Trains one method, or goes on with it, and writes its JSON file."""
  use_compilation_cache()
  experiment, mesh = open_run(method, options), data_mesh()
  folder = options.out / method
  with Trainer(experiment, folder, mesh, (), print) as trainer:
    state = trainer.run(resume=has_checkpoint(folder))
  found = {
    **{name: experiment.settings[name] for name in SHOWN},
    "train": len(experiment.data.train),
    "test": len(experiment.data.test),
    "device": f"{mesh.size} x {jax.devices()[0].device_kind}",
    "peak_bytes": peak_bytes(),
    **speed(read_metrics(folder / "metrics.jsonl")),
    "knn": knn(experiment, state, mesh, size=options.size),
  }
  (options.out / f"{method}.json").write_text(json.dumps(found, indent=2))
  print(f"{method}: kNN {found['knn']:.1f} %", flush=True)


def open_run(method: str, options: argparse.Namespace) -> registry.Experiment:
  """The experiment; its folder is made, or found to be of the same settings."""
  asked = settings(options)
  experiment = registry.build(f"{method}_imagenette", **asked)
  if experiment.data.test is None:
    raise SystemExit(f"{options.data} has no test split, which kNN is measured on.")
  folder = options.out / method
  if not (folder / "config.json").exists():
    runs.create(experiment, folder)
    return experiment
  return runs.reopen(folder, **{name: experiment.settings[name] for name in asked})


def has_checkpoint(folder: pathlib.Path) -> bool:
  """Whether a run's folder holds a state to go on from."""
  return any((folder / "checkpoints").glob("[0-9]*/state"))


def peak_bytes() -> int | None:
  """The most device memory in use so far; None where the device doesn't count."""
  stats = jax.local_devices()[0].memory_stats()
  return None if stats is None else stats.get("peak_bytes_in_use")


def speed(metrics: list[dict]) -> dict[str, float]:
  """Seconds of the whole run, and the median of the images a second."""
  logged = [row for row in metrics if "examples_per_second" in row]
  rate = np.median([row["examples_per_second"] for row in logged])
  return {"seconds": logged[-1]["seconds"], "images_per_second": float(rate)}


def knn(
  experiment: registry.Experiment, state: core.TrainState, mesh, *, size: int
) -> float:
  """Percent of the test images that 20 neighbours classify, at the side of the views.

  As lightly has it: all training images, scaled to 128 pixels, weights
  exp(cosine / 0.1).
  """
  encode, variables = runs.make_encode(experiment, mesh), runs.variables_of(state)
  features = lambda x: encode(variables, scaled(x, size=size))
  data = experiment.data
  bank, labels = evals.extract(features, data.train)
  test, test_labels = evals.extract(features, data.test)
  classes = len(data.classes)
  return evals.knn_accuracy(bank, labels, test, test_labels, classes=classes, **KNN)


@functools.partial(jax.jit, static_argnames="size")
def scaled(images: jax.Array, *, size: int) -> jax.Array:
  """Images [n, side, side, channels] at another side, float32 in [0, 1]."""
  shape = (images.shape[0], size, size, images.shape[-1])
  return jnp.clip(jax.image.resize(to_float(images), shape, "linear"), 0.0, 1.0)


def train_missing(options: argparse.Namespace, arguments: list[str]) -> list[str]:
  """Measures what is missing, each method in a process; returns those that failed."""
  failed = []
  for method in options.methods:
    if (options.out / f"{method}.json").exists():
      continue
    command = [sys.executable, __file__, *arguments, "--only", method]
    if subprocess.run(command, check=False).returncode:
      failed.append(method)
  return failed


def table(found: dict[str, dict]) -> str:
  """The table in Markdown."""
  lines = [
    "| method | kNN | lightly, 200 epochs | lightly, 800 | minutes | lightly, 200 "
    "| peak GiB | lightly | images/s |",
    "|---|---|---|---|---|---|---|---|---|",
  ]
  for method, run in found.items():
    short, long, minutes, memory = PUBLISHED[method]
    peak = run["peak_bytes"]
    peak = "?" if peak is None else f"{peak / 2**30:.1f}"
    lines.append(
      f"| `{method}` | {run['knn']:.1f} | {short} | {long} | {run['seconds'] / 60:.1f} "
      f"| {minutes} | {peak} | {memory} | {run['images_per_second']:.0f} |"
    )
  return "\n".join(lines)


def write(options: argparse.Namespace) -> None:
  """Writes the table of all methods that the output folder holds."""
  paths = {method: options.out / f"{method}.json" for method in PUBLISHED}
  found = {m: json.loads(p.read_text()) for m, p in paths.items() if p.exists()}
  if not found:
    return
  first = next(iter(found.values()))
  epochs = first["steps"] * first["batch"] / first["train"]
  text = (
    f"Imagenette, {first['train']:,} training and {first['test']:,} test images, "
    f"encoder {first['encoder']}, views of {first['size']} pixels, {first['steps']:,} "
    f"steps of {first['batch']} ({epochs:.1f} epochs), one run a method, seed "
    f"{first['seed']}, on {first['device']}, jax {jax.__version__}. kNN: test accuracy "
    f"in percent after the last epoch, k = {KNN['k']}, all training images, at "
    f"{first['size']} pixels. lightly (page and script of 4 May 2023): the best of all "
    "epochs, one run, 3,925 test images, an A6000; its MoCo takes each view as query "
    "in turn. Minutes: training, compilation and a look at the features every ten "
    "epochs (lightly: every epoch). Peak: device memory, the data set included "
    "(lightly: without).\n\n"
    f"{table(found)}\n"
  )
  options.results.parent.mkdir(parents=True, exist_ok=True)
  options.results.write_text(text)
  print(text)


def parse(arguments: list[str]) -> argparse.Namespace:
  """The command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("methods", nargs="*", default=list(PUBLISHED), help="default: all eight")
  add("--data", required=True, help="the .npz, or tfds:imagenette/160px-v2")
  add("--data-dir", default="", help="where tensorflow-datasets keeps its data")
  add("--epochs", type=int, default=200)
  add("--batch", type=int, default=256)
  add("--encoder", default="resnet18")
  add("--size", type=int, default=128, help="side of the views in pixels")
  add("--seed", type=int, default=0)
  add("--precision", default="bfloat16", help="of the encoder; the published is mixed")
  add("--limit", type=int, default=0, help="steps to stop after; 0: none")
  add("--out", type=pathlib.Path, default=pathlib.Path("runs/imagenette"))
  add("--results", type=pathlib.Path, default=RESULTS, help="the table")
  add("--only", choices=PUBLISHED, help=argparse.SUPPRESS)
  options = parser.parse_args(arguments)
  if unknown := set(options.methods) - set(PUBLISHED):
    parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(PUBLISHED)}")
  return options


def main() -> None:
  """Trains what is missing and writes the table."""
  arguments = sys.argv[1:]
  options = parse(arguments)
  options.out.mkdir(parents=True, exist_ok=True)
  if options.only:
    measure(options.only, options)
    return
  failed = train_missing(options, arguments)
  write(options)
  if failed:
    sys.exit(f"These failed: {', '.join(failed)}.")


if __name__ == "__main__":
  main()
