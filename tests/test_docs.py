"""The pages of the methods: up to date, complete, and true of the code."""

import functools
import importlib.util
import inspect
import itertools
import pathlib
import re
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import (
  augment,
  core,
  data,
  evals,
  losses,
  methods,
  models,
  ops,
  optim,
  registry,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "methods"
FACTS = ROOT / "docs" / "method_facts"
OWN_PRETEXT = ROOT / "docs" / "own_pretext.md"
FILES = sorted(FACTS.glob("*.toml"))
NAMES = [path.stem for path in FILES]
PACKAGES = {
  "augment": augment,
  "data": data,
  "methods": methods,
  "models": models,
  "ops": ops,
  "optim": optim,
}
OF_VIEWS = {"alpha_req", "alignment", "uniformity", "lidar"}
TEXT_IN_A_BOX = 18  # characters of a line


@functools.cache
def generator():
  """The module that writes the pages."""
  path = ROOT / "docs" / "make_methods.py"
  spec = importlib.util.spec_from_file_location("make_methods", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@functools.cache
def facts(name):
  return tomllib.loads((FACTS / f"{name}.toml").read_text())


def files_below(folder):
  return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def test_pages_are_what_the_generator_writes(tmp_path):
  generator().write(tmp_path)
  made, kept = files_below(tmp_path), files_below(PAGES)
  assert set(made) == set(kept)
  stale = [n for n in made if made[n].read_text() != kept[n].read_text()]
  assert not stale, f"run `python docs/make_methods.py`: {stale}"


def test_every_file_of_facts_is_in_a_family():
  assert sorted(generator().NAMES) == NAMES


def test_every_method_has_a_page():
  public = {getattr(methods, name) for name in methods.__all__}
  functions = {
    f
    for f in public
    if inspect.isfunction(f) and inspect.signature(f).return_annotation is core.Method
  }
  described = {f for name in NAMES for f in generator().functions(facts(name))}
  assert functions - described == {methods.predictive}
  assert "`methods.predictive`" in OWN_PRETEXT.read_text()


@pytest.mark.parametrize(
  "path", [*sorted(PAGES.glob("*.md")), OWN_PRETEXT], ids=lambda p: p.stem
)
def test_links_resolve(path):
  links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
  inside = [link for link in links if not link.startswith("https://")]
  assert inside
  missing = [x for x in inside if not (path.parent / x.partition("#")[0]).exists()]
  assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_ideas_have_three_sentences(name):
  idea = facts(name)["idea"].strip()
  sentences = re.split(r"(?<=[.!?])\s+", idea)
  assert len(sentences) == 3 and idea.endswith("."), sentences


@pytest.mark.parametrize("name", NAMES)
def test_losses_exist(name):
  for loss in facts(name)["losses"]:
    function = loss["function"]
    known = function in losses.__all__ or function.startswith("optax.losses.")
    assert known or hasattr(optax, function.removeprefix("optax.")), function
    assert set(loss) == {"function", "note", "formula"}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_facts_name_exists(name):
  text = (FACTS / f"{name}.toml").read_text()
  for package, attribute in re.findall(rf"\b({'|'.join(PACKAGES)})\.(\w+)", text):
    assert hasattr(PACKAGES[package], attribute), f"{package}.{attribute}"
  measures = set(evals.collapse_measures(jnp.eye(3))) | OF_VIEWS
  assert set(re.findall(r"measure/(\w+)", text)) <= measures


@pytest.mark.parametrize("name", NAMES)
def test_the_paper_is_the_one_in_the_code(name):
  """In the file of the method, or of the one whose state it has (patch order)."""
  state = generator().find(facts(name)["extra"][0], "jaxssl.methods")
  places = generator().functions(facts(name))[0], state
  source = "".join(pathlib.Path(inspect.getfile(x)).read_text() for x in places)
  who, paper = facts(name)["papers"][0]
  assert (who if "://" in paper else paper) in source


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_their_columns(name):
  assert all(len(row) == 4 for row in facts(name)["differences"])
  assert all(len(row) == 3 and all(row) for row in facts(name)["failures"])
  assert len(facts(name)["failures"]) >= 3


EVERYDAY = ("simclr", "swav", "vicregl", "ijepa")  # of whose snippets a step is traced


@pytest.mark.parametrize(
  "name",
  [n if n in EVERYDAY else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_snippets_build_a_method_that_trains(name):
  """And its state is the one on the page."""
  method, batch = built(name)
  tx = optax.sgd(0.1)
  init = lambda key: core.init_state(method, tx, key, batch)
  state = jax.eval_shape(init, jax.random.key(0))
  step = functools.partial(core.train_step, method, tx)
  after, metrics = jax.eval_shape(step, state, batch)
  assert metrics["loss"].shape == ()
  assert jax.tree.structure(after) == jax.tree.structure(state)
  described = generator().find(facts(name)["extra"][0], "jaxssl.methods")
  assert type(state.extra) is described


def examples(name, space):
  """Inputs for a page's method: of the data that its snippet opens, or made up."""
  if opened := space.get("opened") or getattr(space.get("words"), "data", None):
    return opened.train[np.arange(8)]["input"]
  made = MADE.get(name)
  return np.zeros((128, 32, 32, 3), np.uint8) if made is None else made()


MADE = {
  **dict.fromkeys(("clip", "siglip", "lit"), lambda: captioned()),
  **dict.fromkeys(
    ("cpc_audio", "wav2vec2", "hubert", "cola", "masked_spectrogram"),
    lambda: np.zeros((8, 16000), np.float32),
  ),
  **dict.fromkeys(
    ("future_frame", "frame_order", "tcn", "videomae"),
    lambda: np.zeros((8, 16, 64, 64, 3), np.uint8),
  ),
  **dict.fromkeys(("grace", "graphcl", "dgi", "graphmae"), lambda: graphs()),
  **dict.fromkeys(("bert4rec", "sasrec"), lambda: np.ones((8, 50), np.int32)),
}


def captioned():
  return data.Captioned(np.zeros((8, 32, 32, 3), np.uint8), np.ones((8, 40), np.int32))


def graphs():
  return data.open_graphs("digit_graphs").train[np.arange(8)]["input"]


def built(name):
  """The method of a page's snippet, and shapes of a batch for it."""
  snippet = facts(name)["snippet"]
  assert max(map(len, snippet.splitlines())) <= 88
  space = {}
  exec(snippet, space)
  inputs = examples(name, space)
  rows = len(jax.tree.leaves(inputs)[0])
  numbers = np.zeros(rows, np.int32)
  batch = {"input": inputs, "index": numbers, "label": numbers}
  batch = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, batch))
  assert isinstance(space["method"], core.Method)
  return space["method"], batch


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_no_overlaps_and_no_loose_boxes(name):
  flow, boxes = facts(name)["flow"], generator().boxes_of(facts(name))
  for a, b in itertools.combinations(boxes.values(), 2):
    assert a.column != b.column or a.bottom < b.top or b.bottom < a.top, (a, b)
  for box in boxes.values():
    lines = box.text.split("\n")
    assert max(map(len, lines)) <= TEXT_IN_A_BOX, box
    assert 16 * len(lines) < box.bottom - box.top, box
  ends = [x for text in flow["arrows"] for x in text.partition(": ")[0].split()]
  assert {x.partition("@")[0] for x in ends if x[-1] != ">"} == set(boxes)


@pytest.mark.parametrize("name", NAMES)
def test_arrows_cross_no_box(name):
  """A horizontal arrow over several columns has no box in its way."""
  boxes = generator().boxes_of(facts(name))
  for text in facts(name)["flow"]["arrows"]:
    start, _, end = text.partition(": ")[0].split()
    (a, row), (b, to) = (generator().end_of(boxes, x) for x in (start, end))
    rows = [r for r in a.rows if r in b.rows] or [
      generator().nearest(a.rows, to, b.rows)
    ]
    rows = rows if row is None else [row]
    between = [c for c in boxes.values() if a.column < c.column < b.column]
    hit = [c for c in between for r in rows if c.rows[0] <= r <= c.rows[-1]]
    assert not hit, (text, hit)


def snippets(path):
  return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_a_pretext_of_ones_own_trains(tmp_path):
  """The page's experiment, with its pictures, from a file as the page says."""
  text, show = snippets(OWN_PRETEXT)
  own = tmp_path / "mirror.py"
  own.write_text(text.replace("measures=accuracy,", "measures=accuracy, show=show,"))
  own.write_text(own.read_text() + show)
  built = registry.build(f"{own}:mirror_digits", learning_rate=1e-3)
  batch = {"input": jnp.zeros((8, 8, 8, 1), jnp.uint8)}
  init = lambda key: core.init_state(built.method, built.tx, key, batch)
  state = jax.eval_shape(init, jax.random.key(0))
  step = functools.partial(core.train_step, built.method, built.tx)
  _, metrics = jax.eval_shape(step, state, batch)
  assert {"loss", "pretext_accuracy"} <= set(metrics)
  keys = jax.random.split(jax.random.key(0), 8)
  shown = jax.eval_shape(built.method.show, state.params, state.extra, batch, keys)
  assert [x.shape for x in shown.values()] == [(8, 2, 8, 8, 1)]


def test_the_question_of_the_page_and_its_pictures_agree():
  space = {}
  for text in snippets(OWN_PRETEXT):
    exec(text, space)
  image = jnp.arange(8.0).reshape(2, 4, 1)
  seen, answers = jax.vmap(lambda key: space["mirrored"](key, image))(
    jax.random.split(jax.random.key(0), 16)
  )
  assert set(answers.tolist()) == {0, 1}
  (shown,) = space["show"](seen, answers, jax.nn.one_hot(answers, 2)).values()
  assert (shown[:, 1] == jnp.broadcast_to(image, (16, 2, 4, 1))).all()
