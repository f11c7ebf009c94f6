"""Methods on Cora and Citeseer by their papers' protocols, GraphCL on many graphs.

  python benchmarks/graphs.py --data FOLDER                  with cora.npz, citeseer.npz
  python benchmarks/graphs.py --data FOLDER --sets cora --methods dgi --seeds 0 1
  python benchmarks/graphs.py --methods graphcl              needs no data
  python benchmarks/graphs.py --data FOLDER --quick          to try it

Each method is its registered experiment with the papers' constants. DGI stops as its
official code does, when the training loss has not fallen for 20 steps, and goes back to
the best. GraphCL learns from the graphs of the digits, 1,297 to train on and 500 to
test, by its experiment's own steps, and its features of a graph are scored by the
library's protocols. One JSON file a run goes to `--runs` and is not made twice; the
tables of all go to `benchmarks/results/graphs.md`.
"""

import functools
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import page
from methods import advance

from jaxssl import core, evals, registry, runs
from jaxssl.data.graphs import open_graphs
from jaxssl.mesh import data_mesh
from jaxssl.ops import l2_normalize
from jaxssl.train import use_compilation_cache

METHODS, SETS = ("dgi", "graphmae", "grace"), ("cora", "citeseer")
GRAPHCL = "graphcl"  # of many graphs
WHOLE = ("few-label", "linear")  # what the features of whole graphs are scored by
PATIENCE, LIMIT = 20, 1000  # steps of DGI without a lower loss; steps at most
DECAYS = {"cora": 1e-4, "citeseer": 0.01}  # of GraphMAE's probe
PROTOCOLS = {
  "public": "DGI's protocol: logistic regression by Adam, 0.01, 100 steps, no decay, "
  "public split, mean of 50 starts",
  "best of validation": "GraphMAE's protocol: linear probe by Adam, 0.01, 300 steps, "
  "decay 1e-4 (Cora) or 0.01 (Citeseer), public split, the test accuracy at the last "
  "of the best validation accuracies (where a row is of an earlier command: the first)",
  "random 10/90": "GRACE's protocol: one-vs-rest logistic regression (liblinear) on "
  "l2-normalised features, C from 2^-10 to 2^9 by 5-fold cross-validation, a random "
  "10 % to train on and the rest to test, mean of 3 splits",
}
PUBLISHED = {
  ("dgi", "cora"): "82.3 (public)",
  ("dgi", "citeseer"): "71.8 (public)",
  ("graphmae", "cora"): "84.2 (best of validation)",
  ("graphmae", "citeseer"): "73.4 (best of validation)",
  ("grace", "cora"): "83.3 (random 10/90)",
  ("grace", "citeseer"): "72.1 (random 10/90)",
}


def measure(name: str, seed: int, options) -> None:
  """Trains and scores one run, unless its file is there."""
  path = options.runs / f"{name}_{seed}.json"
  if path.exists():
    return
  method, _, chosen = name.partition("_")
  settings = {"steps": 3} if options.quick else {}
  file = str(options.data / f"{chosen}.npz")
  experiment = registry.build(name, data=file, seed=seed, **settings)
  state, steps, seconds = train(experiment, patient=method == "dgi")
  first = begin(experiment)
  found = {"steps": steps, "seconds": seconds}
  for title, one in (("untrained", first), ("trained", state)):
    found[title] = score(nodes(experiment, one), chosen, options, seed=seed)
  path.write_text(json.dumps(found))
  print(name, seed, steps, round(seconds), found["trained"], flush=True)


def train(experiment: registry.Experiment, *, patient: bool):
  """Returns the last state (or that of the lowest loss), its step, and seconds."""
  batch = jax.device_put(runs.example_batch(experiment, 1))
  state = begin(experiment)
  step = functools.partial(core.train_step, experiment.method, experiment.tx)
  step = jax.jit(step).lower(state, batch).compile()
  steps, start = experiment.run.steps, time.perf_counter()
  steps = LIMIT if patient and steps > PATIENCE else steps
  lowest, best, at = np.inf, state, 0
  for i in range(steps):
    after, metrics = step(state, batch)
    if patient and (loss := float(metrics["loss"])) < lowest:
      lowest, best, at = loss, state, i
    if patient and i - at >= PATIENCE:
      break
    state = after
  jax.block_until_ready(state.params)
  kept = (best, at) if patient else (state, steps)
  return *kept, time.perf_counter() - start


def begin(experiment: registry.Experiment) -> core.TrainState:
  """Returns the state before the first step."""
  init = functools.partial(core.init_state, experiment.method, experiment.tx)
  key = jax.random.key(experiment.run.seed)
  return jax.jit(init)(key, runs.example_batch(experiment, 1))


def nodes(experiment: registry.Experiment, state: core.TrainState) -> np.ndarray:
  """Features of the nodes of the one graph."""
  batch = experiment.data.train.arrays()
  encode = jax.jit(functools.partial(experiment.method.encode, patches=True))
  return np.asarray(encode(state.params, state.extra, batch)[0])


def score(features: np.ndarray, chosen: str, options, *, seed: int) -> dict[str, float]:
  """Accuracies of features of all nodes, by each protocol."""
  with np.load(options.data / f"{chosen}.npz") as file:
    labels, split = file["y"], [file[f"{n}_idx"] for n in ("train", "val", "test")]
  classes = int(labels.max()) + 1
  probe = functools.partial(probed, features, labels, split, classes=classes)
  starts = 2 if options.quick else 50
  public = probe(starts=starts, steps=100, decay=0.0, seed=seed)
  best = probe(starts=1, steps=300, decay=DECAYS[chosen], seed=seed)
  return {
    "public": 100 * float(public[:, -1, 1].mean()),
    "best of validation": 100 * float(at_best(*best[0].T)),
    "random 10/90": random_split(features, labels, quick=options.quick),
  }


def at_best(validation: np.ndarray, test: np.ndarray) -> float:
  """The test accuracy at the last of the best validation accuracies, as officially."""
  return test[np.flatnonzero(validation == validation.max())[-1]]


def probed(features, labels, split, *, classes, starts, steps, decay, seed):
  """Validation and test accuracy after each step, [starts, steps, 2]."""
  x = [jnp.asarray(features[rows]) for rows in split]
  y = [jnp.asarray(labels[rows], jnp.int32) for rows in split]
  keys = jax.random.split(jax.random.key(seed), starts)
  run = functools.partial(_probe, classes=classes, steps=steps)
  return np.asarray(jax.vmap(run, in_axes=(0, None, None, None))(keys, x, y, decay))


@functools.partial(jax.jit, static_argnames=("classes", "steps"))
def _probe(key, x, y, decay, *, classes, steps):
  bound = x[0].shape[1] ** -0.5
  kernel = jax.random.uniform(key, (x[0].shape[1], classes), minval=-1) * bound
  params = {"kernel": kernel, "bias": jnp.zeros(classes)}
  tx = optax.adam(0.01)
  logits = lambda p, x: x @ p["kernel"] + p["bias"][None]
  right = lambda p, i: jnp.mean(logits(p, x[i]).argmax(1) == y[i])

  def loss(params):
    each = optax.softmax_cross_entropy_with_integer_labels(logits(params, x[0]), y[0])
    return each.mean()

  def step(carry, _):
    params, state = carry
    grads = jax.tree.map(lambda g, p: g + decay * p, jax.grad(loss)(params), params)
    updates, state = tx.update(grads, state)
    params = optax.apply_updates(params, updates)
    return (params, state), jnp.stack([right(params, 1), right(params, 2)])

  return jax.lax.scan(step, (params, tx.init(params)), length=steps)[1]


def random_split(features: np.ndarray, labels: np.ndarray, *, quick: bool) -> float:
  """Accuracy by GRACE's protocol, in percent."""
  from sklearn.linear_model import LogisticRegression
  from sklearn.model_selection import GridSearchCV, train_test_split
  from sklearn.multiclass import OneVsRestClassifier

  known = labels >= 0
  x = np.asarray(l2_normalize(jnp.asarray(features[known])))
  powers = np.arange(-1, 1) if quick else np.arange(-10, 10)
  found = []
  for seed in range(1 if quick else 3):
    parts = train_test_split(x, labels[known], train_size=0.1, random_state=seed)
    fit = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    search = GridSearchCV(fit, {"estimator__C": 2.0**powers}, cv=5)
    found.append(search.fit(parts[0], parts[2]).score(parts[1], parts[3]))
  return 100 * float(np.mean(found))


def floors(chosen: str, options) -> dict[str, dict[str, float]]:
  """What needs no learning: the bag of words, and that of the neighbourhood."""
  path = options.runs / f"floors_{chosen}.json"
  if not path.exists():
    data = open_graphs(str(options.data / f"{chosen}.npz"))
    graph = data.train.arrays()["input"]
    around = np.asarray(data.kind.raw(graph, patches=True)[0])
    rows = {"bag of words": graph.nodes[0], "neighbours averaged twice": around}
    found = {n: score(x, chosen, options, seed=0) for n, x in rows.items()}
    path.write_text(json.dumps(found))
  return json.loads(path.read_text())


def table(chosen: str, options) -> str:
  """The table of one data set."""
  rows = [
    (name, *(f"{found[p]:.1f}" for p in PROTOCOLS), "", "", "", "")
    for name, found in floors(chosen, options).items()
  ]
  for method in METHODS:
    files = sorted(options.runs.glob(f"{method}_{chosen}_[0-9]*.json"))
    if files:
      rows += lines(method, chosen, [json.loads(f.read_text()) for f in files])
  header = ("features", *PROTOCOLS, "published", "steps", "seconds", "seeds")
  return f"## {chosen.capitalize()}\n\n{page.table(header, rows)}"


def lines(method: str, chosen: str, found: list[dict]) -> list[tuple]:
  """The lines of a method: its encoder before and after training."""
  cells = lambda title: [_cell([f[title][p] for f in found]) for p in PROTOCOLS]
  steps, seconds = (
    f"{np.mean([f[n] for f in found]):.0f}" for n in ("steps", "seconds")
  )
  last = (PUBLISHED[method, chosen], steps, seconds, len(found))
  return [
    (f"{method}, untrained", *cells("untrained"), "", "", "", len(found)),
    (f"**{method}**", *cells("trained"), *last),
  ]


def measure_graphcl(seed: int, options) -> None:
  """Trains and scores GraphCL on the graphs of the digits, unless its file is there."""
  path = options.runs / f"{GRAPHCL}_{seed}.json"
  if path.exists():
    return
  settings = {"steps": 3} if options.quick else {}
  experiment = registry.build(f"{GRAPHCL}_graph", seed=seed, **settings)
  mesh = data_mesh(jax.devices()[:1])
  first, encode = runs.make_init(experiment, mesh)(), runs.make_encode(experiment, mesh)
  state, seconds, _ = advance(experiment, mesh)
  found = {"steps": experiment.run.steps, "seconds": seconds}
  for title, one in (("untrained", first), ("trained", state)):
    features = functools.partial(encode, runs.variables_of(one))
    found[title] = score_graphs(title, features, experiment.data)
  path.write_text(json.dumps(found))
  print(GRAPHCL, seed, round(seconds), found["trained"], flush=True)


def score_graphs(title: str, encode, data) -> dict[str, float]:
  """Accuracies of features of whole graphs, in percent, by the heads of the table."""
  row = evals.evaluate_row(title, encode, data, protocols=WHOLE)
  few = {_labels(count): mean for count, (mean, _) in row["few_label"].items()}
  return few | {"linear": row["linear"]}


def _labels(count):
  return f"{count} label{'' if count == '1' else 's'}"


def graphcl_table(options) -> str:
  """The table of GraphCL, from the files of its seeds; "" if there are none."""
  files = sorted(options.runs.glob(f"{GRAPHCL}_[0-9]*.json"))
  found = [json.loads(file.read_text()) for file in files]
  if not found:
    return ""
  data = open_graphs("digit_graphs")
  floor = score_graphs("floor", data.kind.raw, data)
  cells = lambda title: [_cell([f[title][n] for f in found]) for n in floor]
  steps, seconds = (
    f"{np.mean([f[n] for f in found]):.0f}" for n in ("steps", "seconds")
  )
  rows = [
    ("mean of the nodes' features", *(f"{x:.1f}" for x in floor.values()), "", "", ""),
    (f"{GRAPHCL}, untrained", *cells("untrained"), "", "", len(found)),
    (f"**{GRAPHCL}**", *cells("trained"), steps, seconds, len(found)),
  ]
  header = ("features", *floor, "steps", "seconds", "seeds")
  notes = "\n".join(f"- {evals.PROTOCOLS[name]}." for name in WHOLE)
  return f"## The digits, a graph each\n\n{page.table(header, rows)}\n\n{notes}"


def _cell(values):
  return f"{np.mean(values):.1f} ± {np.std(values):.1f}"


def main() -> None:
  """Trains what is missing and writes the page."""
  options = _options()
  options.runs.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  for seed in options.seeds[:1] if options.quick else options.seeds:
    for method in options.methods:
      if method == GRAPHCL:
        measure_graphcl(seed, options)
        continue
      for chosen in options.sets:
        measure(f"{method}_{chosen}", seed, options)
  write(options)


def _options():
  parser = page.parser(__doc__, "graphs")
  methods = (*METHODS, GRAPHCL)
  parser.add_argument("--data", type=pathlib.Path, help="for all methods but graphcl")
  parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
  parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
  parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
  parser.add_argument("--runs", type=pathlib.Path)
  options = parser.parse_args()
  if options.data is None and set(options.methods) & set(METHODS):
    parser.error(f"--data is needed for {', '.join(METHODS)}")
  if options.runs is None:
    options.runs = pathlib.Path("runs", "graphs_quick" if options.quick else "graphs")
  return options


def write(options) -> None:
  """Writes the page of what the folder of the runs holds."""
  notes = "\n".join(f"- {name}: {text}." for name, text in PROTOCOLS.items())
  intro = (
    "# Graphs\n\nTest accuracy in percent, mean ± deviation over the seeds of the "
    "encoder. Seconds: the steps alone."
  )
  stop = f"DGI stops after {PATIENCE} steps without a lower training loss."
  of_nodes = [f"Of the nodes of one graph:\n\n{notes}", stop] if options.data else []
  tables = [table(chosen, options) for chosen in options.sets if options.data]
  parts = [*of_nodes, *tables, graphcl_table(options)]
  page.write(options, intro, *filter(None, parts), page.conditions())


if __name__ == "__main__":
  main()
