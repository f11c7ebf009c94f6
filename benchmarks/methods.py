"""Every method on digits with one budget: the table of the methods page.

  python benchmarks/methods.py                     all methods, seeds 0, 1, 2
  python benchmarks/methods.py swav dino --seeds 0
  python benchmarks/methods.py ijepa-2000

Each method is its registered experiment `METHOD_digits` with the budget below in
place of its own steps and batch; `METHOD-STEPS` takes so many steps instead. SEED's
teacher is the VICReg run of the same seed. Results are kept as one JSON file per method
and seed in the output folder; those that are there are not repeated. The table of all
of them goes to `benchmarks/results/methods.md`.
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
from jaxssl.data.kinds import raw_values
from jaxssl.feeds import make_feed
from jaxssl.mesh import data_mesh
from jaxssl.train import fit, use_compilation_cache

METHODS = (
  *("simclr", "simclr_v2", "moco_v1", "moco_v2", "moco_v3", "npid", "nnclr"),
  *("dcl", "dclw", "ressl", "cpc"),
  *("byol", "simsiam", "barlow_twins", "vicreg", "vicregl", "w_mse", "tico", "lejepa"),
  *("dino", "ibot", "dinov2", "ijepa", "ijepa-2000"),
  *("deepcluster", "deepcluster_v2", "swav", "seed", "supcon"),
)
BUDGET = {"steps": 600, "batch": 128}
UNTRAINED = {  # the kinds of encoder, each as one of its methods starts it
  "simclr": "untrained ConvNet",
  "dinov2": "untrained ViT, class token (iBOT, DINOv2)",
  "ijepa": "untrained ViT, mean over patches (I-JEPA)",
  "cpc": "untrained ConvNet on patches (CPC)",
}
COLUMNS = ("1", "5", "10")
MEASURED = ("rankme", "seconds")
PROTOCOLS = ("knn", "few-label")
RESULTS = pathlib.Path(__file__).parent / "results"


def split(method: str) -> tuple[str, int]:
  """The name and the steps of METHOD or METHOD-STEPS."""
  name, _, steps = method.partition("-")
  return name, int(steps or BUDGET["steps"])


def settings(method: str, seed: int, folder: pathlib.Path) -> dict:
  """The settings of one run."""
  steps = split(method)[1]
  own = {"seed": seed, **BUDGET, "steps": steps, "log_every": 50, "eval_every": steps}
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
  name = split(method)[0]
  found = train(registry.build(f"{name}_digits", **settings(method, seed, folder)))
  path.write_text(json.dumps(found))
  print(method, seed, [round(x, 1) for x in scores(found["trained"])], flush=True)


def train(experiment: registry.Experiment) -> dict:
  """Trains one run without logs or reports; returns its rows, seconds and rank."""
  mesh = data_mesh(jax.devices()[:1])
  state, seconds, _ = advance(experiment, mesh)
  return {"seconds": seconds, **judge(experiment, state, mesh)}


def advance(
  experiment: registry.Experiment, mesh
) -> tuple[core.TrainState, float, dict]:
  """Returns the last state of a run, the seconds of its steps, its last metrics."""
  step = functools.partial(core.train_step, experiment.method, experiment.tx)
  step = jax.jit(step, donate_argnums=0)
  feed, state = make_feed(experiment, mesh), runs.make_init(experiment, mesh)()
  step(jax.tree.map(lambda x: x.copy(), state), feed.batch(0))  # compiles
  start = time.perf_counter()
  for i in range(experiment.run.steps):
    if experiment.method.refresh is not None and i % feed.epoch == 0:
      key = jax.random.fold_in(state.key, i // feed.epoch)
      state = experiment.method.refresh(state, feed.in_order(), key)
    state, metrics = step(state, feed.batch(i))
  jax.block_until_ready(state.params)
  seconds = time.perf_counter() - start
  return state, seconds, {n: np.asarray(v).tolist() for n, v in metrics.items()}


def judge(experiment: registry.Experiment, state: core.TrainState, mesh) -> dict:
  """The scores of the encoder, trained and untrained, and RankMe."""
  encode, first = runs.make_encode(experiment, mesh), runs.make_init(experiment, mesh)()
  states = {"trained": state, "untrained": first}
  found = {name: score(experiment, encode, s) for name, s in states.items()}
  data = results.evenly(experiment.data.train, 4096)
  features = evals.extract(lambda x: encode(runs.variables_of(state), x), data)[0]
  return {**found, "rankme": float(evals.rankme(features))}


def score(experiment: registry.Experiment, encode, state: core.TrainState) -> dict:
  """One row of an evaluation."""
  variables = runs.variables_of(state)
  features = lambda x: encode(variables, x)
  return evals.evaluate_row("", features, experiment.data, protocols=PROTOCOLS)


def scores(row: dict) -> list[float]:
  """The columns of one row of an evaluation."""
  return [row["few_label"][c][0] for c in COLUMNS] + [row["knn"]]


def references() -> tuple[dict, float]:
  """The row of raw pixels, and logistic regression on them with all labels."""
  from sklearn.linear_model import LogisticRegression

  from jaxssl.data import digits

  data = digits()
  row = evals.evaluate_row("", raw_values, data, protocols=PROTOCOLS)
  train, test = data.train.arrays(), data.test.arrays()
  flat = lambda x: x["input"].reshape(len(x["input"]), -1) / 255.0
  fitted = LogisticRegression(max_iter=2000, C=10.0).fit(flat(train), train["label"])
  return row, 100 * fitted.score(flat(test), test["label"])


def table(found: dict[str, list[dict]], raw: dict) -> str:
  """The table in Markdown, best with 5 labels first."""
  lines = [
    "| method | 1 label | 5 labels | 10 labels | kNN | RankMe | seeds | seconds |",
    "|---|---|---|---|---|---|---|---|",
    line("raw pixels", [raw], []),
  ]
  for method, title in UNTRAINED.items():
    first = [r["untrained"] for r in found.get(method, []) if "untrained" in r]
    lines += [line(title, first, [])] if first else []
  order = sorted(found, key=lambda m: -np.mean([five(r) for r in found[m]]))
  for method in order:
    rows = [r["trained"] for r in found[method]]
    name, steps = split(method)
    title = f"`{name}`, {steps:,} steps" if "-" in method else f"`{name}`"
    lines.append(line(title, rows, found[method]))
  return "\n".join(lines)


def five(found: dict) -> float:
  """Accuracy with 5 labels a class."""
  return found["trained"]["few_label"]["5"][0]


def line(title: str, rows: list[dict], runs_of: list[dict]) -> str:
  """One line of the table: means and deviations over the seeds."""
  values = [scores(row) for row in rows]
  one = len(rows) == 1  # which has no deviation
  mean, deviation = np.mean(values, axis=0), np.std(values, axis=0, ddof=not one)
  pairs = zip(mean, deviation, strict=True)
  cells = [f"{m:.1f}" if one else f"{m:.1f} ± {d:.1f}" for m, d in pairs]
  means = [f"{np.mean([r[n] for r in runs_of]):.0f}" for n in MEASURED if runs_of]
  rank, seconds = means or ("", "")
  return f"| {title} | {' | '.join(cells)} | {rank} | {len(rows)} | {seconds} |"


def write(folder: pathlib.Path) -> None:
  """Writes the table of all runs that the folder holds."""
  found = {}
  for method in METHODS:
    files = sorted(folder.glob(f"{method}_[0-9].json"))
    if files:
      found[method] = [json.loads(f.read_text()) for f in files]
  raw, supervised = references()
  text = (
    f"Every method with one budget: {BUDGET['steps']} steps of {BUDGET['batch']} on "
    "1,297 digits of 8 x 8 pixels. Test accuracy in percent on 500 images, mean ± "
    "deviation of the seeds; 1, 5 and 10 labels a class: each seed is the mean of 10 "
    "draws. kNN: k = 20, all labels. Logistic regression on the pixels with all 1,297 "
    f"labels: {supervised:.1f}. `supcon` knows all labels while it "
    "trains, `seed` learns from the `vicreg` run of its seed; a name with steps beside "
    "it had those in place of the budget's. Seconds: the steps "
    f"alone, without compilation, on {os.cpu_count()} CPU cores shared with other work "
    f"({platform.machine()}, jax {jax.__version__}).\n\n{table(found, raw)}\n"
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
