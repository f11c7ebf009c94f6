"""What a run has learned: looks while it trains, the evaluation, the report."""

import functools
import json
import pathlib
import platform
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxssl import core, evals, report, runs, seeds
from jaxssl.augment import as_it_is, crop_view
from jaxssl.data.kinds import Tile
from jaxssl.data.sources import Parts, Source, skipped_message
from jaxssl.errors import InputError, nearest
from jaxssl.log import Progress, read_metrics, write_json
from jaxssl.ops.numerics import to_float
from jaxssl.registry import Experiment

PyTree = Any
LOOK_TRAIN, LOOK_TEST = 4096, 1024  # images of a look while training
LEAST_JUDGED = 3  # examples: fewer are on one line, whatever the encoder
AUGMENTS = ("views", "light", "none")  # of a fine-tuning
REPORT_TEST = 1000  # images of the map and of the neighbours


def make_look(experiment: Experiment, mesh: Mesh) -> Callable[[core.TrainState], dict]:
  """Returns `look(state)` -> kNN accuracy and collapse measures, as numbers.

  It reads at most 4,096 training and 1,024 test images, spread evenly over the data
  set; kNN is there only if both have labels. A `warning` is a sentence that is there
  only if the features, of 3 examples or more, are collapsing. Of several seeds these
  are means, and `knn_std`.
  """
  scored, run = experiment.data.scored, experiment.run
  encode = runs.make_encode(experiment, mesh)
  train = evenly(scored.train, LOOK_TRAIN)
  test = None if evals.unusable(scored) else evenly(scored.test, LOOK_TEST)

  def look_at(variables):
    features = functools.partial(_features, encode, variables)
    bank, labels = features(train)
    measures = evals.collapse_measures(bank)
    found = {n: float(x) for n, x in measures.items() if n != "possible_rank"}
    if test is not None and np.isfinite(bank).all():
      found["knn"] = _knn(bank, labels, *features(test), scored)
    return found, evals.verdict(measures) if len(bank) >= LEAST_JUDGED else None

  def look(state):
    looks = [look_at(v) for v in seeds.each(run, runs.variables_of(state))]
    found, warnings = zip(*looks, strict=True)
    warning, found = seeds.warning(run, warnings), seeds.mean(found, deviation="knn")
    return found if warning is None else {**found, "warning": warning}

  return look


def _knn(bank, labels, test, test_labels, data):
  k, classes = min(20, len(bank)), len(data.classes)
  return evals.knn_accuracy(bank, labels, test, test_labels, k=k, classes=classes)


def evenly(source: Source, most: int) -> dict[str, np.ndarray] | Parts:
  """Returns at most `most` examples, or parts of them, spread evenly over a source."""
  count = min(most, len(source))
  rows = np.linspace(0, len(source) - 1, count).astype(np.int32)
  return source.some(rows) if isinstance(source, Parts) else source[rows]


def _features(encode, variables, batch):
  """Features and labels, None where there are none."""
  return evals.extract(functools.partial(encode, variables), batch)


def finish(
  experiment: Experiment,
  out: pathlib.Path,
  state: core.TrainState,
  mesh: Mesh,
  say: Callable[[str], None],
) -> evals.Table:
  """Evaluates a run, writes `evaluation.json` and the report; returns the table."""
  say("Evaluating the features and writing the report.")
  table = evaluate(experiment, state, mesh)
  write_json(out / "evaluation.json", table._asdict())
  say(evals.as_text(table))
  if found := task_scores(experiment, state, mesh):
    write_json(out / f"{TASK}.json", {"rows": found, "step": _step(state)})
    say(task_lines(experiment, found))
  page = write_report(experiment, out, state, mesh)
  say(f"The report is {page}")
  return table


def evaluate(
  experiment: Experiment,
  state: core.TrainState,
  mesh: Mesh,
  *,
  protocols: Sequence[str] = evals.USUAL,
) -> evals.Table:
  """Returns the evaluation table: raw pixels, untrained and trained encoder.

  Args:
    experiment: the experiment; its data set is evaluated on.
    state: of the trained run.
    mesh: where to run.
    protocols: any of `evals.PROTOCOLS`.

  Returns:
    The table, accuracies in percent; of several seeds `evals.mean_table` of theirs.
  """
  run, encode = experiment.run, runs.make_encode(experiment, mesh)
  first = runs.make_init(experiment, mesh)()
  encoders = [
    [functools.partial(encode, v) for v in seeds.each(run, runs.variables_of(s))]
    for s in (state, first)
  ]
  pairs = [*zip(*encoders, strict=True)]
  tables = evals.evaluate_runs(pairs, experiment.data, protocols=protocols)
  if run.seeds == 1:
    return tables[0]
  return evals.mean_table(dict(zip(seeds.of(run), tables, strict=True)))


def task_scores(
  experiment: Experiment, state: core.TrainState, mesh: Mesh
) -> dict[str, dict[str, float]]:
  """Returns what papers on such data report, if the experiment says how to find it.

  Args:
    experiment: the experiment.
    state: of the trained run; of several seeds the first is scored.
    mesh: where it is.

  Returns:
    "trained encoder" and "untrained encoder" -> percent by name; empty without any.
  """
  if experiment.scores is None:
    return {}
  pick = lambda x: seeds.pick(experiment.run, runs.variables_of(x))
  first = runs.make_init(experiment, mesh)()
  states = {"trained encoder": state, "untrained encoder": first}
  found = {n: dict(experiment.scores(experiment, pick(x))) for n, x in states.items()}
  return {name: scores for name, scores in found.items() if scores}


def task_lines(experiment: Experiment, found: dict[str, dict[str, float]]) -> str:
  """The scores of the task in words, a line each; of several seeds, whose they are."""
  lines = [f"{name}: {value}" for name, value in task_values(found).items()]
  whose = seeds.of_the_first(experiment.run, "These scores are")
  return "\n".join(filter(None, (*lines, whose)))


def task_values(found: dict[str, dict[str, float]]) -> dict[str, str]:
  """Each score by its name, beside the untrained encoder's where that is another."""
  trained = found.get("trained encoder", {})
  untrained = found.get("untrained encoder", trained)
  beside = lambda n: f" (untrained encoder {untrained[n]:.1f} %)"
  return {
    name: f"{x:.1f} %{beside(name) if untrained[name] != x else ''}"
    for name, x in trained.items()
  }


def finetune(
  experiment: Experiment,
  out: pathlib.Path,
  state: core.TrainState,
  mesh: Mesh,
  *,
  fractions: Sequence[float] = (0.01, 0.1, 1.0),
  recipe: evals.FineTuning = evals.RECIPE,
  augment: str = "views",
  seed: int = 0,
  say: Callable[[str], None] = print,
) -> evals.Table:
  """Fine-tunes the untrained and the trained encoder; writes `finetune.json`.

  Args:
    experiment: the experiment; its data set is trained and evaluated on.
    out: the run's folder.
    state: of the trained run.
    mesh: where the states are.
    fractions: shares of the labels, each in (0, 1].
    recipe: the settings.
    augment: one of `AUGMENTS`: the run's first view where it keeps the shape of an
      example (else nothing), a light crop and flip, or nothing.
    seed: of the choice of the labels, the order and the augmentation.
    say: is told what begins.

  Returns:
    The table, accuracies in percent; raw inputs have none. Of several seeds it is
    that of the first.

  Raises:
    InputError: if a setting is out of its range.
  """
  evals.check_recipe(recipe, fractions=fractions)
  function, described = make_augment(experiment, augment)
  line = evals.finetune_line(recipe, described)
  if reason := evals.not_tunable(experiment.data):
    return evals.Table([], [line], reason)
  options = {"recipe": recipe, "augment": function, "seed": seed, "watch": _progress}
  first = runs.make_init(experiment, mesh)()
  if sentence := seeds.of_the_first(experiment.run, "Fine-tuned is the encoder"):
    say(sentence)
    line = f"{line}, of the run of seed {experiment.run.seed}"
  rows = [{"features": evals.raw_name(experiment.data)}]
  for name, found in (("untrained encoder", first), ("trained encoder", state)):
    scores = {}
    for fraction in sorted(fractions):
      say(f"Fine-tuning the {name} on {100 * fraction:g} % of the labels.")
      scores[str(fraction)] = _finetuned(experiment, found, fraction, options)
    rows.append({"features": name, "finetune": scores})
  table = evals.Table(rows, [line], "")
  keep(out, "finetune", table, state)
  return table


TASK = "scores"  # the file of what `Parts.scores` found
KEPT = ("nearest", "finetune")  # protocols of which a run's folder has a file


def keep(
  out: pathlib.Path, protocol: str, table: evals.Table, state: core.TrainState
) -> None:
  """Writes a table that was asked for into the run's folder, where the report reads it.

  Args:
    out: the run's folder.
    protocol: one of `KEPT`, of which the file has its name.
    table: of that protocol.
    state: that it is of; the report leaves tables of other steps out.
  """
  write_json(out / f"{protocol}.json", {**table._asdict(), "step": _step(state)})


def _step(state):
  """The step of a run, or of several that go together."""
  return int(np.max(jax.device_get(state.step)))


def _finetuned(experiment, state, fraction, options):
  method, data = experiment.method, experiment.data
  encode = lambda v, x: method.encode(v["params"], v["extra"], {"input": x})
  variables = seeds.pick(experiment.run, runs.variables_of(state))
  return evals.finetune(encode, variables, data, fraction=fraction, **options)


def _progress(steps, batch):
  return Progress(steps, start=0, batch=batch)


def make_augment(experiment: Experiment, name: str) -> tuple[Callable, str]:
  """Returns what fine-tuning does to an example, and how the table calls it.

  Args:
    experiment: its views and the shape of its examples.
    name: one of `AUGMENTS`.

  Returns:
    (key, example) -> example of the same shape; a few words.

  Raises:
    InputError: if the name is another, or a crop is asked of what is no image.
  """
  inputs = to_float(runs.example_batch(experiment, 1)["input"])
  example = jax.tree.map(lambda x: x[0], inputs)
  if name not in AUGMENTS:
    raise InputError(
      f"There is no augmentation '{name}'.{nearest(name, AUGMENTS)} There are: "
      f"{', '.join(AUGMENTS)}."
    )
  if name == "none":
    return as_it_is, "none"
  if name == "light":
    if experiment.data.kind.name != "images":
      raise InputError(f"'light' crops images, not {experiment.data.kind.name}.")
    light = crop_view(example.shape[:2], scale=(0.5, 1.0))
    return light, "crop of half the area or more, flip"
  first = lambda key, example: experiment.views(key, example)[0]
  made = jax.eval_shape(first, jax.random.key(0), example)
  same = _form(made) == _form(example)
  return (first, "the run's first view") if same else (as_it_is, "none")


def write_report(
  experiment: Experiment, out: pathlib.Path, state: core.TrainState, mesh: Mesh
) -> pathlib.Path:
  """Writes `report.html` and its pictures from what the run's folder holds.

  Of several seeds the pictures are of the first.
  """
  scored, encode = experiment.data.scored, runs.make_encode(experiment, mesh)
  tested = scored.test is not None
  shown = evenly(scored.test if tested else scored.train, REPORT_TEST)
  variables = seeds.pick(experiment.run, runs.variables_of(state))
  features, labels = _features(encode, variables, shown)
  metrics = read_metrics(out / "metrics.jsonl")
  return report.write(
    out,
    title=f"{experiment.name} ({out})",
    config=experiment.settings,
    metrics=[_knn_as_share(row) for row in metrics],
    evaluation=_shares(out, _step(state)),
    task=task_values(dict(_read_rows(out / f"{TASK}.json", _step(state)))),
    views=sample_views(experiment, rows=6),
    pictures=pictures(experiment, variables, rows=8),
    embedding=features,
    labels=labels,
    examples=_tiles(scored.kind, shown),
    neighbours=_neighbours(features),
    classes=scored.classes,
    split="test" if tested else "training",
    environment=environment(metrics),
    notes=notes(experiment, metrics),
  )


def _neighbours(features):
  """Eight rows and the eight nearest to each; fewer, or None, where there are few."""
  k = min(8, len(features) - 1)
  if k < 1:
    return None
  queries = np.unique(np.linspace(0, len(features) - 1, 8).astype(int))
  return report.neighbours_of(features, queries=queries, k=k)


def _shares(out, step):
  """The rows of the evaluations as the report wants them: trained first, shares."""
  rows = {}
  for name in ("evaluation", *KEPT):
    for row in _read_rows(out / f"{name}.json", step):
      rows[row["features"]] = rows.get(row["features"], {}) | row
  return [_row_as_shares(row) for row in reversed(rows.values())]


def _read_rows(path, step):
  """The rows of a table; none where there is no file, or one of another step."""
  found = json.loads(path.read_text()) if path.is_file() else {"rows": []}
  return found["rows"] if found.get("step", step) == step else []


def _row_as_shares(row):
  plain = ("knn", "nearest", "linear", "clusters")
  shares = {n: row[n] / 100 for n in (*plain, *(f"{n}_std" for n in plain)) if n in row}
  shares |= {"seeds": list(row["seeds"])} if "seeds" in row else {}
  few = {n: [x / 100 for x in pair] for n, pair in row.get("few_label", {}).items()}
  tuned = {n: x / 100 for n, x in row.get("finetune", {}).items()}
  return {"features": row["features"], **shares, "few_label": few, "finetune": tuned}


def _knn_as_share(row):
  return row if row.get("knn") is None else {**row, "knn": row["knn"] / 100}


def _tiles(kind, examples):
  """What a person sees of the examples; None of parts of them."""
  return None if isinstance(examples, Parts) else kind.tiles(examples["input"])


def sample_views(experiment: Experiment, *, rows: int) -> list[list[Tile]]:
  """Returns a row for each of some examples: the original, then its views.

  Views of another form than the example's are left out.
  """
  inputs, kind = evenly(experiment.data.train, rows)["input"], experiment.data.kind
  keys = jax.random.split(jax.random.key(experiment.run.seed), _rows(inputs))
  views = jax.jit(jax.vmap(experiment.views))(keys, inputs)
  originals = to_float(inputs)
  same = [v for v in _views_in(views, originals) if _form(v) == _form(originals)]
  columns = [kind.tiles(jax.device_get(v)) for v in (originals, *same)]
  return [list(row) for row in zip(*columns, strict=True)]


def _views_in(views, like):
  """The views one by one: where examples are arrays every leaf is a view."""
  return jax.tree.leaves(views) if hasattr(like, "shape") else views


def _form(tree):
  return jax.tree.structure(tree), [x.shape for x in jax.tree.leaves(tree)]


def _rows(inputs):
  return len(jax.tree.leaves(inputs)[0])


def pictures(
  experiment: Experiment, variables: PyTree, *, rows: int
) -> dict[str, np.ndarray | list[list[Tile]]]:
  """Returns what the method shows of test (or training) examples, by caption.

  Images are [rows, columns, height, width, channels]; what is of the data's own kind
  is a row of tiles for each example.
  """
  show, data = experiment.method.show, experiment.data
  if show is None:
    return {}
  batch = evenly(data.train if data.test is None else data.test, rows)
  keys = jax.random.split(jax.random.key(experiment.run.seed), _rows(batch["input"]))
  made = jax.jit(show)(variables["params"], variables["extra"], batch, keys)
  return {caption: _shown(data.kind, found) for caption, found in made.items()}


def _shown(kind, found):
  found = jax.device_get(found)
  images = isinstance(found, np.ndarray) and found.ndim == 5
  if images and np.issubdtype(found.dtype, np.floating):
    return found
  columns = jax.tree.leaves(found)[0].shape[1]
  made = [
    kind.tiles(jax.tree.map(lambda x, i=i: x[:, i], found)) for i in range(columns)
  ]
  return [list(row) for row in zip(*made, strict=True)]


def environment(metrics: Sequence[dict]) -> dict[str, Any]:
  """Returns versions, device and seconds, as the report shows them."""
  import flax
  import optax

  import jaxssl

  seconds = [row["seconds"] for row in metrics if "seconds" in row]
  return {
    "jaxssl": jaxssl.__version__,
    "python": platform.python_version(),
    "jax": jax.__version__,
    "flax": flax.__version__,
    "optax": optax.__version__,
    "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    "wall_time_s": seconds[-1] if seconds else None,
  }


def notes(experiment: Experiment, metrics: Sequence[dict]) -> list[str]:
  """Returns the sentences that a reader of the report must see.

  Warnings that differ only in their numbers are one sentence, with those of the last.
  """
  alike = {}
  for row in metrics:
    if row.get("warning"):
      alike.setdefault(_without_numbers(row["warning"]), []).append(row)
  found = [_note(rows) for rows in alike.values()]
  skipped = skipped_message(experiment.data)
  shown = "The map, the neighbours, the pictures, fine-tuning and scores of a task are"
  first = seeds.of_the_first(experiment.run, shown)
  return [*found, *filter(None, (skipped, first))]


def _without_numbers(sentence):
  return re.sub(r"[0-9][0-9.e+-]*", "", sentence)


def _note(rows):
  steps = sorted({row["step"] for row in rows})
  when = f"Step {steps[0]:,}"
  if len(steps) > 1:
    when = f"{len(steps)} times from step {steps[0]:,} to {steps[-1]:,}"
  return f"{when}: {rows[-1]['warning']}"
