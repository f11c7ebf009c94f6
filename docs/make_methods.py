"""Writes the pages of the methods, from facts written by hand and from the code.

  python docs/make_methods.py [FOLDER]

`docs/method_facts/NAME.toml` holds what no code says: the idea, the loss as a formula,
what differs between paper, official code and jaxssl, how the method fails, a snippet,
and the data flow as boxes and arrows. Signatures, state and experiments come from the
code. The pages go to `docs/methods/`, the pictures to `docs/methods/flow/`.
"""

import html
import importlib
import inspect
import pathlib
import re
import sys
import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxssl import losses, registry

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACTS = ROOT / "docs" / "method_facts"
OUT = ROOT / "docs" / "methods"
UP = "../../"  # from a page to the repository
RESULTS = ROOT / "benchmarks" / "results"
BENCHMARKS = {
  "methods": "All methods with one budget",
  "pretexts": "Pretexts, autoencoders and masked models with one budget",
}
ON_A_GPU = """
## On Imagenette

`python benchmarks/imagenette.py --data imagenette.npz` trains eight methods
(ResNet-18, crops of 128 pixels, batches of 256, 200 epochs) and writes their kNN,
seconds and memory beside lightly's published figures;
`benchmarks/prepare_imagenette.py` makes the file. It wants a GPU, and was not measured
yet.
"""
FAMILIES = {
  "Contrastive": (
    *("simclr", "moco_v1", "moco_v2", "moco_v3", "npid", "nnclr", "dcl", "supcon"),
    *("ressl", "cpc"),
  ),
  "Without negatives": (
    *("byol", "simsiam", "barlow_twins", "vicreg", "vicregl", "w_mse", "tico"),
    *("lejepa", "dino", "ibot", "dinov2", "ijepa"),
  ),
  "Clustering": ("deepcluster", "deepcluster_v2", "swav"),
  "Distillation": ("seed",),
  "Predictive": (
    *("rotation", "context", "jigsaw", "patch_order", "colorization", "inpainting"),
  ),
  "Autoencoding, adversarial": (
    *("autoencoder", "denoising", "vae", "dvae", "gan", "bigan"),
  ),
  "Masked image modelling": ("mae", "simmim", "beit", "maskfeat", "data2vec"),
  "Autoregressive": ("aim",),
  "Text": ("skip_gram", "cbow", "gpt", "bert", "roberta", "simcse"),
  "Image and text": ("clip", "siglip", "lit"),
  "Audio": ("cpc_audio", "wav2vec2", "hubert", "cola", "masked_spectrogram"),
  "Video": ("future_frame", "frame_order", "tcn", "videomae"),
  "Video and sound": ("alignment", "cross_modal"),
  "Graphs": ("grace", "graphcl", "dgi", "graphmae"),
  "Tables": ("scarf", "vime", "table_denoising"),
  "Sequences of items": ("bert4rec", "sasrec"),
}
NAMES = tuple(name for family in FAMILIES.values() for name in family)
NOTE = "<!-- Written by docs/make_methods.py; edit docs/method_facts instead. -->"


def write(folder: pathlib.Path) -> None:
  """Writes all pages and pictures into `folder`."""
  (folder / "flow").mkdir(parents=True, exist_ok=True)
  facts = {name: read(name) for name in NAMES}
  owned = experiments(facts)
  for name, fact in facts.items():
    (folder / f"{name}.md").write_text(page(name, fact, owned[name]))
    (folder / "flow" / f"{name}.svg").write_text(picture(fact))
  (folder / "README.md").write_text(index(facts))


def read(name: str) -> dict[str, Any]:
  """Returns the facts of a method."""
  return tomllib.loads((FACTS / f"{name}.toml").read_text())


# The pages.


def page(name: str, fact: dict, entries: dict[str, registry.Entry]) -> str:
  """One method's page in Markdown."""
  parts = (
    NOTE,
    f"# {fact['title']}",
    fact["idea"].strip(),
    f"{papers(fact)}. Code: {code_links(fact)}.",
    f"![The data flow of {fact['title']}](flow/{name}.svg)",
    "## Loss",
    *[formula(loss) for loss in fact["losses"]],
    "## Paper, official code, jaxssl",
    table(("", "paper", "official code", "jaxssl"), fact["differences"]),
    "## How it fails",
    table(("what goes wrong", "where it shows", "what to turn"), fact["failures"]),
    "## Use",
    f"```python\n{fact['snippet'].strip()}\n```",
    *[arguments(function) for function in functions(fact)],
    "## State",
    state(fact),
    "## Experiments",
    experiment_table(entries),
    *sheets(fact["experiments"]),
    "[All methods](README.md)",
  )
  return "\n\n".join(parts) + "\n"


def papers(fact: dict) -> str:
  """Links to the papers."""
  links = [f"[{who}]({address(paper)})" for who, paper in fact["papers"]]
  return "; ".join(links)


def address(paper: str) -> str:
  """Where a paper is, from its number at arXiv; others are given by their address."""
  return paper if "://" in paper else f"https://arxiv.org/abs/{paper}"


def code_links(fact: dict) -> str:
  """Links to the files of the method's functions."""
  found = [f"{link(f'`{f.__name__}`', f)}" for f in functions(fact)]
  return ", ".join(found)


def link(text: str, thing: Any) -> str:
  """A link from a page to the file in which a function or class is."""
  return f"[{text}]({UP}{source(thing)})"


def source(thing: Any) -> str:
  """The file of a function or class, from the root of the repository."""
  return pathlib.Path(inspect.getfile(thing)).resolve().relative_to(ROOT).as_posix()


def functions(fact: dict) -> list[Callable]:
  """The constructors of a page; those of `jaxssl.methods` have no dot in the facts."""
  return [find(name, "jaxssl.methods") for name in fact["functions"]]


def find(name: str, package: str) -> Any:
  """Returns `package.name`, or what `module.name` names."""
  module, _, last = name.rpartition(".")
  return getattr(importlib.import_module(module or package), last)


def formula(loss: dict) -> str:
  """A loss as a formula, beside the function that computes it."""
  function = find(loss["function"], losses.__name__)
  where = link(f"`{loss['function']}`", function) if is_ours(function) else ""
  title = where or f"`{loss['function']}`"
  return f"{title}: {loss['note'].strip()}\n\n$$\n{loss['formula'].strip()}\n$$"


def is_ours(thing: Any) -> bool:
  """Whether a function is defined in this repository."""
  return pathlib.Path(inspect.getfile(thing)).resolve().is_relative_to(ROOT / "jaxssl")


def table(titles: tuple[str, ...], rows: list) -> str:
  """A Markdown table."""
  lines = [titles, ["---"] * len(titles), *rows]
  return "\n".join(f"| {' | '.join(cell(x) for x in line)} |" for line in lines)


def cell(text: str) -> str:
  """Text on one line, its bars escaped."""
  return " ".join(text.split()).replace("|", "\\|")


def arguments(function: Callable) -> str:
  """A constructor's signature with defaults, and a table of its arguments."""
  signature = inspect.signature(function)
  shown = ", ".join(shown_arguments(signature, constants(function)))
  documented = sections(function).get("Args", {})
  text = f"`{function.__name__}({shown})`"
  if not documented:
    return f"{text}: {summary(function)}"
  rows = [
    [f"`{name}`", default(signature.parameters[name], constants(function)), meaning]
    for name, meaning in documented.items()
  ]
  return f"{text}\n\n{table(('argument', 'default', 'meaning'), rows)}"


def constants(function: Callable) -> dict[int, str]:
  """Names of the tuples of a function's module, by their identity: see `value_of`."""
  known = vars(inspect.getmodule(function)).items()
  return {id(x): n for n, x in known if isinstance(x, tuple) and n.isupper()}


def shown_arguments(signature: inspect.Signature, known: dict[int, str]) -> list[str]:
  """The arguments as one writes them, with a star before the keyword-only ones."""
  found, starred = [], False
  for parameter in signature.parameters.values():
    if parameter.kind is parameter.KEYWORD_ONLY and not starred:
      found, starred = [*found, "*"], True
    value = value_of(parameter, known)
    found.append(parameter.name if value is None else f"{parameter.name}={value}")
  return found


def value_of(parameter: inspect.Parameter, known: dict[int, str]) -> str | None:
  """A default as one writes it, by its name if it has one; None without one."""
  if parameter.default is parameter.empty:
    return None
  if id(parameter.default) in known:
    return known[id(parameter.default)]
  return getattr(parameter.default, "__name__", repr(parameter.default))


def default(parameter: inspect.Parameter, known: dict[int, str]) -> str:
  """A default for the table, empty without one."""
  value = value_of(parameter, known)
  return "" if value is None else f"`{value}`"


def sections(thing: Any) -> dict[str, dict[str, str]]:
  """The named entries of a docstring's Args and Attributes."""
  found, entries, name = {}, None, None
  for line in inspect.getdoc(thing).splitlines():
    title = re.fullmatch(r"(Args|Attributes|Returns|Raises):", line)
    entry = re.fullmatch(r"  (\w+): (.*)", line)
    if title:
      entries = found.setdefault(title[1], {})
    elif entries is not None and entry:
      name = entry[1]
      entries[name] = entry[2]
    elif entries and line.startswith("    "):
      entries[name] += f" {line.strip()}"
  return found


def summary(thing: Any) -> str:
  """The first paragraph of a docstring on one line."""
  return " ".join(inspect.getdoc(thing).split("\n\n")[0].split())


def state(fact: dict) -> str:
  """The fields of the method's `extra`."""
  return "\n\n".join(state_of(find(name, "jaxssl.methods")) for name in fact["extra"])


def state_of(extra: type[NamedTuple]) -> str:
  """A heading and the fields of one NamedTuple; all of it is checkpointed."""
  documented = sections(extra).get("Attributes", {})
  title = f"{link(f'`{extra.__name__}`', extra)}: {summary(extra)}"
  if not documented:
    return title
  rows = [[f"`{field}`", documented[field]] for field in extra._fields]
  return f"{title}\n\n{table(('field', 'what it is'), rows)}"


def experiments(facts: dict[str, dict]) -> dict[str, dict[str, registry.Entry]]:
  """Each page's experiments: those whose longest known prefix is the page's."""
  owners = {prefix: name for name, f in facts.items() for prefix in f["experiments"]}
  owned = {name: {} for name in facts}
  for experiment, entry in registry.names().items():
    prefixes = [p for p in owners if f"{experiment}_".startswith(f"{p}_")]
    if prefixes:
      owned[owners[max(prefixes, key=len)]][experiment] = entry
  return owned


def experiment_table(entries: dict[str, registry.Entry]) -> str:
  """The experiments with what they reach and cost, linked to their files."""
  rows = [
    [link(f"`{name}`", e.function), e.data, e.reaches, e.cost]
    for name, e in entries.items()
  ]
  return table(("`jaxssl train`", "data", "reaches", "cost"), rows)


def index(facts: dict[str, dict]) -> str:
  """The table of all methods, and of what they reach with one budget."""
  titles = ("method", "family", "views", "negatives and state", "loss", "paper")
  rows = [
    index_row(name, family, facts[name])
    for family, names in FAMILIES.items()
    for name in names
  ]
  measured = [
    text for name, title in BENCHMARKS.items() for text in benchmark(name, title)
  ]
  parts = (NOTE, INDEX.strip(), table(titles, rows), *measured, ON_A_GPU.strip())
  return "\n\n".join(parts) + "\n"


def index_row(name: str, family: str, fact: dict) -> list[str]:
  """One method's line of the index."""
  names = dict.fromkeys(loss["function"] for loss in fact["losses"])
  used = ", ".join(f"`{function}`" for function in names)
  links = ", ".join(
    f"[{who if '://' in paper else paper}]({address(paper)})"
    for who, paper in fact["papers"]
  )
  title = f"[{fact['title']}]({name}.md)"
  return [title, family, fact["views"], fact["state"], used, links]


def benchmark(name: str, title: str) -> tuple[str, ...]:
  """A measured table, if it has been made, and the command that makes it."""
  command, path = f"`python benchmarks/{name}.py` measures", RESULTS / f"{name}.md"
  if not path.exists():
    return f"## {title}", f"{command} and writes this table."
  place = f"[this table]({UP}{path.relative_to(ROOT).as_posix()})"
  return f"## {title}", f"{command} and writes {place}.", below(path.read_text())


def below(text: str) -> str:
  """A page as a part of another: without its title, its headings a level lower."""
  without = re.sub(r"\A# .*\n", "", text).strip()
  return re.sub(r"^(#+ )", r"#\1", without, flags=re.MULTILINE)


def sheets(methods: list[str]) -> tuple[str, ...]:
  """The pictures that the benchmark of the pretexts drew, if there are any."""
  found = sorted((RESULTS / "pictures").glob("*.png"))
  own = [p for p in found if re.sub(r"_\d+$", "", p.stem) in methods]
  if not own:
    return ()
  note = "Of test images, after the run of `python benchmarks/pretexts.py`."
  links = [f"![{p.stem}]({UP}{p.relative_to(ROOT).as_posix()})" for p in own]
  return "## What it makes", note, *links


INDEX = """
# Methods

Each page has the idea, the loss beside the function that computes it, the differences
between paper, official code and jaxssl, how the method fails, its data flow, state and
experiments. The column of the state says what a row is compared with, and what a method
keeps between steps beside its weights and batch statistics.

A pretext task of your own is a function of ten lines:
[how to write one](../own_pretext.md).
"""


# The pictures: boxes on a grid of columns and rows, and arrows between them.

WIDTH, HEIGHT, GAP, STEP, MARGIN = 132, 44, 46, 74, 20
LINE, STOP, WRITE = "#1f2937", "#dc2626", "#6b7280"
FILLS = {
  "data": ("#ffffff", "#6b7280", "data"),
  "net": ("#dbeafe", "#2563eb", "trained"),
  "frozen": ("#e5e7eb", "#6b7280", "not trained by the gradient"),
  "memory": ("#fef3c7", "#d97706", "kept between steps"),
  "loss": ("#dcfce7", "#16a34a", "loss"),
}
ARROWS = {
  ">": "data flow",
  "|>": "stop-gradient",
  "~>": "written, without gradient",
}
MARKS = """<defs>
<marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">
<path d="M0,0 L9,4 L0,8 z" fill="#1f2937"/></marker>
<marker id="write" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">
<path d="M0,0 L9,4 L0,8 z" fill="#6b7280"/></marker>
</defs>"""


class Box(NamedTuple):
  """A box of a picture.

  Attributes:
    column: counted from 0.
    rows: all rows that it spans.
    text: lines of text.
    kind: one of `FILLS`.
  """

  column: int
  rows: tuple[float, ...]
  text: str
  kind: str

  @property
  def left(self) -> float:
    """Where it begins."""
    return MARGIN + self.column * (WIDTH + GAP)

  @property
  def right(self) -> float:
    """Where it ends."""
    return self.left + WIDTH

  @property
  def top(self) -> float:
    """Its upper edge."""
    return middle(self.rows[0]) - HEIGHT / 2

  @property
  def bottom(self) -> float:
    """Its lower edge."""
    return middle(self.rows[-1]) + HEIGHT / 2


def middle(row: float) -> float:
  """The height at which a row's arrows run."""
  return MARGIN + HEIGHT / 2 + row * STEP


def boxes_of(fact: dict) -> dict[str, Box]:
  """The boxes by name, from [name, column, "rows", text, kind]."""
  found = {}
  for name, column, rows, text, kind in fact["flow"]["boxes"]:
    first, _, last = rows.partition("-")
    first, last = float(first), float(last or first)
    spanned = tuple(first + i for i in range(int(last - first) + 1))
    found[name] = Box(column, spanned, text, kind)
  return found


def picture(fact: dict) -> str:
  """The data flow as an SVG of its own, on white."""
  boxes = boxes_of(fact)
  arrows = [arrow(boxes, text) for text in fact["flow"]["arrows"]]
  kinds = [kind for kind, _ in arrows]
  width = max(box.right for box in boxes.values()) + MARGIN
  floor = max(box.bottom for box in boxes.values()) + 34
  entries = legend([b.kind for b in boxes.values()], kinds)
  height = floor + 22 * (1 + (len(entries) - 1) // per_line(width)) - 2
  body = [path for _, path in arrows] + [drawn(box) for box in boxes.values()]
  body += [keyed(e, i, floor, per_line(width)) for i, e in enumerate(entries)]
  title = html.escape(f"Data flow of {fact['title']}")
  head = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
    f'width="{width:g}" height="{height:g}" font-family="Helvetica, Arial, sans-serif">'
  )
  ground = f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>'
  lines = [head, f"<title>{title}</title>", MARKS, ground, *body, "</svg>"]
  return "\n".join(lines) + "\n"


def drawn(box: Box) -> str:
  """A box with its text in the middle."""
  fill, stroke, _ = FILLS[box.kind]
  lines = box.text.split("\n")
  x, y = box.left + WIDTH / 2, (box.top + box.bottom) / 2 - 8 * (len(lines) - 1)
  rect = (
    f'<rect x="{box.left:g}" y="{box.top:g}" width="{WIDTH}" '
    f'height="{box.bottom - box.top:g}" rx="7" fill="{fill}" stroke="{stroke}" '
    'stroke-width="1.5"/>'
  )
  texts = [words(x, y + 4.5 + 16 * i, line, 13) for i, line in enumerate(lines)]
  return "\n".join((rect, *texts))


def words(
  x: float, y: float, text: str, size: int, anchor: str = "middle", color: str = LINE
) -> str:
  """A line of text."""
  return (
    f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
    f'fill="{color}">{html.escape(text)}</text>'
  )


def arrow(boxes: dict[str, Box], text: str) -> tuple[str, str]:
  """An arrow's kind and drawing, from "a > b", "a@row |> b@row" or "a ~> b: label"."""
  ends, _, label = text.partition(": ")
  start, kind, end = ends.split()
  (a, from_row), (b, to_row) = (end_of(boxes, x) for x in (start, end))
  if a.column == b.column:
    return kind, upright(a, b, kind, label)
  pairs = [(r, r) for r in a.rows if r in b.rows]
  if from_row is not None or to_row is not None or not pairs:
    near = from_row if from_row is not None else nearest(a.rows, to_row, b.rows)
    pairs = [(near, to_row if to_row is not None else nearest(b.rows, near, a.rows))]
  return kind, "\n".join(across(a, b, kind, *pair) for pair in pairs)


def end_of(boxes: dict[str, Box], text: str) -> tuple[Box, float | None]:
  """The box, and the row if one is given."""
  name, _, row = text.partition("@")
  return boxes[name], float(row) if row else None


def nearest(
  rows: tuple[float, ...], row: float | None, others: tuple[float, ...]
) -> float:
  """The row of `rows` nearest to `row`, or to `others` without one.

  A row between two of a box that spans it is taken as it is.
  """
  wanted = (row,) if row is not None else others
  inside = [w for w in wanted if rows[0] <= w <= rows[-1]]
  if inside:
    return inside[0]
  return min(rows, key=lambda r: min(abs(r - w) for w in wanted))


def across(a: Box, b: Box, kind: str, from_row: float, to_row: float) -> str:
  """An arrow to the right; where it changes its row, it does so in the last gap."""
  y, end = middle(from_row), middle(to_row)
  x, turn, tip = a.right, b.left - GAP + 2, b.left - 1
  path = f"M{x:g},{y:g} H{turn:g}"
  if y == end:
    path = f"M{x:g},{y:g} H{tip:g}"
  else:
    path += f" C{turn + 22:g},{y:g} {tip - 26:g},{end:g} {tip - 8:g},{end:g} H{tip:g}"
  return stroke(path, kind) + (bars(tip - 21, end) if kind == "|>" else "")


def upright(a: Box, b: Box, kind: str, label: str) -> str:
  """An arrow between two boxes of a column, its label to the right."""
  down = a.top < b.top
  x = a.left + WIDTH / 2
  y, tip = (a.bottom, b.top - 1) if down else (a.top, b.bottom + 1)
  name = words(x + 7, (y + tip) / 2 + 4, label, 11, "start", WRITE) if label else ""
  return stroke(f"M{x:g},{y:g} V{tip:g}", kind) + name


def stroke(path: str, kind: str) -> str:
  """A line with a tip; dashed where something is written."""
  color, tip = (WRITE, "write") if kind == "~>" else (LINE, "tip")
  dash = ' stroke-dasharray="5 4"' if kind == "~>" else ""
  return (
    f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6"{dash} '
    f'marker-end="url(#{tip})"/>'
  )


def bars(x: float, y: float) -> str:
  """Two strokes across an arrow: no gradient passes."""
  path = f"M{x - 3:g},{y - 7:g} V{y + 7:g} M{x + 2:g},{y - 7:g} V{y + 7:g}"
  return f'<path d="{path}" stroke="{STOP}" stroke-width="2"/>'


def legend(kinds: list[str], arrows: list[str]) -> list[tuple[str, str]]:
  """What the picture uses: (kind of box or arrow, its meaning)."""
  used = [(k, FILLS[k][2]) for k in FILLS if k in kinds and k not in ("data", "loss")]
  return used + [(k, ARROWS[k]) for k in ARROWS if k in arrows]


def per_line(width: float) -> int:
  """Entries of the legend in a line."""
  return max(int((width - 2 * MARGIN) // 205), 1)


def keyed(entry: tuple[str, str], index: int, floor: float, columns: int) -> str:
  """One entry of the legend."""
  kind, meaning = entry
  x, y = MARGIN + 205 * (index % columns), floor + 22 * (index // columns)
  text = words(x + 40, y + 4, meaning, 12, "start", "#374151")
  if kind in ARROWS:
    sign = stroke(f"M{x:g},{y:g} H{x + 32:g}", kind)
    return sign + (bars(x + 10, y) if kind == "|>" else "") + text
  fill, edge, _ = FILLS[kind]
  shape = f'<rect x="{x + 4:g}" y="{y - 8:g}" width="24" height="16" rx="3" '
  return f'{shape}fill="{fill}" stroke="{edge}"/>{text}'


if __name__ == "__main__":
  write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
