"""Fine-tuning of the whole encoder on a share of the labels.

The protocol, the same for every encoder: a linear head that starts at zero on what
`encode` returns; AdamW on encoder and head, its rate rising linearly over a tenth of
the steps and falling to zero by a cosine; batch norm in training mode; in a ViT each
block moves by a share of what the block after it does (MAE, arXiv 2111.06377, appendix
A.1). The labelled examples are drawn class by class, so every class keeps its share
and has at least one. The accuracy is that of the last step, never the best one.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import optim
from jaxssl.augment.views import as_it_is
from jaxssl.data.loader import prefetch
from jaxssl.data.sources import Parts
from jaxssl.errors import InputError
from jaxssl.evals.features import check_labelled, extract
from jaxssl.evals.table import unusable
from jaxssl.evals.training_mode import in_training
from jaxssl.ops.numerics import to_float

PyTree = Any
IDLE = {"layer_decay": 1.0, "drop_path": 0.0, "label_smoothing": 0.0, "mixup": 0.0}
ONLY = {"layer_decay": " of a ViT", "drop_path": " of a ViT"}
REPORTS = 10  # times that a fine-tuning says where it is


class FineTuning(NamedTuple):
  """The settings of a fine-tuning.

  Attributes:
    epochs: passes over the labelled examples; last incomplete batches are dropped.
    minimum_steps: few examples get more epochs, until there are this many steps.
    batch: examples a step; all where there are fewer.
    learning_rate: the highest; of the head and the last layers.
    weight_decay: AdamW's, of tensors with 2 or more dims, but not of a ViT's positions
      and class token.
    layer_decay: in a ViT, the rate of a block over that of the next; in (0, 1].
    drop_path: stochastic depth of the last residual branch, in [0, 1).
    label_smoothing: share of the target that all classes have alike, in [0, 1).
    mixup: both parameters of the Beta distribution that images and targets are mixed
      by (arXiv 1710.09412); 0, its limit, mixes nothing.
  """

  epochs: int = 50
  minimum_steps: int = 300
  batch: int = 128
  learning_rate: float = 1e-3
  weight_decay: float = 0.05
  layer_decay: float = 0.75
  drop_path: float = 0.0
  label_smoothing: float = 0.1
  mixup: float = 0.0


RECIPE = FineTuning()


class Split(NamedTuple):
  """An encoder's variables in two trees of their structure, with None for the rest.

  Attributes:
    moving: what `encode` depends on, to be trained.
    fixed: everything else.
  """

  moving: PyTree
  fixed: PyTree


class Tuned(NamedTuple):
  """A fine-tuned classifier: `encode(variables, inputs) @ kernel + bias`.

  Attributes:
    variables: of the encoder, as they were given but trained.
    kernel: [dim, classes].
    bias: [classes].
  """

  variables: PyTree
  kernel: jax.Array
  bias: jax.Array


def finetune(
  encode: Callable,
  variables: PyTree,
  data_set: Any,
  *,
  fraction: float,
  recipe: FineTuning = RECIPE,
  augment: Callable = as_it_is,
  seed: int = 0,
  watch: Callable | None = None,
) -> float:
  """Fine-tunes an encoder on a share of the labels and scores it on the test split.

  ```
  m = experiment.method
  encode = lambda v, x: m.encode(v["params"], v["extra"], {"input": x})
  accuracy = finetune(encode, runs.variables_of(state), data, fraction=0.01)
  ```

  Args:
    encode: (variables, inputs [batch, ...]) -> features [batch, dim] of flax modules;
      a plain function, not a jitted one, for its batch norms must be reached.
    variables: any pytree; its float leaves that the features depend on are trained,
      in a copy.
    data_set: with labels and a test split.
    fraction: of the labels of each class, in (0, 1].
    recipe: the settings.
    augment: (key, example) -> example of the same shape; images are float32 in [0, 1].
    seed: of the choice of the examples, their order, and the augmentation.
    watch: (steps, batch) -> a context manager whose value gets `update(step, loss)`
      now and then, as `jaxssl.log.Progress`; None shows nothing.

  Returns:
    Accuracy on the test split in percent.

  Raises:
    InputError: if there are no labels or no test split, a setting is out of its
      range, or `encode` is jitted.
  """
  if reason := not_tunable(data_set):
    raise InputError(reason)
  check_recipe(recipe, fractions=[fraction])
  data_set = data_set.scored
  labels = _labels(data_set.train)
  rows = label_subset(labels, fraction=fraction, seed=seed)
  tuned = _fit(
    encode,
    variables,
    data_set.train,
    rows,
    classes=len(data_set.classes) or int(labels.max()) + 1,
    recipe=recipe,
    augment=augment,
    seed=seed,
    watch=watch,
  )
  return _accuracy(encode, tuned, data_set.test)


def not_tunable(data_set: Any) -> str:
  """Returns why nothing can be fine-tuned on a data set, or "" if it can."""
  scored = data_set.scored
  if isinstance(scored.train, Parts):
    return (
      f"The labels of {scored.name} are of parts of examples; whole encoders are "
      "fine-tuned on examples only."
    )
  return unusable(data_set)


def label_subset(labels: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
  """Row numbers of a share of the labels: of every class that share, at least one.

  The choice depends on the labels alone, so every encoder gets the same; a larger
  share holds the smaller ones of the same seed.

  Args:
    labels: integers from 0, [n].
    fraction: of the rows of each class, in (0, 1]; rounded to the nearest.
    seed: of `numpy.random.default_rng`, which shuffles the classes in ascending order.

  Returns:
    Integers, [m], ascending.

  Raises:
    InputError: if a label is negative.
  """
  if np.min(labels) < 0:
    raise InputError("Labels must be 0 or more; some examples have a negative one.")
  rng, chosen = np.random.default_rng(seed), []
  for label in np.unique(labels):
    rows = rng.permutation(np.flatnonzero(labels == label))
    chosen.append(rows[: max(1, round(fraction * len(rows)))])
  return np.sort(np.concatenate(chosen))


def finetune_line(recipe: FineTuning, augmentation: str) -> str:
  """Returns the protocol in a line, as the table shows it."""
  extras = [
    f", {name.replace('_', ' ')} {getattr(recipe, name):g}{ONLY.get(name, '')}"
    for name in IDLE
    if getattr(recipe, name) != IDLE[name]
  ]
  return (
    "finetune: the whole encoder and a linear head on so many of the labels (that "
    "share of every class, at least 1, the same for every row; the untrained encoder "
    f"starts from scratch), AdamW, batch {recipe.batch}, {recipe.learning_rate:g} with "
    f"warm-up and cosine, {recipe.epochs} epochs but at least {recipe.minimum_steps} "
    f"steps, batch norm in training mode, augmentation: {augmentation}"
    f"{''.join(extras)}, last step"
  )


def check_recipe(recipe: FineTuning, *, fractions: Sequence[float]) -> None:
  """Raises InputError for settings and shares of labels out of their range."""
  for fraction in fractions:
    if not 0 < fraction <= 1:
      raise InputError(f"A fraction of {fraction} of the labels; it must be in (0, 1].")
  for name in ("epochs", "minimum_steps", "batch"):
    if getattr(recipe, name) < 1:
      raise InputError(f"{name} is {getattr(recipe, name)}; it must be 1 or more.")
  for name in ("learning_rate", "weight_decay", "mixup"):
    if not 0 <= getattr(recipe, name) < float("inf"):
      raise InputError(f"{name} is {getattr(recipe, name)}; it must be 0 or more.")
  for name in ("drop_path", "label_smoothing"):
    if not 0 <= getattr(recipe, name) < 1:
      raise InputError(f"{name} is {getattr(recipe, name)}; it must be in [0, 1).")
  if not 0 < recipe.layer_decay <= 1:
    raise InputError(f"layer_decay is {recipe.layer_decay}; it must be in (0, 1].")


def _labels(source):
  starts = range(0, len(source), 512)
  parts = [np.arange(s, min(s + 512, len(source))) for s in starts]
  return np.concatenate([source[rows]["label"] for rows in parts])


def _fit(
  encode, variables, source, rows, *, classes, recipe, augment, seed, watch
) -> Tuned:
  example = to_float(source[rows[:1]]["input"])
  train = in_training(encode, drop_path=recipe.drop_path)
  split = _split(encode, variables, example)
  dim = _check_plain(train, variables, split, example)
  batch = min(recipe.batch, len(rows))
  steps = max(recipe.epochs * (len(rows) // batch), recipe.minimum_steps)
  head = jnp.zeros((dim, classes)), jnp.zeros(classes)
  params = jax.tree.map(jnp.copy, {"encoder": split.moving, "head": head})
  tx = _optimiser(recipe, params, steps)
  step = _make_step(train, tx, recipe, augment)
  state, key = (params, tx.init(params)), jax.random.key(seed)
  indices = itertools.islice(_batches(rows, batch, seed), steps)
  with _watched(watch, steps, batch) as say, prefetch(source, indices, ahead=2) as data:
    for i, rows in enumerate(data, 1):
      key_step = jax.random.fold_in(key, i)
      state, loss = step(state, split.fixed, rows["input"], rows["label"], key_step)
      if i == steps or i % max(1, steps // REPORTS) == 0:
        say(i, float(loss))
  params, _ = state
  return Tuned(_joined(params["encoder"], split.fixed), *params["head"])


@contextlib.contextmanager
def _watched(watch, steps, batch):
  if watch is None:
    yield lambda step, loss: None
  else:
    with watch(steps, batch) as shown:
      yield shown.update


def _batches(rows, batch, seed) -> Iterator[np.ndarray]:
  """Row numbers of every step, epoch after epoch without end."""
  rng = np.random.default_rng(seed)
  while True:
    order = rng.permutation(rows).astype(np.int32)
    for start in range(0, len(rows) - batch + 1, batch):
      yield order[start : start + batch]


def _make_step(train, tx, recipe, augment):
  """Returns jitted `step(state, fixed, inputs, labels, key) -> state, loss`."""

  def loss_fn(params, fixed, inputs, targets, key):
    features, moves = train(_joined(params["encoder"], fixed), inputs, key)
    loss = optax.softmax_cross_entropy(_logits(features, *params["head"]), targets)
    return loss.mean() + sum(moves), loss.mean()

  def step(state, fixed, inputs, labels, key):
    params, opt_state = state
    key_view, key_mix, key_net = jax.random.split(key, 3)
    views = jax.vmap(augment)(jax.random.split(key_view, len(labels)), to_float(inputs))
    targets = jax.nn.one_hot(labels, params["head"][0].shape[1])
    targets = optax.smooth_labels(targets, recipe.label_smoothing)
    if recipe.mixup:
      views, targets = _mixed(key_mix, (views, targets), recipe.mixup)
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    (_, loss), grads = value_and_grad(params, fixed, views, targets, key_net)
    updates, opt_state = tx.update(grads, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), loss

  return jax.jit(step, donate_argnums=0)


def _mixed(key, tree, alpha):
  """Mixes every row with that which stands as far from the end."""
  rows = len(jax.tree.leaves(tree)[0])
  share = jax.random.beta(key, alpha, alpha, (rows,))

  def mix(x):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      raise InputError(f"mixup needs inputs that are floats or images, not {x.dtype}.")
    own = share.astype(x.dtype).reshape(rows, *(1,) * (x.ndim - 1))
    return own * x + (1 - own) * x[::-1]

  return jax.tree.map(mix, tree)


def _logits(features, kernel, bias):
  return features.astype(jnp.float32) @ kernel + bias[None]


def _accuracy(encode, tuned, test):
  run = jax.jit(lambda t, x: _logits(encode(t.variables, x), t.kernel, t.bias))
  logits, labels = extract(lambda x: run(tuned, x), test)
  check_labelled(logits, labels, classes=logits.shape[1])
  return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))


# ----------------------------------------------------------------------------------
# What moves, and by which rate.


def _optimiser(recipe, params, steps):
  """AdamW by layers for weights; plain SGD with rate 1 moves the running statistics."""
  depth = optim.vit_depth(params)
  warmup = min(steps // 10, steps - 1)
  rate = optim.warmup_cosine(recipe.learning_rate, steps=steps, warmup=warmup)
  weights = optax.chain(
    optim.adamw(rate, weight_decay=recipe.weight_decay, mask=optim.but_positions),
    optim.layer_decay(recipe.layer_decay, depth=depth, layer=optim.vit_layer(depth)),
  )
  return optax.partition({"weights": weights, "statistics": optax.sgd(1.0)}, _kinds)


def _kinds(params):
  def kind(path, _):
    return "statistics" if "batch_stats" in optim.names_of(path) else "weights"

  return jax.tree_util.tree_map_with_path(kind, params)


def _split(encode, variables, example) -> Split:
  """Parts the leaves that get a gradient from the features from all others."""
  leaves, structure = jax.tree.flatten(variables)
  places = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]

  def total(floats):
    whole = list(leaves)
    for i, x in zip(places, floats, strict=True):
      whole[i] = x
    return jnp.sum(encode(structure.unflatten(whole), example) ** 2)

  gradient = jax.make_jaxpr(jax.grad(total))([leaves[i] for i in places])
  reached = zip(places, _not_constant(gradient.jaxpr), strict=True)
  moving = {i for i, depends in reached if depends}
  part = lambda wanted: structure.unflatten(
    [x if (i in moving) == wanted else None for i, x in enumerate(leaves)]
  )
  return Split(part(True), part(False))


def _not_constant(jaxpr):
  """Which outputs depend on any input; a gradient of zero does not."""
  found = set(jaxpr.invars)
  depends = lambda v: not hasattr(v, "val") and v in found  # literals have a value
  for equation in jaxpr.eqns:
    if any(map(depends, equation.invars)):
      found.update(equation.outvars)
  return [depends(v) for v in jaxpr.outvars]


def _joined(moving, fixed):
  pick = lambda a, b: b if a is None else a
  return jax.tree.map(pick, moving, fixed, is_leaf=lambda x: x is None)


def _check_plain(train, variables, split, example):
  """Returns the dim of the features; refuses an `encode` whose norms are hidden."""
  statistics = "statistics" in jax.tree.leaves(_kinds(split.moving))
  try:
    key = jax.random.key(0)
    features, moves = jax.eval_shape(train, variables, example, key)
    hidden = statistics and not moves
  except jax.errors.UnexpectedTracerError:
    hidden = True
  if hidden:
    raise InputError(
      "encode is jitted, which hides its batch norms; pass a plain function such as "
      "lambda v, x: method.encode(v['params'], v['extra'], {'input': x})."
    )
  if features.ndim != 2:
    raise InputError(f"encode must return [batch, dim]; it gave {features.shape}.")
  return features.shape[1]
