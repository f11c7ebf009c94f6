"""Optimisers and schedules as the papers use them: thin over optax."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxssl.errors import InputError
from jaxssl.ops import schedules

PyTree = Any


def linear_scaling(rate: float, batch: int) -> float:
  """The learning rate of a batch, where `rate` is that of 256 rows (1706.02677)."""
  if batch < 1:
    raise InputError(f"A batch has at least 1 row, not {batch}.")
  return rate * batch / 256


UNDECAYED = (("token",), ("position", "table"), ("position", "class_token"))  # ends


def warmup_cosine(
  peak: float, *, steps: int, warmup: int = 0, start: float = 0.0, end: float = 0.0
) -> optax.Schedule:
  """Linear from `start` to `peak` in `warmup` steps, then cosine to `end` at `steps`.

  SimCLR, BYOL, MoCo v3 and MAE (at their fractional epochs) reach the peak at step
  `warmup`; DINO and SwAV one step before, which is `ops.cosine`. Barlow Twins and
  VICReg end at a thousandth of the peak.

  Args:
    peak: the highest value.
    steps: all steps, warm-up included.
    warmup: steps of the warm-up; 0 starts at the peak.
    start: the value at step 0 of the warm-up.
    end: the value from `steps` on.

  Returns:
    step -> value.

  Raises:
    InputError: if the warm-up is not shorter than the run.
  """
  if not 0 <= warmup < steps:
    raise InputError(
      f"A warm-up of {warmup} steps does not fit a run of {steps}; it must be "
      "from 0 to one less than the steps."
    )
  cosine = schedules.cosine(peak, end, steps=steps - warmup)
  if not warmup:
    return cosine
  rise = schedules.linear(start, peak, steps=warmup)
  return optax.join_schedules([rise, cosine], [warmup])


def weights_only(params: PyTree) -> PyTree:
  """A mask for `optax`: True for weights, False for biases and norm parameters."""
  return jax.tree.map(lambda x: x.ndim > 1, params)


def but_positions(params: PyTree) -> PyTree:
  """A mask for `optax`: `weights_only` without a ViT's positions and class token.

  The `no_weight_decay` of BEiT and data2vec, and of fine-tuning since DeiT. The mask
  token, which their lists lack, is decayed.
  """

  def kept(path, x):
    names = names_of(path)
    return x.ndim > 1 and not any(names[-len(end) :] == end for end in UNDECAYED)

  return jax.tree_util.tree_map_with_path(kept, params)


def everything(params: PyTree) -> PyTree:
  """A mask for `optax` that leaves nothing out (Apex LARC: SwAV, DeepCluster-v2)."""
  return jax.tree.map(lambda x: True, params)


def adamw(
  rate: optax.ScalarOrSchedule,
  *,
  weight_decay: optax.ScalarOrSchedule,
  b1: float = 0.9,
  b2: float = 0.999,
  mask: Callable[[PyTree], PyTree] = weights_only,
) -> optax.GradientTransformation:
  """AdamW whose decay leaves out biases and norm parameters (DINO, MAE, I-JEPA).

  Loshchilov and Hutter, arXiv 1711.05101. The decay is multiplied by the learning
  rate, as in torch. MoCo v3's ViT decays everything: `optax.adamw` does.

  Args:
    rate: learning rate, or step -> rate.
    weight_decay: of what `mask` names, or step -> decay; DINO's is
      `ops.cosine(0.04, 0.4, steps=...)`.
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares; 0.95 in MAE.
    mask: parameters -> which of them are decayed.

  Returns:
    The optimiser.
  """
  return optax.adamw(rate, b1, b2, weight_decay=weight_decay, mask=mask)


def sgd(
  rate: optax.ScalarOrSchedule, *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
  """SGD as torch has it: decay of all parameters is added to the gradient first.

  MoCo and SimSiam use it (weight decay 1e-4, nothing excluded).
  """
  decay = optax.add_decayed_weights(weight_decay)
  return optax.chain(decay, optax.sgd(rate, momentum=momentum))


def by_part(parts: dict[str, optax.GradientTransformation], rest) -> Any:
  """Optimises named top-level parts of the parameters on their own.

  `by_part({"predictor": sgd(0.05, ...)}, sgd(schedule, ...))` keeps the learning rate
  of SimSiam's predictor constant.

  Args:
    parts: name of a top-level entry of the parameters -> its optimiser.
    rest: the optimiser of all other parameters.

  Returns:
    The optimiser.
  """

  def labels(params):
    return {name: name if name in parts else "rest" for name in params}

  return optax.partition({**parts, "rest": rest}, labels)


def by_shape(
  weights: optax.GradientTransformation, rest: optax.GradientTransformation
) -> optax.GradientTransformation:
  """Optimises weights (2 or more dims) with one, biases and norms with another.

  Barlow Twins, arXiv 2103.03230, has `lars` with rate 0.2 for weights and 0.0048 for
  the rest. (The gradients of its official code are 1/devices of the true ones, which
  the trust ratio undoes for weights only: with ours, 0.0048 is divided by devices.)

  Args:
    weights: the optimiser of tensors with 2 or more dims.
    rest: the optimiser of all others.

  Returns:
    The optimiser.
  """

  def labels(params):
    return jax.tree.map(lambda x: "weights" if x.ndim > 1 else "rest", params)

  return optax.partition({"weights": weights, "rest": rest}, labels)


def clip_each(norm: float) -> optax.GradientTransformation:
  """Scales down each tensor of the gradient whose own norm exceeds `norm`.

  DINO (arXiv 2104.14294) clips so at 3.0; the norm over all tensors is
  `optax.clip_by_global_norm`. Goes before the optimiser:
  `optax.chain(clip_each(3.0), adamw(...))`.

  Args:
    norm: the largest norm left, positive.

  Returns:
    The transformation.

  Raises:
    InputError: if `norm` is not positive.
  """
  if norm <= 0:
    raise InputError(f"clip_each needs a positive norm, not {norm}.")

  def clip(grad):
    return grad * jnp.minimum(norm / (_norm(grad) + 1e-6), 1.0).astype(grad.dtype)

  return optax.stateless(lambda grads, _: jax.tree.map(clip, grads))


def names_of(path: tuple) -> tuple[str, ...]:
  """Returns what stands along a path of `jax.tree_util`: keys, attributes, places."""
  kinds = ("key", "name", "idx")
  found = (getattr(p, k) for p in path for k in kinds if hasattr(p, k))
  return tuple(map(str, found))


def by_path(factor: Callable[[tuple[str, ...]], float]) -> optax.GradientTransformation:
  """Multiplies the step of each tensor by a factor that its place gives.

  Goes after the optimiser: `optax.chain(adamw(...), by_path(...))`.

  Args:
    factor: names along the path of a tensor, as ("encoder", "norm", "scale") -> factor.

  Returns:
    The transformation.
  """

  def update(updates, params):
    del params
    scale = lambda path, x: x * jnp.asarray(factor(names_of(path)), x.dtype)
    return jax.tree_util.tree_map_with_path(scale, updates)

  return optax.stateless(update)


def layer_decay(
  decay: float, *, depth: int, layer: Callable[[tuple[str, ...]], int]
) -> optax.GradientTransformation:
  """Scales the steps of the layers: later ones move faster.

  BEiT (arXiv 2106.08254) and MAE (2111.06377) fine-tune so, DINOv2 trains so. A tensor
  of layer i moves by `decay ** (depth + 1 - i)`. Goes after the optimiser.

  Args:
    decay: factor from one layer to the one before it.
    depth: layers between that of the inputs, 0, and that of the outputs, depth + 1.
    layer: names along the path of a tensor -> its layer; `vit_layer(depth)` for ViTs.

  Returns:
    The transformation.
  """
  return by_path(lambda names: decay ** (depth + 1 - layer(names)))


BLOCK = re.compile(r"blocks_(\d+)")
VIT_INPUTS = {"patch_embed", "position", "token", "registers", "mask_token"}


def vit_layer(depth: int) -> Callable[[tuple[str, ...]], int]:
  """Returns the layer of each tensor of a ViT, as `layer_decay` wants it.

  Block i, from 0, is layer i + 1; patch projection, tokens and positions are layer 0;
  the norm at the end, heads and everything else are layer `depth + 1`.

  Args:
    depth: blocks of the ViT; `vit_depth` counts them.

  Returns:
    Names along the path of a tensor -> layer.
  """

  def layer(names):
    if blocks := _blocks(names):
      return blocks[0] + 1
    return 0 if VIT_INPUTS & set(names) else depth + 1

  return layer


def vit_depth(params: PyTree) -> int:
  """Returns the number of blocks in a ViT's parameters; 0 for nets without any."""
  paths = [names_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
  return max((1 + block for names in paths for block in _blocks(names)), default=0)


def _blocks(names):
  found = (BLOCK.fullmatch(name) for name in names)
  return [int(match[1]) for match in found if match]


def lars(
  rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float,
  momentum: float = 0.9,
  trust: float = 0.001,
  mask: Callable[[PyTree], PyTree] = weights_only,
) -> optax.GradientTransformation:
  """LARS with the learning rate outside the momentum: BYOL, MoCo v3, Barlow, VICReg.

  You et al., arXiv 1708.03888. `g' = g + decay * w`, `u <- momentum * u + trust *
  |w| / |g'| * g'`, `w <- w - rate * u`. By default tensors with fewer than 2 dims have
  neither decay nor trust ratio; where a norm is 0 the ratio is 1.

  Args:
    rate: learning rate, or step -> rate.
    weight_decay: of the tensors of the mask.
    momentum: of the scaled gradients.
    trust: the trust coefficient, eta.
    mask: params -> True for the tensors that have decay and trust ratio.

  Returns:
    The optimiser.
  """
  scale = _per_tensor(_joint(weight_decay, trust), mask)
  return optax.chain(scale, optax.trace(momentum), optax.scale_by_learning_rate(rate))


def lars_rate_inside(
  rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float,
  momentum: float = 0.9,
  trust: float = 0.001,
  mask: Callable[[PyTree], PyTree] = weights_only,
) -> optax.GradientTransformation:
  """LARS with the learning rate inside the momentum: SimCLR.

  As `lars`, but `u <- momentum * u + rate * trust * |w| / |g'| * g'`, `w <- w - u`: the
  same while the rate is constant. SimCLR is arXiv 2002.05709, `LARSOptimizer` with
  classic momentum in the official code.

  Args:
    rate: learning rate, or step -> rate.
    weight_decay: of the tensors of the mask.
    momentum: of the scaled gradients.
    trust: the trust coefficient, eta.
    mask: params -> True for the tensors that have decay and trust ratio.

  Returns:
    The optimiser.
  """
  scale = _per_tensor(_joint(weight_decay, trust), mask)
  return optax.chain(scale, optax.scale_by_learning_rate(rate), optax.trace(momentum))


def lars_separate_norms(
  rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float,
  momentum: float = 0.9,
  trust: float = 0.001,
  mask: Callable[[PyTree], PyTree] = weights_only,
) -> optax.GradientTransformation:
  """LARS with the norms of gradient and decay apart: Apex LARC (SwAV), lightly.

  As `lars`, but the ratio is `trust * |w| / (|g| + decay * |w| + 1e-8)`, and where a
  norm is 0 there is no decay either. LARC scales and decays biases and norms too:
  `mask=everything`.

  Args:
    rate: learning rate, or step -> rate.
    weight_decay: of the tensors of the mask.
    momentum: of the scaled gradients.
    trust: the trust coefficient, eta.
    mask: params -> True for the tensors that have decay and trust ratio.

  Returns:
    The optimiser.
  """
  scale = _per_tensor(_separate(weight_decay, trust), mask)
  return optax.chain(scale, optax.trace(momentum), optax.scale_by_learning_rate(rate))


def lars_clipped(
  rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float,
  momentum: float = 0.9,
  trust: float = 0.001,
  mask: Callable[[PyTree], PyTree] = weights_only,
) -> optax.GradientTransformation:
  """LARS whose layers never move faster than `rate`: solo-learn on CIFAR.

  As `lars_separate_norms` with the ratio `min(ratio / rate, 1)`. solo-learn takes
  `trust=0.02`.

  Args:
    rate: learning rate, or step -> rate.
    weight_decay: of the tensors of the mask.
    momentum: of the scaled gradients.
    trust: the trust coefficient, eta.
    mask: params -> True for the tensors that have decay and trust ratio.

  Returns:
    The optimiser.
  """

  def scale_at(value):
    clip = lambda ratio: jnp.minimum(ratio / value, 1.0)
    return _per_tensor(_separate(weight_decay, trust, clip), mask)

  scale = _scheduled(rate, scale_at)
  return optax.chain(scale, optax.trace(momentum), optax.scale_by_learning_rate(rate))


def _per_tensor(rule, mask):
  """Applies `rule(gradient, weights)`, in float32, to the tensors of the mask."""

  def scale(grad, param, wanted):
    if not wanted:
      return grad
    whole = rule(grad.astype(jnp.float32), param.astype(jnp.float32))
    return whole.astype(grad.dtype)

  return optax.stateless(
    lambda grads, params: jax.tree.map(scale, grads, params, mask(params))
  )


def _scheduled(rate, make):
  """The stateless `make(rate)`, with the rate of the step if it is a schedule."""

  def init(params):
    del params
    return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

  def update(grads, state, params=None):
    value = jnp.asarray(rate(state.count) if callable(rate) else rate, jnp.float32)
    grads, _ = make(value).update(grads, optax.EmptyState(), params)
    return grads, optax.ScaleByScheduleState(optax.safe_increment(state.count))

  return optax.GradientTransformation(init, update)


def _joint(weight_decay, trust):
  """The rule with the norm of gradient plus decay in the denominator."""

  def rule(grad, param):
    decayed = grad + weight_decay * param
    weight, step = _norm(param), _norm(decayed)
    ratio = trust * weight / jnp.where(step > 0, step, 1.0)
    return decayed * jnp.where((weight > 0) & (step > 0), ratio, 1.0)

  return rule


def _separate(weight_decay, trust, clip=lambda ratio: ratio):
  """The rule with the sum of both norms in the denominator."""

  def rule(grad, param):
    weight, step = _norm(param), _norm(grad)
    ratio = clip(trust * weight / (step + weight_decay * weight + 1e-8))
    scaled = (grad + weight_decay * param) * ratio
    return jnp.where((weight > 0) & (step > 0), scaled, grad)

  return rule


def _norm(x):
  return jnp.sqrt(jnp.sum(jnp.square(x.astype(jnp.float32))))
