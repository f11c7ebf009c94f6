"""Methods of video on digits that move and bounce, and on real clips.

  python benchmarks/video.py --data FOLDER
  python benchmarks/video.py --data FOLDER --methods tcn videomae --seeds 0
  python benchmarks/video.py --quick

FOLDER holds `mnist_test/` (MNIST's test images and labels, idx files) and
`video_clips/video64.npz` (packed frames of real videos, as `data.videos` reads them).
Without `--data` the digits are scikit-learn's and there are no real clips.

Each method trains on moving digits without labels. Features, those of the encoder
before training, and the pixels of all frames are then scored twice: on the digit, and
on the direction in which it moves. Real clips have no labels: of these the table has
the loss at first and at last on held-out windows, and for future frames the error of
repeating the last frame beside it. One JSON file a run goes to the output folder and is
not made twice; the page goes to `benchmarks/results/video.md`, pictures of predicted
frames to `benchmarks/results/pictures/future_frame_video_*.png`.
"""

import functools
import json
import pathlib
import time

import jax
import numpy as np
import page

from jaxssl import core, evals, registry, report, runs
from jaxssl.data import open_clips
from jaxssl.data.sampler import indices
from jaxssl.data.sources import ArraySource

METHODS = ("future_frame", "frame_order", "shuffle_and_learn", "tcn", "videomae")
LABELS = ("digit", "direction")
PROTOCOLS = ("linear", "few-label")
SIZES = {"frames": 10, "size": 32}
STEPS = {  # what 12 minutes of a core suffice for
  "future_frame": 400,
  "frame_order": 3000,
  "shuffle_and_learn": 3000,
  "tcn": 1500,
  "videomae": 4000,
}
SETTINGS = {
  "future_frame": {"future": 4, "width": 16},
  "frame_order": {"span": 8, "width": 16},
  "shuffle_and_learn": {"span": 10, "width": 16},
  "tcn": {"width": 16, "pairs": 4},
  "videomae": {"cube_side": 8},
}
REAL = {"frames": 10, "size": 32, "stride": 5}
REAL_SETTINGS = {"scale": 0.6, "flip": True}
REAL_STEPS = 400
QUICK = {"steps": 3, "batch": 8}
HELD_OUT = 5  # of so many windows of a real video, the last is held out
TRAIN = 4000  # clips that the probes are trained on


def build(method: str, seed: int, options, **changes) -> registry.Experiment:
  """The experiment of a method on moving digits."""
  data = "moving_digits"
  if options.data and not changes.get("data"):
    data = f"moving_digits:{options.data / 'mnist_test'}"
  own = {"data": data, "steps": STEPS[method], **SIZES, **SETTINGS[method]}
  if options.quick:
    own |= {**QUICK, "size": 16}
    own |= {"cube_side": 4} if method == "videomae" else {}
  return registry.build(f"{method}_video", seed=seed, **{**own, **changes})


def train(experiment: registry.Experiment, source) -> tuple[core.TrainState, float]:
  """Trains on `source`; returns the last state, and the seconds of the steps."""
  method, tx, run = experiment.method, experiment.tx, experiment.run
  step = jax.jit(functools.partial(core.train_step, method, tx), donate_argnums=0)
  state, start = first_state(experiment), None
  batch = min(run.batch, len(source))
  sampler = {"examples": len(source), "batch": batch, "seed": run.data_seed}
  for i in range(run.steps):
    rows = np.asarray(indices(i, **sampler))
    state, metrics = step(state, source[rows] | {"index": rows.astype(np.int32)})
    if i == 0:
      jax.block_until_ready(metrics["loss"])
      start = time.perf_counter()
  jax.block_until_ready(state.params)
  return state, time.perf_counter() - start


def first_state(experiment: registry.Experiment) -> core.TrainState:
  """The state before the first step."""
  init = functools.partial(core.init_state, experiment.method, experiment.tx)
  batch = runs.example_batch(experiment, 2)
  return jax.jit(init)(jax.random.key(experiment.run.seed), batch)


def scores(encode, data: dict) -> dict:
  """The rows of an evaluation by what the label is."""
  row = lambda d: evals.evaluate_row("", encode, d, protocols=PROTOCOLS)
  return {label: row(data[label]) for label in LABELS}


def labelled(spec: str, size: int, frames: int, quick: bool) -> dict:
  """The same clips with each kind of label, some of them to train probes on."""
  found = {}
  for label in LABELS:
    data = open_clips(spec, frames=frames, size=size, label=label)
    splits = [some(s, 300 if quick else TRAIN) for s in (data.train, data.test)]
    found[label] = data._replace(train=splits[0], test=splits[1])
  return found


def some(source, most: int) -> ArraySource:
  """At most so many of a source's first examples."""
  return ArraySource(source[np.arange(min(most, len(source)))])


def measure(method: str, seed: int, options, folder: pathlib.Path) -> None:
  """Trains and judges one run on moving digits, unless its file is there."""
  path = folder / f"digits_{method}_{seed}.json"
  if path.exists():
    return
  experiment = build(method, seed, options)
  own = experiment.settings
  data = labelled(own["data"], own["size"], own["frames"], options.quick)
  encode = jax.jit(experiment.method.encode)
  state, seconds = train(experiment, experiment.data.train)
  found = {"seconds": seconds}
  for name, s in (("untrained", first_state(experiment)), ("trained", state)):
    features = lambda x, s=s: encode(s.params, s.extra, {"input": x})
    found[name] = scores(features, data)
  path.write_text(json.dumps(found))
  print(method, seed, round(seconds), cells(found, "trained"), flush=True)
  if method == "future_frame" and seed == 0:
    draw(experiment, state, experiment.data.test, folder / "digits.png")


def measure_pixels(options, folder: pathlib.Path) -> None:
  """Judges the pixels as they are, unless the file is there."""
  path = folder / "digits_pixels.json"
  if path.exists():
    return
  own = build(METHODS[0], 0, options).settings
  data = labelled(own["data"], own["size"], own["frames"], options.quick)
  raw = data[LABELS[0]].kind.raw
  path.write_text(json.dumps({"trained": scores(raw, data)}))


def real_clips(options) -> tuple[ArraySource, ArraySource, str]:
  """Windows of real videos, some to train on and some held out, and where they are."""
  path = str(options.data / "video_clips" / "video64.npz")
  source = open_clips(path, **REAL).train
  held = np.arange(len(source)) % HELD_OUT == HELD_OUT - 1
  beside = np.roll(held, 1) | np.roll(held, -1)  # they share frames with those
  pick = lambda mask: ArraySource(source[np.flatnonzero(mask)])
  return pick(~held & ~beside), pick(held), path


def measure_real(method: str, options, folder: pathlib.Path) -> None:
  """Trains one method on real clips; keeps its losses on held-out windows."""
  path = folder / f"real_{method}.json"
  if path.exists():
    return
  train_on, held, data = real_clips(options)
  own = {} if method == "videomae" else {"jitter": 0.2}
  own |= {"residual": True} if method == "future_frame" else {}
  changes = {**REAL, **REAL_SETTINGS, **own, "data": data, "steps": REAL_STEPS}
  if options.quick:
    changes |= QUICK
  experiment = build(method, 0, options, **changes)
  state, seconds = train(experiment, train_on)
  found = {"seconds": seconds, "windows": [len(train_on), len(held)]}
  found["first"] = held_out(experiment, first_state(experiment), held)
  found["last"] = held_out(experiment, state, held)
  path.write_text(json.dumps(found))
  print("real", method, found, flush=True)
  if experiment.method.show is not None and method == "future_frame":
    draw(experiment, state, held, folder / "real.png")


def held_out(experiment, state, source) -> dict:
  """Metrics of `forward` and `objective` on held-out windows, without a step."""
  rows = np.arange(len(source))
  batch = source[rows] | {"index": rows.astype(np.int32)}

  @jax.jit
  def metrics(state, keys):
    method = experiment.method
    made, extra = method.forward(state.params, state.extra, batch, keys, state.step)
    loss, (_, found) = method.objective(state.params, extra, made, state.step)
    return {"loss": loss, **found}

  found = metrics(state, jax.random.split(jax.random.key(7), len(rows)))
  return {name: float(value) for name, value in found.items()}


def draw(experiment, state, source, path: pathlib.Path) -> None:
  """Writes what the method shows of some examples."""
  batch = source[np.linspace(0, len(source) - 1, 8).astype(int)]
  keys = jax.random.split(jax.random.key(0), len(batch["input"]))
  shown = jax.jit(experiment.method.show)(state.params, state.extra, batch, keys)
  for images in shown.values():
    path.write_bytes(report.sheet(np.asarray(images)))


def cells(found: dict, name: str) -> list[float]:
  """Linear, 1, 5 and 10 labels, of digit, then of direction."""
  values = []
  for label in LABELS:
    row = found[name][label]
    values += [row["linear"], *(row["few_label"][str(n)][0] for n in (1, 5, 10))]
  return values


def rows_of(title: str, found: list[dict], name: str) -> list[str]:
  """A row of the table: means and deviations over the seeds."""
  values = np.array([cells(f, name) for f in found])
  mean, std = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None
  spread = [""] * len(mean) if std is None else [f" ± {d:.1f}" for d in std]
  shown = [f"{m:.1f}{d}" for m, d in zip(mean, spread, strict=True)]
  seconds = [f["seconds"] for f in found if "seconds" in f]
  last = f"{np.mean(seconds):.0f}" if seconds and name == "trained" else ""
  return [title, *shown, len(found), last]


def digit_table(folder: pathlib.Path) -> str:
  """The table of moving digits."""
  load = lambda path: json.loads(path.read_text())
  header = ["features", *(f"{a}: {b}" for a in LABELS for b in ("linear", 1, 5, 10))]
  lines = [rows_of("pixels", [load(folder / "digits_pixels.json")], "trained")]
  for method in METHODS:
    found = [load(p) for p in sorted(folder.glob(f"digits_{method}_[0-9].json"))]
    if found:
      lines.append(rows_of(f"{method}, untrained", found, "untrained"))
      lines.append(rows_of(f"**{method}**", found, "trained"))
  return page.table([*header, "seeds", "seconds"], lines)


def real_table(folder: pathlib.Path) -> str:
  """The table of real clips, or nothing."""
  lines = []
  for method in METHODS:
    path = folder / f"real_{method}.json"
    if path.exists():
      found = json.loads(path.read_text())
      others = [f"{n} {v:.3g}" for n, v in found["last"].items() if n != "loss"]
      losses = [f"{found[n]['loss']:.4g}" for n in ("first", "last")]
      windows = " / ".join(map(str, found["windows"]))
      lines.append(
        [method, *losses, ", ".join(others), windows, round(found["seconds"])]
      )
  if not lines:
    return ""
  header = ("method", "loss before", "after", "measures after", "windows", "seconds")
  return "## Real clips, held-out windows\n\n" + page.table(header, lines)


def write(options, folder: pathlib.Path) -> None:
  """Writes the page and the pictures from all files that are there."""
  pictures = page.path_of(options).parent / "pictures"
  pictures.mkdir(parents=True, exist_ok=True)
  for name in ("digits", "real"):
    if (folder / f"{name}.png").exists():
      out = pictures / f"future_frame_video_{name}.png"
      out.write_bytes((folder / f"{name}.png").read_bytes())
  page.write(
    options,
    "# Video",
    "Moving digits: real digits that move and bounce on a black canvas, no digit in "
    "both splits. Test accuracy in percent: a linear probe with all labels, and 1, 5 "
    "and 10 labels a class (mean of 10 draws); mean ± deviation of the seeds. The "
    "direction is one of eight, so chance is 12.5; the digit's is 10. `untrained` is "
    "the same encoder before training.",
    digit_table(folder),
    real_table(folder),
    "Steps: " + ", ".join(f"{m} {STEPS[m]}" for m in METHODS) + "; batches of 32.",
    page.conditions(),
  )


def main() -> None:
  """Trains what is missing and writes the page."""
  parser = page.parser(__doc__, "video")
  parser.add_argument("--data", type=pathlib.Path, help="folder with the files above")
  parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
  parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/video"))
  options = parser.parse_args()
  folder = page.QUICK / "video" if options.quick else options.runs
  folder.mkdir(parents=True, exist_ok=True)
  measure_pixels(options, folder)
  for seed in options.seeds:
    for method in options.methods:
      measure(method, seed, options, folder)
  if options.data:
    for method in options.methods:
      measure_real(method, options, folder)
  write(options, folder)


if __name__ == "__main__":
  main()
