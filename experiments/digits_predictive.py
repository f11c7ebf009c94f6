"""Predictive pretexts on scikit-learn's digits; see `digits.py`."""

from jaxssl import methods, models
from jaxssl.augment import digits_crop_view, digits_view, many_views
from jaxssl.presets import digits_net, digits_parts
from jaxssl.presets.predictive import check_tiles
from jaxssl.registry import Parts, Run, experiment

EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 200}
RUN = Run(steps=1000, batch=128, **EVERY)
VIEWS = many_views(digits_view())


@experiment(
  method="Rotation",
  data="digits",
  reaches="5 labels 81 %, untrained 75",
  cost="minutes on 2 CPU cores",
)
def rotation_digits(
  run: Run = RUN,
  *,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Rotation on digits: all four turns of each image, after the warp.

  Args:
    run: Settings of every run.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.linear_head(out=4))
  method = methods.rotation(net.encoder, net.projector, VIEWS)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="Patch order",
  data="digits",
  reaches="5 labels 72 %, untrained 81",
  cost="minutes on 2 CPU cores",
)
def patch_order_digits(
  run: Run = RUN,
  *,
  size: int = 12,
  tile: int = 4,
  gap: int = 1,
  hidden: int = 256,
  projection: int = 64,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Patch order on digits: 2 x 2 tiles in 24 orders.

  The view is larger than the image, so that tiles can lie apart and move.

  Args:
    run: Settings of every run.
    size: Side of the view in pixels.
    tile: Side of a tile in pixels.
    gap: Least number of pixels between two tiles.
    hidden: Width of the head's hidden layer.
    projection: Width of what is joined of a tile.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(digits_crop_view(size, scale=(0.7, 1.0)))
  net = digits_net(models.tile_projector(out=projection))
  check_tiles((size, size, 1), grid=(2, 2), tile=tile, gap=gap)
  method = methods.patch_order(
    models.Standardized(net.encoder),
    net.projector,
    models.moco_head(hidden=hidden, out=24),
    views,
    tile=tile,
    gap=gap,
  )
  return digits_parts(
    run, method, views, learning_rate=learning_rate, weight_decay=weight_decay
  )
