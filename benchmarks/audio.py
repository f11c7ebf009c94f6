"""Spoken digits: what pretraining on recordings is worth for voices never heard.

  python benchmarks/audio.py --data .../fsdd.npz                    all methods, seed 0
  taskset -c 0 python benchmarks/audio.py --data FILE.npz cola wav2vec2 --seeds 0 1

The data are an .npz as `open_audio` reads it, with `label` and `speaker`: the Free
Spoken Digit Dataset. The recordings of two speakers are the test split; encoders are
pretrained on those of the others, without labels, and labelled examples are drawn from
the others as well. Each method is its registered experiment with the settings below,
for as many steps as fit in `--minutes` (at most `STEPS`), found by timing a few.

Compared are the features of the trained and of the untrained encoder, and a
log-spectrum of 5 stretches of time x 32 bands, by logistic regression on 1, 5 and 20
labelled recordings a digit, the same draws for every line: once on the features as they
are, scaled to unit length (the library's few-label protocol), and once standardised by
the training split before that. An encoder's features are once its own, of the whole
recording, and once the means over 5 stretches of its frames, as the log-spectrum's
are, without those behind the end of a short recording. One JSON file a run goes to the
output folder and is not made twice; the table goes to `benchmarks/results/audio.md`.
"""

import argparse
import functools
import json
import math
import pathlib

import jax
import numpy as np
import page
from methods import advance

from jaxssl import evals, registry, runs
from jaxssl.data import open_audio
from jaxssl.mesh import data_mesh
from jaxssl.ops.spectrogram import heard_samples
from jaxssl.train import use_compilation_cache

METHODS = (
  *("cola", "masked_spectrogram", "mockingjay"),
  *("cpc_audio", "wav2vec2", "hubert"),
)
FORM = {"rate": 8000, "seconds": 0.75}  # 97 of 100 digits are shorter
OWN = {"cola": {"crop": 0.5, "speed": 1.25}}  # tried on the same test voices
STEPS = 6000
TIMED = 20  # steps, after one that compiles
PER_CLASS = (1, 5, 20)
HELD_OUT = ("nicolas", "theo")
PERPLEXITIES = ("code_perplexity", "label_perplexity", "softmax_perplexity")
STRETCHES = 5
KINDS = tuple(x + y for y in ("", ", stretches") for x in ("untrained", "trained"))
WAYS = ("plain", "standardised")


def main() -> None:
  """Trains what is missing and writes the table."""
  options = _parser().parse_args()
  folder = options.runs / "quick" if options.quick else options.runs
  folder.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  data = by_speaker(options.data, options.held_out, folder)
  for seed in options.seeds:
    for method in options.methods:
      measure(method, seed, data, folder, options)
  write(options, data, folder)


def _parser() -> argparse.ArgumentParser:
  parser = page.parser(__doc__, "audio")
  parser.add_argument("methods", nargs="*", default=METHODS)
  parser.add_argument("--data", type=pathlib.Path, required=True, help="the .npz")
  parser.add_argument("--held-out", nargs="+", default=HELD_OUT, help="test speakers")
  parser.add_argument("--seeds", nargs="+", type=int, default=[0])
  parser.add_argument("--minutes", type=float, default=12.0, help="of training, a run")
  parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/audio"))
  return parser


def by_speaker(path: pathlib.Path, held_out, folder: pathlib.Path) -> pathlib.Path:
  """Writes a copy of the data whose test split is the speakers held out."""
  with np.load(path) as archive:
    arrays = {name: archive[name] for name in archive.files}
  open_audio(path, **FORM, hold_out=held_out)  # refuses speakers that there are not
  arrays["is_test"] = np.isin(arrays["speaker"], list(held_out))
  copy = folder / f"{path.stem}_by_speaker.npz"
  np.savez(copy, **arrays)
  return copy


def measure(method: str, seed: int, data, folder, options) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{method}_{seed}.json"
  if path.exists():
    return
  make = functools.partial(
    registry.build, method, data=str(data), seed=seed, **FORM, **OWN.get(method, {})
  )
  steps = 3 if options.quick else fitting(make, options.minutes)
  experiment, mesh = make(steps=steps), data_mesh(jax.devices()[:1])
  state, seconds, metrics = advance(experiment, mesh)
  first = runs.make_init(experiment, mesh)()
  encode = runs.make_encode(experiment, mesh)
  scored = {"trained": state, "untrained": first}
  found = {}
  for name, one in scored.items():
    features = functools.partial(encode, runs.variables_of(one))
    found[name] = judge(features, experiment.data)
    found[f"{name}, stretches"] = judge(stretches(features), experiment.data)
  found |= {"seconds": seconds, "steps": steps, "batch": experiment.run.batch}
  found |= {"perplexity": {n: metrics[n] for n in PERPLEXITIES if n in metrics}}
  path.write_text(json.dumps(found))
  print(method, seed, steps, round(seconds), found["trained"], flush=True)


def fitting(make, minutes: float) -> int:
  """Steps that fit in so many minutes, at most `STEPS`, in hundreds."""
  _, seconds, _ = advance(make(steps=TIMED), data_mesh(jax.devices()[:1]))
  return max(100, min(STEPS, math.floor(60 * minutes * TIMED / seconds / 100) * 100))


def stretches(encode):
  """Features of 5 stretches of a recording: means of its frames, which run in time."""

  def mean(inputs):
    frames = np.asarray(encode(inputs, patches=True))
    heard = frames.shape[1] * np.asarray(heard_samples(inputs)) / inputs.shape[1]
    ends = np.maximum(STRETCHES, np.round(heard).astype(int))
    rows = zip(frames, ends, strict=True)
    return np.stack([_means(row[:end]) for row, end in rows])

  return mean


def _means(frames):
  return np.concatenate([x.mean(axis=0) for x in np.array_split(frames, STRETCHES)])


def judge(encode, data) -> dict:
  """Way -> labels a digit -> mean and deviation of the draws, in percent."""
  train, labels = evals.extract(encode, data.train)
  test, test_labels = evals.extract(encode, data.test)
  mean, deviation = train.mean(0), np.maximum(train.std(0), 1e-6)
  plain, found = (train, test), {}
  scaled = tuple((x - mean) / deviation for x in plain)
  for way, (fit, score) in zip(WAYS, (plain, scaled), strict=True):
    few = evals.few_label(fit, labels, score, test_labels, per_class=PER_CLASS)
    found[way] = {str(count): list(few[count]) for count in PER_CLASS}
  return found


def write(options, data, folder: pathlib.Path) -> None:
  """Writes the table of all runs that the folder holds."""
  floor = open_audio(data, **FORM)
  rows = [("log-spectrum 5x32", [judge(floor.kind.raw, floor)], [])]
  for method in METHODS:
    files = sorted(folder.glob(f"{method}_[0-9]*.json"))
    runs_of = [json.loads(file.read_text()) for file in files]
    for which in KINDS if runs_of else ():
      found = [] if which.startswith("untrained") else runs_of
      rows.append((f"`{method}` {which}", [r[which] for r in runs_of], found))
  labels = [f"{count} label{'s' if count > 1 else ''}" for count in PER_CLASS]
  scaled = [f"{label}, std." for label in labels]
  more = ["perplexity", "steps", "seconds", "seeds"]
  header = ["features", *labels, *scaled, *more]
  speakers = ", ".join(options.held_out)
  page.write(
    options,
    "# Spoken digits, voices never heard",
    f"Test accuracy in percent on {len(floor.test):,} recordings of {speakers}; "
    f"pretrained on {len(floor.train):,} of the others, without labels. Logistic "
    "regression on so many labelled recordings of each digit, mean and deviation of 10 "
    "draws (of several seeds: of their means); std.: features standardised by the "
    "training split first. Perplexity: of the codes used in the last batch, of the "
    "k-means labels for `hubert`. Seconds: of the steps alone.",
    page.table(header, [line(*row) for row in rows]),
    chosen(),
    page.conditions(),
  )


def chosen() -> str:
  """A sentence on the settings that were chosen by what the table shows."""
  described = lambda settings: ", ".join(f"{n} {x}" for n, x in settings.items())
  said = "; ".join(f"`{name}`: {described(own)}" for name, own in OWN.items())
  return (
    "Chosen by looking at the accuracy on the same test voices, so that these lines "
    f"are too good by an unknown amount: {said}."
  )


def line(title: str, rows: list[dict], runs_of: list[dict]) -> list[str]:
  """One line of the table: means over the seeds."""
  cells = [cell([row[way][str(n)] for row in rows]) for way in WAYS for n in PER_CLASS]
  if not runs_of:
    return [title, *cells, "", "", "", ""]
  used = [perplexity(run["perplexity"]) for run in runs_of]
  means = [f"{np.mean([run[n] for run in runs_of]):.0f}" for n in ("steps", "seconds")]
  return [title, *cells, ", ".join(filter(None, used)), *means, str(len(runs_of))]


def cell(scores: list[list[float]]) -> str:
  """Mean and deviation: over the draws of one seed, or over the seeds' means."""
  if len(scores) == 1:
    return "{:.1f} ± {:.1f}".format(*scores[0])
  means = [mean for mean, _ in scores]
  return f"{np.mean(means):.1f} ± {np.std(means, ddof=1):.1f}"


def perplexity(found: dict) -> str:
  """The first perplexity that a method measures; of several code books each."""
  values = next((found[name] for name in PERPLEXITIES if name in found), [])
  return " / ".join(f"{value:.1f}" for value in np.ravel(values))


if __name__ == "__main__":
  main()
