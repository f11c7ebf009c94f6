"""Clips with sound: alignment of held-out digits, and the sound told from the frames.

  python benchmarks/sounding.py                 all three, seeds 0, 1, 2

Each method is its registered experiment. Alignment: windows of held-out digits, each
with its own sound and one of another time of the same clip. "Pairs": a threshold of
the distance, chosen on training clips, says of every single pair whether it is aligned.
"Choice": which of a window's two sounds is its own. Cross-modal: the error of the
spectrum against that of the training clips' mean spectrum. One JSON file a run goes to
the output folder and is not made twice; the page goes to `results/sounding.md`.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import page
from methods import advance, score

from jaxssl import registry, runs
from jaxssl.data.sounding import frame_spectrum
from jaxssl.mesh import data_mesh
from jaxssl.models.siamese import apply_still
from jaxssl.ops import l2_normalize
from jaxssl.presets.sounding import sound_predictor, sounding_net
from jaxssl.train import use_compilation_cache

ALIGNED = ("alignment_video", "alignment_info_nce_video")
METHODS = (*ALIGNED, "cross_modal_video")
WINDOWS = 4  # of every clip
QUICK_BUDGET = {"steps": 5, "batch": 16}


def measure(name: str, seed: int, folder: pathlib.Path, options) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{name}_{seed}.json"
  if path.exists():
    return
  budget = QUICK_BUDGET if options.quick else {}
  experiment = registry.build(name, seed=seed, **budget)
  mesh = data_mesh(jax.devices()[:1])
  state, seconds, _ = advance(experiment, mesh)
  judge = judge_alignment if name in ALIGNED else judge_prediction
  found = {"seconds": seconds, "steps": experiment.run.steps}
  first = runs.make_init(experiment, mesh)()
  encode = runs.make_encode(experiment, mesh)
  for title, one in (("untrained", first), ("trained", state)):
    probe = {} if options.quick else score(experiment, encode, one)
    found[title] = judge(experiment, one) | {"probe": probe}
  path.write_text(json.dumps(found))
  print(name, seed, found, flush=True)


def windows(experiment, source, seed: int):
  """Windows of every clip of a source, by the experiment's views."""
  inputs = source.arrays()["input"]
  keys = jax.random.split(jax.random.key(seed), len(source) * WINDOWS)
  keys = keys.reshape(WINDOWS, len(source))
  cut = jax.jit(jax.vmap(lambda key, x: experiment.views(key, x)[0]))
  for some in keys:
    yield cut(some, inputs)


def distances(experiment, state, source) -> np.ndarray:
  """Distances of windows from their own sound and a shifted one, [windows, 2]."""
  net = sounding_net(experiment.settings["rate"])
  cosine = experiment.name.startswith("alignment_info_nce")

  @jax.jit
  def apart(params, extra, window):
    out = apply_still(net, params, extra.stats, window)
    video, audio = out.video, out.audio[:, :2]
    if cosine:
      video, audio = l2_normalize(video), l2_normalize(audio)
    return jnp.sqrt(jnp.sum(jnp.square(video[:, None] - audio), axis=2))

  made = windows(experiment, source, 1)
  return np.concatenate([apart(state.params, state.extra, w) for w in made])


def judge_alignment(experiment, state) -> dict:
  """Accuracies of single pairs and of the choice between two, in percent."""
  train = distances(experiment, state, experiment.data.train)
  test = distances(experiment, state, experiment.data.test)
  places = np.quantile(train, np.linspace(0, 1, 201))
  threshold = places[np.argmax([pairs(train, place) for place in places])]
  choice = 100 * float(np.mean(test[:, 0] < test[:, 1]))
  return {"pairs": pairs(test, threshold), "choice": choice}


def pairs(apart: np.ndarray, threshold: float) -> float:
  """Percent of the pairs that a threshold tells right."""
  own, shifted = apart[:, 0] <= threshold, apart[:, 1] > threshold
  return 100 * float(np.mean([own, shifted]))


def judge_prediction(experiment, state) -> dict:
  """Mean squared error of the spectrum, and that of the training clips' mean."""
  net, rate = sound_predictor(), experiment.settings["rate"]

  @jax.jit
  def target(window):
    wave = window.waves[:, 0]
    return frame_spectrum(wave, frames=window.clip.shape[1], rate=rate)

  predict = jax.jit(functools.partial(apply_still, net))
  train = windows(experiment, experiment.data.train, 0)
  mean = np.mean([target(window).mean((0, 1)) for window in train], axis=0)
  errors, floors = [], []
  for window in windows(experiment, experiment.data.test, 1):
    truth = target(window)
    guess = predict(state.params, state.extra.stats, window.clip)
    errors.append(jnp.mean(jnp.square(guess - truth)))
    floors.append(jnp.mean(jnp.square(truth - mean[None, None])))
  return {"error": float(np.mean(errors)), "mean": float(np.mean(floors))}


def lines(found: dict[str, list[dict]]) -> list[list[str]]:
  """The lines of both tables, one after the other."""
  made = []
  for name, rows in found.items():
    keys = ("pairs", "choice") if name in ALIGNED else ("error", "mean")
    for when in ("untrained", "trained"):
      values = [[row[when][key] for key in keys] for row in rows]
      mean, deviation = np.mean(values, 0), np.std(values, 0)
      form = "{:.1f} ± {:.1f}" if name in ALIGNED else "{:.3f} ± {:.3f}"
      cells = [form.format(*pair) for pair in zip(mean, deviation, strict=True)]
      probes = [row[when]["probe"].get("knn") for row in rows]
      knn = f"{np.mean(probes):.1f}" if None not in probes else ""
      seconds = f"{np.mean([row['seconds'] for row in rows]):.0f}"
      made.append([f"`{name}`, {when}", *cells, knn, str(len(rows)), seconds])
  return made


def write(folder: pathlib.Path, options) -> None:
  """Writes the page of all runs that the folder holds."""
  found = {}
  for name in METHODS:
    files = sorted(folder.glob(f"{name}_[0-9].json"))
    if files:
      found[name] = [json.loads(f.read_text()) for f in files]
  made = lines(found)
  end = ["kNN of bounces", "seeds", "seconds"]
  aligned = [line for line in made if "alignment" in line[0]]
  predicted = [line for line in made if "cross_modal" in line[0]]
  text = (
    f"{WINDOWS} windows of each of 500 clips of held-out digits, mean ± deviation over "
    "the seeds. Pairs: single pairs told aligned or shifted by a threshold that "
    "training clips chose; choice: a window's own sound against a shifted one; both in "
    "percent, 50 by guessing. Errors: of log-mel values, against always saying the "
    "training mean."
  )
  parts = []
  if aligned:
    parts.append(page.table(["alignment", "pairs", "choice", *end], aligned))
  if predicted:
    header = ["cross-modal", "error", "error of the mean", *end]
    parts.append(page.table(header, predicted))
  page.write(options, "# Clips with sound", text, *parts, page.conditions())


def main() -> None:
  """Trains what is missing and writes the page."""
  parser = page.parser(__doc__, "sounding")
  parser.add_argument("methods", nargs="*", default=METHODS)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
  parser.add_argument(
    "--runs", type=pathlib.Path, default=pathlib.Path("runs/sounding")
  )
  options = parser.parse_args()
  folder = page.QUICK / "sounding" if options.quick else options.runs
  folder.mkdir(parents=True, exist_ok=True)
  use_compilation_cache()
  for seed in options.seeds[:1] if options.quick else options.seeds:
    for name in options.methods:
      measure(name, seed, folder, options)
  write(folder, options)


if __name__ == "__main__":
  main()
