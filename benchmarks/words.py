"""Word vectors, SimCSE and sequences of items: what they learn, on real text.

  python benchmarks/words.py --data FOLDER [--seeds 0] [--quick]

FOLDER holds gutenberg.txt.gz (books, paragraphs between empty lines), brown.tsv.gz
(genre, file, sentence) and, with a label first, trec_train.tsv.gz, trec_test.tsv.gz,
mr_train.tsv.gz and mr_test.tsv.gz. Every tenth paragraph or sentence is held out: of it
the pointwise mutual information of pairs of words is counted, which the cosine of their
vectors should follow. One JSON file a run goes to the folder of runs and is not made
twice; the page goes to `benchmarks/results/words.md`.
"""

import argparse
import collections
import gzip
import json
import pathlib

import jax
import numpy as np
import page
from methods import advance

from jaxssl import evals, methods, registry, runs
from jaxssl.data.items import open_items
from jaxssl.data.text import paragraphs
from jaxssl.data.words import Vocabulary, split_words
from jaxssl.mesh import data_mesh
from jaxssl.presets.sequences import bert4rec_net, sasrec_net
from jaxssl.train import use_compilation_cache

WORDS = (
  *("king", "queen", "man", "woman", "lord", "father", "mother", "child", "house"),
  *("church", "sea", "river", "ship", "horse", "dog", "day", "night", "summer"),
  *("red", "white", "good", "evil", "money", "war", "government", "school", "doctor"),
  *("love", "said", "three"),
)
EPOCHS = 10  # of word2vec over the places of the text
BATCH = 1024
THRESHOLD = 1e-4  # of the subsampling
REACH = 5  # words between which a pair is counted
FREQUENT = 2000  # words whose pairs are counted
LEAST = 5  # times that a pair occurs
LABELS = (10, 100)
SETS = ("trec", "mr")
SPLITS = ("train", "test")
NAMES = ("skip_gram", "cbow", "simcse", "bert4rec", "sasrec")
SIMCSE = {"steps": 3000, "batch": 64, "vocabulary": 8192, "length": 48}
QUICK = {"steps": 4, "batch": 64}
ITEM_NETS = {
  "bert4rec": (bert4rec_net, methods.bert4rec_scores),
  "sasrec": (sasrec_net, methods.sasrec_scores),
}


def read(path: pathlib.Path) -> str:
  """The text of a compressed file."""
  return gzip.decompress(path.read_bytes()).decode("utf-8")


def prepare(data: pathlib.Path, folder: pathlib.Path, quick: bool) -> None:
  """Writes the texts in the forms that jaxssl opens, unless they are there."""
  folder.mkdir(parents=True, exist_ok=True)
  if (folder / "mr_test.tsv").exists():
    return
  lines = read(data / "brown.tsv.gz").strip().split("\n")
  brown = [line.split("\t")[2] for line in lines]
  parts = paragraphs(read(data / "gutenberg.txt.gz")) + brown
  parts = parts[:: 50 if quick else 1]
  for name, kept in (("train", range(9)), ("held_out", (9,))):
    chosen = [p for i, p in enumerate(parts) if i % 10 in kept]
    (folder / f"{name}.txt").write_text("\n\n".join(chosen))
  (folder / "brown.txt").write_text("\n\n".join(brown[:: 50 if quick else 1]))
  for name in ("trec_train", "trec_test", "mr_train", "mr_test"):
    rows = [x.split("\t") for x in read(data / f"{name}.tsv.gz").split("\n") if x]
    text = "".join(f"{label.partition(':')[0]}\t{x}\n" for label, x in rows)
    (folder / f"{name}.tsv").write_text(text)


def build(name: str, seed: int, folder: pathlib.Path, quick: bool):
  """Returns the experiment of a run."""
  own = {"seed": seed, **(QUICK if quick else {})}
  if name in ITEM_NETS:
    return registry.build(name, **own)
  if name == "simcse":
    return registry.build(name, data=str(folder / "brown.txt"), **{**SIMCSE, **own})
  own = {"data": str(folder / "train.txt"), "threshold": THRESHOLD, **own}
  if quick:
    return registry.build(name, **own)
  places = len(registry.build(name, **{**own, "steps": 1}).data.train)
  return registry.build(name, batch=BATCH, steps=EPOCHS * places // BATCH, **own)


def measure(name: str, seed: int, folder: pathlib.Path, quick: bool) -> None:
  """Trains and judges one run, unless its file is there."""
  path = folder / f"{name}_{seed}.json"
  if path.exists():
    return
  experiment = build(name, seed, folder, quick)
  mesh = data_mesh(jax.devices()[:1])
  first = runs.make_init(experiment, mesh)()
  state, seconds, _ = advance(experiment, mesh)
  states = {"untrained": first, "trained": state}
  if name in ITEM_NETS:
    found = {title: ranked(name, experiment, s) for title, s in states.items()}
  else:
    found = {title: labelled(experiment, s, folder) for title, s in states.items()}
    found["raw"] = labelled(experiment, None, folder)
  if name in ("skip_gram", "cbow"):
    found |= words(experiment, states, folder)
  settings = {"steps": experiment.run.steps, "batch": experiment.run.batch}
  path.write_text(json.dumps({"seconds": seconds, **settings, **found}))
  print(name, seed, f"{seconds:.0f} s", flush=True)


def ranked(name: str, experiment, state) -> dict[str, float]:
  """Hit rate and NDCG of the held-out items."""
  opened = open_items(experiment.settings["data"], length=experiment.settings["length"])
  items, (net_of, score) = len(opened.names), ITEM_NETS[name]
  net = net_of(items, length=experiment.settings["length"])
  rank = jax.jit(lambda rows: score(net, state.params, rows, items=items))
  return evals.next_item_scores(rank, opened.data)


def labelled(experiment, state, folder: pathlib.Path) -> dict[str, list[float]]:
  """Accuracy on labelled texts by a few labels; without a state of the raw inputs."""
  encode = experiment.data.kind.raw
  if state is not None:
    made = runs.make_encode(experiment, data_mesh(jax.devices()[:1]))
    encode = lambda x: made(runs.variables_of(state), x)
  found = {}
  for name in SETS:
    sets = [experiment.data.like(str(folder / f"{name}_{s}.tsv")) for s in SPLITS]
    parts = [evals.extract(encode, one.train) for one in sets]
    numbers = np.asarray([sets[0].classes.index(c) for c in sets[1].classes])
    (train, labels), (test, test_labels) = parts[0], parts[1]
    smallest = int(np.bincount(labels).min())
    counts = [min(count, smallest) for count in LABELS]
    data = (train, labels, test, numbers[test_labels])
    scores = evals.few_label(*data, per_class=counts)
    found[name] = [scores[count][0] for count in counts]
  return found


def words(experiment, states, folder: pathlib.Path) -> dict:
  """Rank correlations of cosine and mutual information, and nearest neighbours."""
  lines = experiment.data.files["words.tsv"].splitlines()
  pairs = [line.split("\t") for line in lines]
  counts = np.asarray([0, *(int(count) for _, count in pairs)])
  vocabulary = Vocabulary(("", *(word for word, _ in pairs)), counts)
  parts = paragraphs((folder / "held_out.txt").read_text())
  held_out = [vocabulary.ids(split_words(part)) for part in parts]
  first, second, information = mutual_information(held_out)
  found = {"pairs": len(first)}
  for title, state in states.items():
    unit = normalized(np.asarray(state.params["encoder"]["vectors"]))
    cosine = np.sum(unit[first] * unit[second], axis=1)
    found[f"{title}_correlation"] = spearman(cosine, information)
  found["nearest"] = nearest(vocabulary, states["trained"].params["encoder"]["vectors"])
  return found


def mutual_information(
  sentences: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Pairs of frequent words and ln(p(a, b) / (p(a) p(b))) of words within reach."""
  together = collections.Counter()
  for sentence in sentences:
    for gap in range(1, REACH + 1):
      near = np.stack([sentence[:-gap], sentence[gap:]], axis=1)
      near = np.sort(near[(near <= FREQUENT).all(1)], axis=1)
      together.update(map(tuple, near[near[:, 0] != near[:, 1]].tolist()))
  each = collections.Counter()
  for (a, b), count in together.items():
    each[a] += count
    each[b] += count
  total = sum(together.values())
  kept = [(a, b, n) for (a, b), n in together.items() if n >= LEAST]
  first, second, count = (np.asarray(x) for x in zip(*kept, strict=True))
  share = lambda words: np.asarray([each[w] for w in words.tolist()]) / (2 * total)
  return first, second, np.log(count / total / (2 * share(first) * share(second)))


def normalized(vectors: np.ndarray) -> np.ndarray:
  """Vectors of unit length; of zero they stay."""
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  return vectors / np.maximum(norms, 1e-12)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
  """Rank correlation."""
  from scipy.stats import spearmanr

  return float(spearmanr(a, b).statistic)


def nearest(vocabulary: Vocabulary, vectors) -> dict[str, list[str]]:
  """The five nearest words of those of `WORDS` that are known."""
  known = [word for word in WORDS if len(vocabulary.ids([word]))]
  found = methods.nearest_words(vectors, vocabulary.ids(known), k=5)
  named = [[vocabulary.words[i] for i in row] for row in np.asarray(found)]
  return dict(zip(known, named, strict=True))


def text_table(found: dict[str, list[dict]]) -> str:
  """Accuracy with a few labels: raw inputs, untrained, trained."""
  header = ("features", *(f"{s.upper()}, {n} labels" for s in SETS for n in LABELS))
  rows = []
  for name in ("skip_gram", "cbow", "simcse"):
    titles = ("raw", "untrained", "trained") if found[name] else ()
    for title in titles:
      values = np.mean([[run[title][s] for s in SETS] for run in found[name]], axis=0)
      cells = [f"{x:.1f}" for x in values.ravel()]
      shown = "bag of words" if title == "raw" else title
      rows.append((f"`{name}`, {shown}", *cells))
  return page.table(header, rows)


def word_table(found: dict[str, list[dict]]) -> str:
  """Rank correlations, before and after."""
  header = ("method", "untrained", "trained", "pairs", "steps", "seconds")
  rows = []
  for name in ("skip_gram", "cbow"):
    for run in found[name]:
      correlations = [
        f"{run[f'{t}_correlation']:.3f}" for t in ("untrained", "trained")
      ]
      rows.append(
        (
          f"`{name}`",
          *correlations,
          run["pairs"],
          run["steps"],
          f"{run['seconds']:.0f}",
        )
      )
  return page.table(header, rows)


def item_table(found: dict[str, list[dict]]) -> str:
  """Hit rate and NDCG beside those of popularity."""
  header = ("method", "hit@10", "NDCG@10", "untrained hit@10", "steps", "seconds")
  rows = []
  for name in ITEM_NETS:
    for run in found[name]:
      last, first = run["trained"], run["untrained"]
      cells = [f"{x:.1f}" for x in (last["hit"], last["ndcg"], first["hit"])]
      rows.append((f"`{name}`", *cells, run["steps"], f"{run['seconds']:.0f}"))
  runs_of_items = [run for name in ITEM_NETS for run in found[name]]
  if runs_of_items:
    plain = runs_of_items[0]["trained"]
    cells = [f"{plain[k]:.1f}" for k in ("popularity_hit", "popularity_ndcg")]
    rows.append(("popularity", *cells, "", "", ""))
  return page.table(header, rows)


def neighbour_table(found: dict[str, list[dict]]) -> str:
  """Nearest neighbours of some words by both methods."""
  both = [found[name][0]["nearest"] for name in ("skip_gram", "cbow") if found[name]]
  titles = [t for n, t in (("skip_gram", "skip-gram"), ("cbow", "CBOW")) if found[n]]
  header = ("word", *titles)
  rows = [
    (word, *(", ".join(one.get(word, ())) for one in both))
    for word in WORDS
    if any(word in one for one in both)
  ]
  return page.table(header, rows)


def write(options: argparse.Namespace, folder: pathlib.Path) -> None:
  """Writes the page of all runs that the folder holds."""
  found = {
    name: [json.loads(p.read_text()) for p in sorted(folder.glob(f"{name}_[0-9].json"))]
    for name in NAMES
  }
  page.write(
    options,
    "# Word vectors, sentences and sequences of items",
    page.conditions(),
    "## Cosine and mutual information",
    f"Rank correlation (Spearman) of the cosine of two words' vectors with the "
    f"pointwise mutual information of the pair within {REACH} words, counted on a "
    f"tenth of Gutenberg and Brown that was held out; pairs of the {FREQUENT} most "
    f"frequent words that occur {LEAST} times or more.",
    word_table(found),
    "## A few labels a class",
    "Test accuracy in percent, logistic regression, mean of 10 draws; of TREC, whose "
    "smallest class has 86 questions, 86 in place of 100. Word vectors are trained on "
    "Gutenberg and Brown and averaged over a text, SimCSE on Brown's sentences.",
    text_table(found),
    *(_items(found) if any(found[name] for name in ITEM_NETS) else ()),
    "## Nearest neighbours",
    neighbour_table(found),
  )


def _items(found) -> tuple[str, ...]:
  return (
    "## The next item",
    "The held-out last item of each user among all items, in percent, on walks over a "
    "graph of 480 items, which are made on the spot: no real recordings.",
    item_table(found),
  )


def main() -> None:
  """Trains what is missing and writes the page."""
  parser = page.parser(__doc__, "words")
  parser.add_argument("names", nargs="*", default=NAMES)
  parser.add_argument("--data", type=pathlib.Path, required=True)
  parser.add_argument("--seeds", nargs="+", type=int, default=[0])
  options = parser.parse_args()
  folder = pathlib.Path("runs") / ("words_quick" if options.quick else "words")
  prepare(options.data, folder, options.quick)
  use_compilation_cache()
  for seed in options.seeds:
    for name in options.names:
      measure(name, seed, folder, options.quick)
  write(options, folder)


if __name__ == "__main__":
  main()
