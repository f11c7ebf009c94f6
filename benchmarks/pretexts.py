"""The pretexts, autoencoders and masked models on small data: what they learn.

  python benchmarks/pretexts.py                      all that digits suffice for
  python benchmarks/pretexts.py mae_digits rotation_digits --seeds 0 1
  python benchmarks/pretexts.py jigsaw_fashion_mnist --data FILE.npz

Each method is its registered experiment with the budget below, and is compared with
its own encoder before training: on 8x8 digits, or with 28x28 and 64x64 pixels where
those are too few (`OTHERS`; these need the data set, or `--data` or `--data-dir`).
Masked models are also fine-tuned on 1 and 10 % of the labels, from the pretrained and
from the untrained encoder; BiGAN is also judged by 1-NN, as in its paper. One JSON file
a run goes to the output folder and is not made twice; the table of all goes to
`benchmarks/results/pretexts.md`, the pictures that the methods show of test images to
`benchmarks/results/pictures`.
"""

import argparse
import json
import os
import pathlib
import platform

import jax
import numpy as np
import page
from methods import advance, references, scores

from jaxssl import evals, registry, report, results, runs
from jaxssl.mesh import data_mesh
from jaxssl.train import use_compilation_cache

METHODS = (
  *("rotation", "patch_order", "inpainting", "inpainting_adversarial"),
  *("autoencoder", "denoising", "vae", "gan", "bigan"),
  *("mae", "simmim", "dvae", "beit", "maskfeat", "data2vec", "aim"),
)
DIGITS = tuple(f"{method}_digits" for method in METHODS)
OTHERS = {  # name -> settings that a CPU has time for
  "jigsaw_fashion_mnist": {},
  "context_fashion_mnist": {},
  "patch_order_fashion_mnist": {},
  "bigan_fashion_mnist": {},
  "colorization_imagenette": {"encoder": "convnet_mini"},
  "mae_imagenette": {"encoder": "vit_mini"},
  "denoising_imagenette": {"encoder": "convnet_mini", "width": 8},
}
MASKED = ("denoising", "mae", "simmim", "beit", "maskfeat", "data2vec", "aim")
VITS = ("mae", "simmim", "beit", "maskfeat", "data2vec", "aim")
LONGER = {  # cheap steps, or nets that learn nothing in 1,000
  "bigan_digits": 10_000,
  **{f"{method}_digits": 4000 for method in VITS},
  "bigan_fashion_mnist": 12_000,
  "mae_imagenette": 2000,
}
FRACTIONS = (0.01, 0.1)
BUDGET = {"steps": 1000, "batch": 128}
PROTOCOLS = ("knn", "linear", "few-label")
RESULTS = pathlib.Path(__file__).parent / "results"


def measure(name: str, seed: int, folder: pathlib.Path, options: dict) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{name}_{seed}.json"
  if path.exists():
    return
  method = name.partition("_")[0]
  steps = LONGER.get(name, BUDGET["steps"])
  settings = {**BUDGET, "steps": steps, "seed": seed, **OTHERS.get(name, {}), **options}
  experiment = registry.build(name, **settings)
  mesh = data_mesh(jax.devices()[:1])
  state, seconds = advance(experiment, mesh)
  if seed == 0:
    draw(name, experiment, state)
  states = {"untrained": runs.make_init(experiment, mesh)(), "trained": state}
  found = {"seconds": seconds, **judge(experiment, states, mesh, method)}
  if name.endswith("imagenette"):
    found["ridge"] = ridge(experiment.data)
  path.write_text(json.dumps(found))  # fine-tuning may take longer than all of it
  if method in MASKED:
    for title, one in states.items():
      found[title]["finetune"] = tuned(experiment, one)
    path.write_text(json.dumps(found))
  print(seed, line(name, [found]), flush=True)


def judge(experiment, states, mesh, method: str) -> dict:
  """The rows of the trained and of the untrained encoder."""
  encode = runs.make_encode(experiment, mesh)
  found, protocols = {}, (*PROTOCOLS, *(["nearest"] if method == "bigan" else ()))
  for title, one in states.items():
    variables = runs.variables_of(one)
    features = lambda x, v=variables: encode(v, x)
    found[title] = evals.evaluate_row(
      "", features, experiment.data, protocols=protocols
    )
  return found


def tuned(experiment, state) -> dict[str, float]:
  """Accuracy of the fine-tuned encoder by share of the labels."""
  encode = lambda v, x: experiment.method.encode(v["params"], v["extra"], {"input": x})
  augment, _ = results.make_augment(experiment, "none")
  variables = runs.variables_of(state)
  return {
    str(share): evals.finetune(
      encode, variables, experiment.data, fraction=share, augment=augment
    )
    for share in FRACTIONS
  }


def draw(name: str, experiment, state) -> None:
  """Writes what the method shows of test images as PNG files."""
  folder = RESULTS / "pictures"
  folder.mkdir(parents=True, exist_ok=True)
  for i, images in enumerate(
    results.pictures(experiment, runs.variables_of(state), rows=8).values()
  ):
    method = name.removesuffix("_digits")
    path = folder / (f"{method}.png" if i == 0 else f"{method}_{i}.png")
    path.write_bytes(report.sheet(images))


def longer(names) -> str:
  """Says which of the experiments have more steps."""
  return ", ".join(f"`{n}`: {LONGER[n]:,}" for n in names if n in LONGER)


def ridge(data) -> float:
  """Accuracy of ridge regression on pixels, averaged to 16 x 16."""
  from sklearn.linear_model import RidgeClassifier

  def pixels(source):
    arrays = source.arrays()
    x = arrays["input"].astype(np.float32) / 255
    side = x.shape[1] // 16
    x = x.reshape(len(x), 16, side, 16, side, -1).mean((2, 4))
    return x.reshape(len(x), -1), arrays["label"]

  fitted = RidgeClassifier(alpha=100.0).fit(*pixels(data.train))
  return 100 * fitted.score(*pixels(data.test))


def floor(found: dict[str, list[dict]]) -> str:
  """A sentence on the floor of Imagenette, where there are runs on it."""
  values = [row["ridge"] for rows in found.values() for row in rows if "ridge" in row]
  if not values:
    return ""
  return f"Ridge regression on Imagenette's pixels at 16 x 16: {values[0]:.1f}. "


def by_one(found: dict[str, list[dict]]) -> str:
  """A sentence on 1-NN for the runs that have it."""
  said = [
    f"`{name}` by 1-NN: {_cell(rows, lambda row: row['nearest'])}. "
    for name, rows in found.items()
    if "nearest" in rows[0]["trained"]
  ]
  return "".join(said)


def table(found: dict[str, list[dict]]) -> str:
  """The table in Markdown; "before -> after" in each cell, means over the seeds."""
  lines = [
    "| experiment | 5 labels | kNN | linear | fine-tuned, 1 % | 10 % | seeds "
    "| seconds |",
    "|---|---|---|---|---|---|---|---|",
  ]
  lines += [line(name, rows) for name, rows in found.items()]
  return "\n".join(lines)


def line(name: str, rows: list[dict]) -> str:
  """One line of the table."""
  values = {
    "5": lambda row: row["few_label"]["5"][0],
    "knn": lambda row: row["knn"],
    "linear": lambda row: row["linear"],
    **{
      str(share): lambda row, s=str(share): row.get("finetune", {}).get(s)
      for share in FRACTIONS
    },
  }
  cells = [_cell(rows, value) for value in values.values()]
  seconds = np.mean([r["seconds"] for r in rows])
  return f"| `{name}` | {' | '.join(cells)} | {len(rows)} | {seconds:.0f} |"


def _cell(rows, value):
  pairs = [(value(r["untrained"]), value(r["trained"])) for r in rows]
  if pairs[0][0] is None:
    return ""
  before, after = np.mean(pairs, axis=0)
  return f"{before:.1f} → {after:.1f}"


def write(folder: pathlib.Path) -> None:
  """Writes the table of all runs that the folder holds."""
  found = {}
  for name in (*DIGITS, *OTHERS):
    files = sorted(folder.glob(f"{name}_[0-9].json"))
    if files:
      found[name] = [json.loads(f.read_text()) for f in files]
  raw = scores(references()[0])
  text = (
    f"Every pretext, autoencoder and masked model: {BUDGET['steps']} "
    f"steps of {BUDGET['batch']} ({longer((*DIGITS, *OTHERS))}). Test accuracy in "
    "percent, the method's own encoder before training → after it; 5 labels a class: "
    "mean of 10 draws; fine-tuned: the whole encoder on that share of the labels, "
    "without augmentation, from the untrained → from the pretrained one. The raw "
    "pixels of digits: 5 labels "
    f"{raw[1]:.1f}, kNN {raw[3]:.1f}. `beit_digits` tells k-means tokens of patches, "
    "and `dvae` is there as a tokenizer. "
    f"{floor(found)}{by_one(found)}Seconds: the steps alone on {os.cpu_count()} CPU "
    f"cores shared with other work ({platform.machine()}, jax {jax.__version__}).\n\n"
    f"{table(found)}\n"
  )
  path = RESULTS / "pretexts.md"
  path.write_text(page.keep_rows(text, path))
  print(text)


def main() -> None:
  """Trains what is missing and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("names", nargs="*", default=DIGITS)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0])
  parser.add_argument("--data", default="", help="in place of the data set by name")
  parser.add_argument("--data-dir", default="", help="of tensorflow-datasets")
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/pretexts"))
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  given = {"data": args.data, "data_dir": args.data_dir}
  options = {name: value for name, value in given.items() if value}
  for seed in args.seeds:
    for name in args.names:
      measure(name, seed, args.out, options)
  write(args.out)


if __name__ == "__main__":
  main()
