"""Every method on digits with one budget: the table of the methods page.

  python benchmarks/methods.py                     all methods, seeds 0, 1, 2
  python benchmarks/methods.py swav dino --seeds 0

Each method is its registered experiment `METHOD_digits` with the budget below in
place of its own steps and batch. SEED's teacher is the VICReg run of the same seed.
Results are kept as one JSON file per method and seed in the output folder; those that
are there are not repeated. The table of all of them goes to
`benchmarks/results/methods.md`.
"""

import argparse
import functools
import json
import os
import pathlib
import platform
import time

import jax
import numpy as np

from jaxssl import core, evals, registry, results, runs
from jaxssl.feeds import make_feed
from jaxssl.mesh import data_mesh
from jaxssl.train import fit, use_compilation_cache

METHODS = (
  *("simclr", "simclr_v2", "moco_v1", "moco_v2", "moco_v3", "npid", "nnclr"),
  *("dcl", "dclw", "ressl", "cpc"),
  *("byol", "simsiam", "barlow_twins", "vicreg", "vicregl", "w_mse", "tico", "lejepa"),
  *("dino", "ibot", "dinov2", "ijepa"),
  *("deepcluster", "deepcluster_v2", "swav", "seed", "supcon"),
)
BUDGET = {"steps": 400, "batch": 128}
COLUMNS = ("1", "5", "10")
RESULTS = pathlib.Path(__file__).parent / "results"


def settings(method: str, seed: int, folder: pathlib.Path) -> dict:
  """The settings of one run."""
  own = {"seed": seed, **BUDGET, "log_every": 50, "eval_every": BUDGET["steps"]}
  if method == "seed":
    own["teacher"] = str(teacher(seed, folder))
  return own


def teacher(seed: int, folder: pathlib.Path) -> pathlib.Path:
  """The folder of SEED's teacher, trained if it isn't there."""
  out = folder / f"teacher_{seed}"
  if not (out / "evaluation.json").exists():
    fit(registry.build("vicreg_digits", **{**BUDGET, "seed": seed}), out)
  return out


def measure(method: str, seed: int, folder: pathlib.Path) -> None:
  """Trains one run, unless its file is there, and writes the file."""
  path = folder / f"{method}_{seed}.json"
  if path.exists():
    return
  found = train(registry.build(f"{method}_digits", **settings(method, seed, folder)))
  path.write_text(json.dumps(found))
  print(method, seed, [round(x, 1) for x in scores(found["rows"][-1])], flush=True)


def train(experiment: registry.Experiment) -> dict:
  """Trains one run without logs or reports; returns its rows, seconds and rank."""
  step = functools.partial(core.train_step, experiment.method, experiment.tx)
  step = jax.jit(step, donate_argnums=0)
  mesh = data_mesh(jax.devices()[:1])
  feed, state = make_feed(experiment, mesh), runs.make_init(experiment, mesh)()
  step(jax.tree.map(lambda x: x.copy(), state), feed.batch(0))  # compiles
  start = time.perf_counter()
  for i in range(experiment.run.steps):
    if experiment.method.refresh is not None and i % feed.epoch == 0:
      key = jax.random.fold_in(state.key, i // feed.epoch)
      state = experiment.method.refresh(state, feed.in_order(), key)
    state, _ = step(state, feed.batch(i))
  jax.block_until_ready(state.params)
  seconds = time.perf_counter() - start
  return {"seconds": seconds, **judge(experiment, state, mesh)}


def judge(experiment: registry.Experiment, state: core.TrainState, mesh) -> dict:
  """The evaluation's rows, and RankMe of the training features."""
  table = results.evaluate(experiment, state, mesh, protocols=("knn", "few-label"))
  encode = runs.make_encode(experiment, mesh)
  data = results.evenly(experiment.data.train, 4096)
  features = evals.extract(lambda x: encode(runs.variables_of(state), x), data)[0]
  return {"rows": table.rows, "rankme": float(evals.rankme(features))}


def scores(row: dict) -> list[float]:
  """The columns of one row of an evaluation."""
  return [row["few_label"][c][0] for c in COLUMNS] + [row["knn"]]


def supervised() -> dict:
  """Logistic regression on the pixels with all labels, as a reference."""
  from sklearn.linear_model import LogisticRegression

  from jaxssl.data import digits

  data = digits()
  train, test = data.train.arrays(), data.test.arrays()
  flat = lambda x: x["input"].reshape(len(x["input"]), -1) / 255.0
  fitted = LogisticRegression(max_iter=2000, C=10.0).fit(flat(train), train["label"])
  return {"all_labels": 100 * fitted.score(flat(test), test["label"])}


def table(found: dict[str, list[dict]]) -> str:
  """The table in Markdown, best with 5 labels first."""
  first = next(iter(found.values()))
  lines = [
    "| method | 1 label | 5 labels | 10 labels | kNN | RankMe | seeds | seconds |",
    "|---|---|---|---|---|---|---|---|",
  ]
  for i, title in enumerate(("raw pixels", "untrained encoder")):
    lines.append(line(title, [scores(r["rows"][i]) for r in first], first, shown=False))
  order = sorted(
    found, key=lambda m: -np.mean([scores(r["rows"][-1])[1] for r in found[m]])
  )
  for method in order:
    rows = [scores(r["rows"][-1]) for r in found[method]]
    lines.append(line(f"`{method}`", rows, found[method]))
  return "\n".join(lines)


def line(title: str, rows: list, runs_of: list[dict], *, shown: bool = True) -> str:
  """One line of the table: means and deviations over the seeds."""
  mean, deviation = np.mean(rows, axis=0), np.std(rows, axis=0)
  cells = [f"{m:.1f} ± {d:.1f}" for m, d in zip(mean, deviation, strict=True)]
  rank = f"{np.mean([r['rankme'] for r in runs_of]):.0f}" if shown else ""
  seconds = f"{np.mean([r['seconds'] for r in runs_of]):.0f}" if shown else ""
  return f"| {title} | {' | '.join(cells)} | {rank} | {len(rows)} | {seconds} |"


def write(folder: pathlib.Path) -> None:
  """Writes the table of all runs that the folder holds."""
  found = {}
  for method in METHODS:
    files = sorted(folder.glob(f"{method}_[0-9].json"))
    if files:
      found[method] = [json.loads(f.read_text()) for f in files]
  text = (
    f"Every method with one budget: {BUDGET['steps']} steps of {BUDGET['batch']} on "
    "1,297 digits of 8 x 8 pixels. Test accuracy in percent on 500 images, mean ± "
    "deviation of the seeds; 1, 5 and 10 labels a class: each seed is the mean of 10 "
    "draws. kNN: k = 20, all labels. Logistic regression on the pixels with all 1,297 "
    f"labels: {supervised()['all_labels']:.1f}. `supcon` knows all labels while it "
    "trains, `seed` learns from the `vicreg` run of its seed. Seconds: the steps "
    f"alone, without compilation, on {os.cpu_count()} CPU cores shared with other work "
    f"({platform.machine()}, jax {jax.__version__}).\n\n{table(found)}\n"
  )
  RESULTS.mkdir(exist_ok=True)
  (RESULTS / "methods.md").write_text(text)
  print(text)


def main() -> None:
  """Trains what is missing and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("methods", nargs="*", default=METHODS)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/methods"))
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  for seed in args.seeds:
    for method in args.methods:
      measure(method, seed, args.out)
  write(args.out)


if __name__ == "__main__":
  main()
