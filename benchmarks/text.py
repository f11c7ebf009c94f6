"""Language models on real text: losses on held-out text, and what features are worth.

  python benchmarks/text.py --data FOLDER
  python benchmarks/text.py --data FOLDER gpt --seeds 0 1 2

FOLDER holds `tinyshakespeare.txt.gz`; `brown.tsv.gz` (genre, file, sentence), which
becomes a folder of documents; and `trec_train.tsv.gz`, `trec_test.tsv.gz` ("CLASS:more"
and a question), `mr_train.tsv.gz`, `mr_test.tsv.gz` (0 or 1 and a sentence). A run is a
JSON file in `--runs` and is not made twice.
"""

import collections
import functools
import gzip
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import page
from methods import advance

from jaxssl import evals, registry, runs
from jaxssl.data import tokenizer_from
from jaxssl.data.tokenizers import END, FIRST, PAD
from jaxssl.mesh import data_mesh
from jaxssl.ops import l2_normalize
from jaxssl.train import use_compilation_cache

TARGET = 1.88  # nanoGPT's README, for the same configuration on a CPU
GPT = {"steps": 2000, "batch": 12, "block": 64, "width": 128, "depth": 4, "heads": 4}
GPTS = {"gpt": GPT, "gpt_1e-3": {**GPT, "learning_rate": 1e-3}}  # nanoGPT's
BROWN = {
  "steps": 5000,
  "batch": 32,
  "length": 64,
  "width": 128,
  "depth": 2,
  "heads": 4,
  "vocabulary": 4096,
  "dropout": 0.0,  # 8 passes: far from learnt by heart
}
LONGER = {"bert": {"steps": 10_000}}  # it gains later than RoBERTa
NAMES = (*GPTS, "bert", "roberta")
PROBES = {"trec": "TREC", "mr": "MR"}
PER_CLASS, DRAWS = (10, 100), 10
QUICK = {"steps": 20}
ROWS = 256  # of held-out text in a call


def documents(folder: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
  """Writes Brown as a folder of texts, a sentence a paragraph; returns the folder."""
  made = work / "brown"
  if made.exists():
    return made
  found = collections.defaultdict(list)
  for genre, file, sentence in lines(folder / "brown.tsv.gz"):
    found[f"{genre}_{file}"].append(sentence)
  made.mkdir(parents=True)
  for name, sentences in found.items():
    (made / f"{name}.txt").write_text("\n\n".join(sentences))
  return made


def labelled(folder: pathlib.Path, work: pathlib.Path, name: str) -> str:
  """Writes a labelled file with coarse labels; returns its path."""
  path = work / f"{name}.tsv"
  rows = [
    (label.split(":")[0], text) for label, text in lines(folder / f"{name}.tsv.gz")
  ]
  path.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
  return str(path)


def lines(path: pathlib.Path) -> list[list[str]]:
  """The cells of a compressed file, a list a line."""
  text = gzip.decompress(path.read_bytes()).decode()
  return [line.split("\t") for line in text.split("\n") if line]


def measure(name: str, seed: int, args, work: pathlib.Path) -> None:
  """Trains and judges one run, unless its file is there, with these settings."""
  path = work / f"{name}_{seed}.json"
  start, mesh = time.perf_counter(), data_mesh(jax.devices()[:1])
  if name in GPTS:
    settings = {**GPTS[name], "data": str(args.data / "tinyshakespeare.txt.gz")}
  else:
    own = {**BROWN, **LONGER.get(name, {})}
    settings = {**own, "data": str(documents(args.data, work))}
  settings |= {"seed": seed, **(QUICK if args.quick else {})}
  if path.exists() and json.loads(path.read_text())["settings"] == settings:
    return
  registered = "gpt" if name in GPTS else name
  experiment = registry.build(registered, **settings)
  state, seconds, _ = advance(experiment, mesh)
  found = {"settings": settings, "steps_seconds": seconds}
  still = {"dropout": 0.0, **({"duplicates": 1} if name == "bert" else {})}
  found |= held_out(registry.build(registered, **{**settings, **still}), state)
  if name not in GPTS:
    found["unigram"] = unigram(experiment)
    probes = {p: both(args.data, work, p) for p in PROBES}
    found["probes"] = {
      p: judge(experiment, state, mesh, files) for p, files in probes.items()
    }
  found["seconds"] = time.perf_counter() - start
  path.write_text(json.dumps(found))
  print(name, seed, json.dumps(found), flush=True)


def both(folder: pathlib.Path, work: pathlib.Path, probe: str) -> tuple[str, str]:
  """The files of a probe: to learn from, to test."""
  return tuple(
    labelled(folder, work, f"{probe}_{split}") for split in ("train", "test")
  )


def held_out(experiment: registry.Experiment, state) -> dict[str, float]:
  """The losses on the test split, in nats; masks are drawn from a fixed key.

  Args:
    experiment: without dropout.
    state: the trained state.
  """
  method, test = experiment.method, experiment.data.test
  totals = collections.Counter()

  @jax.jit
  def losses(batch, keys):
    outputs, _ = method.forward(state.params, state.extra, batch, keys, jnp.int32(0))
    tokens = getattr(outputs, "tokens", outputs)
    found = {"error": tokens.error.sum(), "count": tokens.count.sum()}
    if tokens is not outputs:
      found |= {"next": outputs.next.sum(), "right": outputs.right.sum()}
    return found

  for start in range(0, len(test), ROWS):
    index = np.arange(start, min(start + ROWS, len(test)))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(1), start), len(index))
    totals.update({n: float(x) for n, x in losses(test[index], keys).items()})
  made = {"loss": totals["error"] / totals["count"], "tokens": totals["count"]}
  if "next" in totals:
    made["next_loss"] = totals["next"] / len(test)
    made["next_accuracy"] = 100 * totals["right"] / len(test)
  return made


def unigram(experiment: registry.Experiment) -> float:
  """Nats a held-out token costs by the frequencies of the training text, plus one."""
  vocabulary = tokenizer_from(experiment.data.files["tokenizer.json"]).vocabulary

  def counts(source):
    inputs = source.arrays()["input"]
    ids = getattr(inputs, "ids", inputs).ravel()
    ids = ids[~np.isin(ids, (PAD, FIRST, END))]
    return np.bincount(ids, minlength=vocabulary)

  train, test = counts(experiment.data.train) + 1, counts(experiment.data.test)
  return float(-(test * np.log(train / train.sum())).sum() / test.sum())


def judge(experiment, state, mesh, files: tuple[str, str]) -> dict[str, dict]:
  """Accuracies of the bag of words, the untrained and the trained encoder."""
  train, test = (experiment.data.like(file) for file in files)
  assert train.classes == test.classes
  encode = runs.make_encode(experiment, mesh)
  first = runs.make_init(experiment, mesh)()
  made = {"bag of words": experiment.data.kind.raw}
  for title, one in (("untrained", first), ("trained", state)):
    made[title] = functools.partial(encode, runs.variables_of(one))
  return {
    title: few_label(
      *evals.extract(features, train.train), *evals.extract(features, test.train)
    )
    for title, features in made.items()
  }


def few_label(train, labels, test, test_labels) -> dict[str, list[float]]:
  """Mean and deviation of logistic regression on unit features, 10 draws.

  As `evals.few_label`, but a class with fewer examples gives all that it has.
  """
  from sklearn.linear_model import LogisticRegression
  from threadpoolctl import threadpool_limits

  train, test = (np.asarray(l2_normalize(x)) for x in (train, test))

  def score(count, seed):
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    rows = [rng.choice(r, min(count, len(r)), replace=False) for r in rows]
    rows = np.concatenate(rows)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(train[rows], labels[rows])
    return 100 * fitted.score(test, test_labels)

  found = {}
  with threadpool_limits(1):
    for count in PER_CLASS:
      scores = [score(count, seed) for seed in range(DRAWS)]
      found[str(count)] = [float(np.mean(scores)), float(np.std(scores))]
  return found


def loss_table(found: dict[str, list[dict]]) -> str:
  """Losses on held-out text."""
  header = ("model", "text", "held-out loss", "to beat", "next sentence", "seeds")
  rows = []
  for name, made in found.items():
    gpt = name in GPTS
    right = [x["next_accuracy"] for x in made if "next_accuracy" in x]
    floor = f"{TARGET} (nanoGPT)" if gpt else f"{mean(made, 'unigram'):.2f} (unigrams)"
    rows.append(
      (
        name,
        "Tiny Shakespeare" if gpt else "Brown",
        ", ".join(f"{x['loss']:.3f}" for x in made),
        floor,
        f"{np.mean(right):.1f} %" if right else "",
        len(made),
        f"{mean(made, 'seconds') / 60:.1f}",
      )
    )
  return page.table((*header, "minutes"), rows)


def mean(made: list[dict], name: str) -> float:
  """The mean of a number over the runs."""
  return float(np.mean([x[name] for x in made]))


def probe_table(found: dict[str, list[dict]]) -> str:
  """Accuracies of frozen features, means over the seeds, ± over draws."""
  titles = [f"{probe}, {n} labels" for probe in PROBES.values() for n in PER_CLASS]
  rows = []
  for name, made in found.items():
    for features in made[0].get("probes", {}).get("trec", {}):
      cells = [
        np.mean([x["probes"][p][features][str(n)] for x in made], axis=0)
        for p in PROBES
        for n in PER_CLASS
      ]
      shown = ["{:.1f} ± {:.1f}".format(*cell) for cell in cells]
      rows.append((f"{name}: {features}", *shown))
  return page.table(("features", *titles), rows)


def write(args, work: pathlib.Path) -> None:
  """Writes the page of all runs that the folder holds."""
  found = {}
  for name in NAMES:
    if files := sorted(work.glob(f"{name}_[0-9].json")):
      found[name] = [json.loads(f.read_text()) for f in files]
  shared = ", ".join(f"{n} {v}" for n, v in BROWN.items())
  page.write(
    args,
    "# Language models on text",
    "Losses in nats a token. GPT: characters, nanoGPT's configuration for a CPU (4 "
    "layers, 128 channels, 64 characters, batches of 12, 2,000 steps), all of the last "
    "tenth of the text; `gpt_1e-3` at its learning rate, `gpt` at ours of 3e-3, chosen "
    "by this loss. BERT and RoBERTa on Brown "
    f"({shared}; BERT {LONGER['bert']['steps']:,} steps): hidden tokens of "
    "the last tenth of the documents; beside it what these cost by the frequencies of "
    "the training text.",
    loss_table(found),
    *(_probes(found) if set(found) - set(GPTS) else ()),
    page.conditions(),
  )


def _probes(found) -> tuple[str, str]:
  """What the frozen features are worth, where a model was scored."""
  return (
    "Frozen features: test accuracy in percent of logistic regression (C = 10) on unit "
    "features, mean ± deviation of 10 draws of so many labels a class (TREC's smallest "
    "has 86). The bag of words is of the method's own tokens.",
    probe_table(found),
  )


def main() -> None:
  """Trains what is missing and writes the page."""
  parser = page.parser(__doc__, "text")
  parser.add_argument("names", nargs="*", default=NAMES)
  parser.add_argument("--data", type=pathlib.Path, required=True)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0])
  parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/text"))
  args = parser.parse_args()
  work = args.runs / "quick" if args.quick else args.runs
  work.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  for seed in args.seeds:
    for name in args.names:
      measure(name, seed, args, work)
  write(args, work)


if __name__ == "__main__":
  main()
