"""The pretexts, autoencoders and masked models on small data: what they learn.

  python benchmarks/pretexts.py                      all that digits suffice for
  python benchmarks/pretexts.py mae_digits rotation_digits --seeds 0 1
  python benchmarks/pretexts.py jigsaw_fashion_mnist --data FILE.npz

Each method is its registered experiment with the budget below, and is compared with
its own encoder before training: on 8x8 digits, or with 28x28 and 64x64 pixels
(`OTHERS`; these need the data set, or `--data` or `--data-dir`). Masked models are also
fine-tuned on 1, 10 and 100 % of the labels, from the pretrained and from the untrained
encoder; BiGAN is also judged by 1-NN, as in its paper. One JSON file a run goes to the
output folder and is not made twice; the tables of all go to
`benchmarks/results/pretexts.md`, the pictures that the methods show of test images to
`benchmarks/results/pictures`.
"""

import json
import pathlib

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
SIMPLE = ("autoencoder", "denoising", "vae", "gan", "rotation", "inpainting")
OTHERS = {  # name -> settings that a CPU has time for
  **{f"{method}_fashion_mnist": {} for method in SIMPLE},
  "jigsaw_fashion_mnist": {},
  "context_fashion_mnist": {},
  "patch_order_fashion_mnist": {},
  "bigan_fashion_mnist": {},
  "colorization_imagenette": {"encoder": "convnet_mini"},
  "mae_imagenette": {"encoder": "vit_mini"},
  "denoising_imagenette": {"encoder": "convnet_mini", "width": 8},
}
VITS = ("mae", "simmim", "beit", "maskfeat", "data2vec", "aim")
TUNED = (*(f"{method}_digits" for method in ("denoising", *VITS)), "mae_imagenette")
LONGER = {  # cheap steps, or nets that learn nothing in 1,000
  "bigan_digits": 10_000,
  **{f"{method}_digits": 4000 for method in VITS},
  "bigan_fashion_mnist": 12_000,
  "mae_imagenette": 2000,
}
FRACTIONS = (0.01, 0.1, 1.0)
FEW = FRACTIONS[:2]  # of 9,469 images, all of which take longer than pretraining
BUDGET = {"steps": 1000, "batch": 128}
QUICK = {"steps": 3, "batch": 16}
PROTOCOLS = ("knn", "linear", "few-label")


def steps_of(name: str) -> int:
  """Returns how many steps an experiment gets."""
  return LONGER.get(name, BUDGET["steps"])


def measure(name: str, seed: int, folder: pathlib.Path, options: dict) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{name}_{seed}.json"
  if path.exists() and (name not in TUNED or "finetune" in _read(path)["trained"]):
    return
  method = name.partition("_")[0]
  own = {"steps": steps_of(name), "seed": seed, **OTHERS.get(name, {})}
  settings = {**BUDGET, **own, **options}
  experiment = registry.build(name, **settings)
  mesh = data_mesh(jax.devices()[:1])
  state, seconds, _ = advance(experiment, mesh)
  if seed == 0 and "steps" not in options:
    draw(name, experiment, state)
  states = {"untrained": runs.make_init(experiment, mesh)(), "trained": state}
  found = {"seconds": seconds, "steps": experiment.run.steps}
  found |= judge(experiment, states, mesh, method)
  if name.endswith("imagenette"):
    found["ridge"] = ridge(experiment.data)
  path.write_text(json.dumps(found))  # fine-tuning may take longer than all of it
  if name in TUNED:
    for title, one in states.items():
      found[title]["finetune"] = tuned(experiment, one)
    path.write_text(json.dumps(found))
  print(seed, *line(name, [found]), flush=True)


def _read(path):
  return json.loads(path.read_text())


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
  shares = FRACTIONS if len(experiment.data.train) < 2000 else FEW
  variables = runs.variables_of(state)
  return {
    str(share): evals.finetune(
      encode, variables, experiment.data, fraction=share, augment=augment
    )
    for share in shares
  }


def draw(name: str, experiment, state) -> None:
  """Writes what the method shows of test images as PNG files."""
  folder = page.RESULTS / "pictures"
  folder.mkdir(parents=True, exist_ok=True)
  made = results.pictures(experiment, runs.variables_of(state), rows=8)
  for i, (caption, images) in enumerate(made.items()):
    method = name.removesuffix("_digits")
    path = folder / (f"{method}.png" if i == 0 else f"{method}_{i}.png")
    path.write_bytes(report.sheet(images, apart=" | " in caption))


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


def by_one(found: dict[str, list[dict]]) -> str:
  """The table of 1-NN, for the runs that have it."""
  rows = [
    (f"`{name}`", _cell(runs, lambda row: row["nearest"]), len(runs))
    for name, runs in found.items()
    if "nearest" in runs[0]["trained"]
  ]
  return page.table(("experiment", "1-NN", "seeds"), rows)


def probed(found: dict[str, list[dict]]) -> str:
  """The table of frozen features."""
  header = ("experiment", "steps", "5 labels", "kNN", "linear", "seeds", "seconds")
  return page.table(header, [line(name, rows) for name, rows in found.items()])


def line(name: str, rows: list[dict]) -> tuple:
  """One line of the table of frozen features."""
  values = (
    lambda row: row["few_label"]["5"][0],
    lambda row: row["knn"],
    lambda row: row["linear"],
  )
  seconds = np.mean([r["seconds"] for r in rows])
  cells = [_cell(rows, value) for value in values]
  steps = rows[0].get("steps", steps_of(name))
  return (f"`{name}`", f"{steps:,}", *cells, len(rows), f"{seconds:.0f}")


def fine_tuned(found: dict[str, list[dict]]) -> str:
  """The table of fine-tuned encoders, by share of the labels."""
  header = ("experiment", *(f"{100 * share:g} %" for share in FRACTIONS), "seeds")
  rows = [
    (
      f"`{name}`",
      *(
        _cell(runs, lambda row, s=str(s): row.get("finetune", {}).get(s))
        for s in FRACTIONS
      ),
      len(runs),
    )
    for name, runs in found.items()
    if any("finetune" in row["trained"] for row in runs)
  ]
  return page.table(header, rows)


def _cell(rows, value):
  pairs = [(value(r["untrained"]), value(r["trained"])) for r in rows]
  if any(x is None for pair in pairs for x in pair):
    return ""
  before, after = np.mean(pairs, axis=0)
  return f"{before:.1f} → {after:.1f}"


def floors(found: dict[str, list[dict]]) -> str:
  """A sentence on the raw pixels of digits and, where there are runs, of Imagenette."""
  raw = scores(references()[0])
  said = f"The raw pixels of digits: 5 labels {raw[1]:.1f}, kNN {raw[3]:.1f}."
  values = [row["ridge"] for rows in found.values() for row in rows if "ridge" in row]
  if values:
    said += f" Ridge regression on Imagenette's at 16 x 16: {values[0]:.1f}."
  return said


def write(options) -> None:
  """Writes the tables of all runs that the folder holds."""
  found = {}
  for name in (*DIGITS, *OTHERS):
    files = sorted(options.runs.glob(f"{name}_[0-9].json"))
    if files:
      found[name] = [_read(f) for f in files]
  page.write(
    options,
    "# Every pretext, autoencoder and masked model: before → after training",
    "Test accuracy in percent, the method's own encoder before training → after "
    f"{BUDGET['steps']:,} steps of {BUDGET['batch']}, or as many as are told; 5 labels "
    "a class: mean of 10 draws. `beit_digits` tells k-means tokens of patches, and "
    "`dvae` is there as a tokenizer. " + floors(found) + " Seconds: the steps alone.",
    "## Frozen features",
    probed(found),
    "## Nearest neighbour, as BiGAN's paper has it",
    by_one(found),
    "## Fine-tuned",
    "The whole encoder on a share of the labels, without augmentation, from the "
    "untrained → from the pretrained one.",
    fine_tuned(found),
    page.conditions(),
  )


def main() -> None:
  """Trains what is missing and writes the tables."""
  parser = page.parser(__doc__, "pretexts")
  parser.add_argument("names", nargs="*", default=DIGITS)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0])
  parser.add_argument("--data", default="", help="in place of the data set by name")
  parser.add_argument("--data-dir", default="", help="of tensorflow-datasets")
  parser.add_argument(
    "--runs", type=pathlib.Path, default=pathlib.Path("runs/pretexts")
  )
  options = parser.parse_args()
  folder = page.QUICK / "pretexts" if options.quick else options.runs
  folder.mkdir(parents=True, exist_ok=True)
  options.runs = folder
  use_compilation_cache()
  given = {"data": options.data, "data_dir": options.data_dir}
  own = {name: value for name, value in given.items() if value}
  own |= QUICK if options.quick else {}
  for seed in options.seeds:
    for name in options.names:
      measure(name, seed, folder, own)
  write(options)


if __name__ == "__main__":
  main()
