"""Tables: what pretraining on Adult is worth with 1 and 5 % of the labels.

  python benchmarks/tables.py --data .../adult.data.gz          all methods, 5 seeds
  python benchmarks/tables.py --data FILE.csv --label income scarf_table --seeds 0 1

Each method is its registered experiment with the steps below. A seed is of the net, of
the pretraining and of the choice of the labelled rows: that share of every class, the
same rows for every line. Compared are the encoder fine-tuned, a logistic regression on
its frozen features, the same net fine-tuned from its random start, and a logistic
regression on the columns themselves (numbers standardised, one-hot categories). One
JSON file a run goes to the output folder and is not made twice; the table goes to
`benchmarks/results/tables.md`.
"""

import json
import pathlib

import jax
import numpy as np
import page
from methods import advance

from jaxssl import evals, registry, runs
from jaxssl.evals.finetune import RECIPE, label_subset
from jaxssl.mesh import data_mesh
from jaxssl.train import use_compilation_cache

METHODS = ("scarf_table", "vime_table", "denoising_table", "deepcluster_table")
SHARES = (0.01, 0.05)
BUDGET = {"steps": 10_000, "batch": 128}
OWN = {  # k-means over all rows in every epoch takes longer than the epoch
  "deepcluster_table": {"clusters": 50, "components": 32, "steps": 4000}
}
QUICK_BUDGET = {"steps": 20, "batch": 32}
# Plain rows have no layers to decay over and no flips: the head's rate for all of it.
TUNING = RECIPE._replace(layer_decay=1.0, weight_decay=1e-2, label_smoothing=0.0)


def measure(name: str, seed: int, folder: pathlib.Path, options) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{name}_{seed}.json"
  if path.exists():
    return
  budget = QUICK_BUDGET if options.quick else {**BUDGET, **OWN.get(name, {})}
  own = {**budget, "seed": seed}
  experiment = registry.build(name, data=options.data, label=options.label, **own)
  mesh = data_mesh(jax.devices()[:1])
  state, seconds, _ = advance(experiment, mesh)
  first = runs.make_init(experiment, mesh)()
  found = {"seconds": seconds, "tuned": {}, "frozen": {}, "scratch": {}, "raw": {}}
  for share in SHARES:
    rows = judge(experiment, state, first, share, seed, options.quick)
    for what, accuracy in rows.items():
      found[what][str(share)] = accuracy
  path.write_text(json.dumps(found))
  print(name, seed, round(seconds), found, flush=True)


def judge(experiment, state, first, share: float, seed: int, quick: bool) -> dict:
  """Test accuracies with a share of the labels."""
  method, data = experiment.method, experiment.data
  encode = lambda v, x: method.encode(v["params"], v["extra"], {"input": x})
  recipe = TUNING._replace(minimum_steps=10, epochs=1) if quick else TUNING
  tune = lambda s: evals.finetune(
    encode, runs.variables_of(s), data, fraction=share, recipe=recipe, seed=seed
  )
  variables = runs.variables_of(state)
  frozen = jax.jit(lambda x: encode(variables, x))
  return {
    "tuned": tune(state),
    "scratch": tune(first),
    "frozen": logistic(frozen, data, share, seed),
    "raw": logistic(data.kind.raw, data, share, seed),
  }


def logistic(encode, data, share: float, seed: int) -> float:
  """Accuracy of a logistic regression on a share of the labels, features standardised.

  Its strength is the best of five by cross-validation on the labelled rows alone.
  """
  from sklearn.linear_model import LogisticRegression
  from sklearn.model_selection import GridSearchCV
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  train, labels = evals.extract(encode, data.train)
  test, test_labels = evals.extract(encode, data.test)
  rows = label_subset(labels, fraction=share, seed=seed)
  strengths = {"C": np.logspace(-4, 0, 5)}
  search = GridSearchCV(LogisticRegression(max_iter=2000), strengths, cv=5)
  fitted = make_pipeline(StandardScaler(), search).fit(train[rows], labels[rows])
  return 100 * fitted.score(test, test_labels)


def lines(found: dict[str, list[dict]]) -> list[list[str]]:
  """The lines of the table: what needs no pretraining first."""
  made = []
  first = next(iter(found.values()))
  title = "logistic regression on the columns"
  made.append([title, *cells(first, "raw"), str(len(first)), ""])
  for name, rows in found.items():
    seconds = f"{np.mean([r['seconds'] for r in rows]):.0f}"
    made.append([f"`{name}`, its net from scratch", *cells(rows, "scratch"), "", ""])
    made.append([f"`{name}`, frozen features", *cells(rows, "frozen"), "", ""])
    count = str(len(rows))
    made.append([f"`{name}`, fine-tuned", *cells(rows, "tuned"), count, seconds])
  return made


def cells(rows: list[dict], what: str) -> list[str]:
  """Mean and deviation over the seeds, for each share of the labels."""
  values = [[row[what][str(share)] for share in SHARES] for row in rows]
  mean, deviation = np.mean(values, 0), np.std(values, 0)
  return [f"{m:.2f} ± {d:.2f}" for m, d in zip(mean, deviation, strict=True)]


def write(folder: pathlib.Path, options) -> None:
  """Writes the page of all runs that the folder holds."""
  found = {}
  for name in METHODS:
    files = sorted(folder.glob(f"{name}_[0-9].json"))
    if files:
      found[name] = [json.loads(f.read_text()) for f in files]
  header = ["", "1 % of the labels", "5 % of the labels", "seeds", "seconds"]
  text = (
    "Test accuracy in percent on a held-out fifth of "
    f"`{pathlib.Path(options.data).name}`, mean ± deviation over the seeds; each draws "
    f"its own labelled rows. {BUDGET} for the pretraining on all training rows without "
    f"labels (but {OWN}); fine-tuning: {TUNING._asdict()}, without augmentation, last "
    "step. Seconds: the steps of the pretraining alone."
  )
  made = page.table(header, lines(found))
  page.write(options, "# Tables", text, made, page.conditions())


def main() -> None:
  """Trains what is missing and writes the page."""
  parser = page.parser(__doc__, "tables")
  parser.add_argument("methods", nargs="*", default=METHODS)
  parser.add_argument("--data", required=True, help="a table")
  parser.add_argument("--label", default="-1", help="column of the labels")
  parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
  parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/tables"))
  options = parser.parse_args()
  folder = page.QUICK / "tables" if options.quick else options.runs
  folder.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  for seed in options.seeds[:1] if options.quick else options.seeds:
    for name in options.methods:
      measure(name, seed, folder, options)
  write(folder, options)


if __name__ == "__main__":
  main()
