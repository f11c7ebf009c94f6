"""Masked and autoregressive image models on scikit-learn's digits; see `digits.py`."""

from jaxssl import methods, models
from jaxssl.augment import digits_view, many_views
from jaxssl.presets import digits_vit, digits_vit_parts
from jaxssl.presets.masked import check_mask
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=4000, batch=128, log_every=100, eval_every=500, checkpoint_every=500)
VIEWS = many_views(digits_view(noise=0.0))  # noise is what no patch tells of another
IMAGE = (8, 8, 1)


@experiment(
  method="MAE",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 47 / 92 % (untrained 38 / 90)",
  cost="2 min on 2 CPU cores",
)
def mae_digits(
  run: Run = RUN,
  *,
  ratio: float = 0.5,
  normalize: bool = False,
  learning_rate: float = 3e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """MAE on digits: 8 of 16 patches of 2 pixels, a decoder half as wide.

  Standardised patches of four pixels lose most of what they show, and little can be
  told of a digit from four patches: neither 75 % nor `normalize`, as in the paper.

  Args:
    run: Settings of every run.
    ratio: Share of the patches that the encoder does not see.
    normalize: Whether the pixels to predict are standardised patch by patch.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = digits_vit(class_token=False)
  check_mask(IMAGE, encoder.patch, ratio=ratio)
  net = models.MAE(encoder, models.light_decoder(encoder, IMAGE))
  method = methods.mae(net, VIEWS, ratio=ratio, normalize=normalize)
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="SimMIM",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 42 / 86 % (untrained 38 / 90)",
  cost="2 min on 2 CPU cores",
)
def simmim_digits(
  run: Run = RUN,
  *,
  ratio: float = 0.6,
  unit: int = 1,
  learning_rate: float = 3e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimMIM on digits: 10 of 16 patches of 2 pixels are mask tokens.

  Args:
    run: Settings of every run.
    ratio: Share of the squares that is masked.
    unit: Side of a square in patches.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = digits_vit(class_token=False, mask_token=True)
  check_mask(IMAGE, encoder.patch, ratio=ratio, unit=unit)
  method = methods.simmim(models.SimMIM(encoder), VIEWS, ratio=ratio, unit=unit)
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="AIM",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 46 / 89 % (untrained 38 / 90)",
  cost="2 min on 2 CPU cores",
)
def aim_digits(
  run: Run = RUN,
  *,
  causal: bool = False,
  normalize: bool = False,
  head_width: int = 64,
  head_depth: int = 2,
  learning_rate: float = 3e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """AIM on digits: each of 16 patches of 2 pixels from those before it.

  Args:
    run: Settings of every run.
    causal: Whether no prefix sees itself in both directions, as in iGPT.
    normalize: Whether the pixels to predict are standardised patch by patch.
    head_width: Channels of the head's MLPs.
    head_depth: Number of these MLPs.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  head = models.PixelHead(width=head_width, depth=head_depth)
  net = models.AIM(digits_vit(class_token=False, causal=causal), head)
  method = methods.aim(net, VIEWS, normalize=normalize)
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )
