"""The six methods on scikit-learn's digits: 8x8 pixels, no download, minutes on a CPU.

Data: 1,297 images for training, 500 for test, stratified, always the same split.
Protocol: frozen pooled features; logistic regression (C = 10) on l2-normalised
features of 1, 5 and 10 labels a class, mean of 10 draws; kNN with k = 20 on all
labels. `benchmarks/digits.py` measures what each experiment reaches.
"""

from jaxssl import methods, models, optim
from jaxssl.augment import digits_view, two_views
from jaxssl.ops import cosine_ema
from jaxssl.presets import digits_net, digits_parts
from jaxssl.registry import Parts, Run, experiment

EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 200}
RUN = Run(steps=1000, batch=128, **EVERY)


VIEWS = two_views(digits_view())


@experiment(
  method="SimCLR",
  data="digits",
  reaches="1/5/10 labels: 89 / 97 / 97 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def simclr_digits(
  run: Run = Run(steps=1400, batch=128, **EVERY),
  *,
  temperature: float = 0.2,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR on digits: the README's first command.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.simclr_head(hidden=256, out=64))
  method = methods.simclr(net, VIEWS, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="MoCo v2",
  data="digits",
  reaches="1/5/10 labels: 83 / 95 / 96 %, kNN 98 %",
  cost="3 min on 2 CPU cores",
  aliases=("moco_digits",),
)
def moco_v2_digits(
  run: Run = Run(steps=1000, batch=256, **EVERY),
  *,
  temperature: float = 0.2,
  queue_size: int = 512,
  momentum: float = 0.99,
  learning_rate: float = 5e-4,
  weight_decay: float = 1e-4,
) -> Parts:
  """MoCo v2 on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    queue_size: Keys kept; a multiple of the batch.
    momentum: Of the key encoder.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.moco_head(hidden=256, out=64))
  method = methods.moco_v2(
    net, VIEWS, queue_size=queue_size, momentum=momentum, temperature=temperature
  )
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="BYOL",
  data="digits",
  reaches="1/5/10 labels: 83 / 96 / 97 %, kNN 99 %",
  cost="4 min on 2 CPU cores",
)
def byol_digits(
  run: Run = Run(steps=1400, batch=128, **EVERY),
  *,
  momentum: float = 0.99,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """BYOL on digits.

  Args:
    run: Settings of every run.
    momentum: Of the target at the start; it rises to 1 by a cosine.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  projector = models.byol_projector(hidden=256, out=64)
  net = digits_net(projector, models.byol_predictor(hidden=256, out=64))
  schedule = cosine_ema(momentum, steps=run.steps)
  method = methods.byol(net, VIEWS, momentum=schedule)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="SimSiam",
  data="digits",
  reaches="1/5/10 labels: 87 / 96 / 96 %, kNN 99 %",
  cost="4 min on 2 CPU cores",
)
def simsiam_digits(
  run: Run = Run(steps=1000, batch=256, **EVERY),
  *,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimSiam on digits; the predictor's learning rate stays constant.

  Args:
    run: Settings of every run.
    learning_rate: Peak of AdamW's cosine schedule, and the predictor's throughout.
    weight_decay: Of the weights; biases and norms have none.
  """
  projector = models.simsiam_projector(hidden=256, out=256)
  net = digits_net(projector, models.simsiam_predictor(hidden=64, out=256))
  parts = digits_parts(
    run,
    methods.simsiam(net, VIEWS),
    VIEWS,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
  )
  predictor = optim.adamw(learning_rate, weight_decay=weight_decay)
  return parts._replace(tx=optim.by_part({"predictor": predictor}, parts.tx))


@experiment(
  method="Barlow Twins",
  data="digits",
  reaches="1/5/10 labels: 92 / 98 / 98 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def barlow_twins_digits(
  run: Run = RUN,
  *,
  off_diagonal_weight: float = 0.0051,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Barlow Twins on digits.

  Args:
    run: Settings of every run.
    off_diagonal_weight: Of the redundancy term.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.barlow_twins_projector(widths=(512, 512)))
  method = methods.barlow_twins(net, VIEWS, off_diagonal_weight=off_diagonal_weight)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="VICReg",
  data="digits",
  reaches="1/5/10 labels: 92 / 97 / 98 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def vicreg_digits(
  run: Run = RUN,
  *,
  invariance_weight: float = 25.0,
  variance_weight: float = 25.0,
  covariance_weight: float = 1.0,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """VICReg on digits.

  Args:
    run: Settings of every run.
    invariance_weight: Of the distance between the views.
    variance_weight: Of the hinge on the standard deviations.
    covariance_weight: Of the covariances.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.vicreg_expander(widths=(512, 512)))
  method = methods.vicreg(
    net,
    VIEWS,
    invariance_weight=invariance_weight,
    variance_weight=variance_weight,
    covariance_weight=covariance_weight,
  )
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )
