"""Self-distillation and masked prediction on CIFAR-10; see `cifar10_contrastive.py`.

DINO is solo-learn's recipe with a ResNet-18. iBOT, DINOv2 and I-JEPA need patches:
ViT-Tiny on patches of 4 pixels, a grid of 8 x 8, with the papers' constants where they
don't depend on the data's size. There is no published number for these.
"""

from functools import partial

import optax

from jaxssl import methods, models, optim
from jaxssl.augment import block_mask, ijepa_blocks, ijepa_view, many_views
from jaxssl.ops import cosine, cosine_ema, linear
from jaxssl.presets import cifar10, share, vit, warmed_temperature
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="DINO",
  data="cifar10 (tfds)",
  reaches="published: 89.52 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def dino_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  prototypes: int = 4096,
  momentum: float = 0.9995,
  warm_epochs: int = 50,
  learning_rate: float = 0.3,
  weight_decay: float = 1e-6,
) -> Parts:
  """DINO on CIFAR-10 by solo-learn's recipe: two views, no small crops.

  Target: 89.52 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  The teacher's temperature rises from 0.04 to 0.07 as in solo-learn's first release.
  Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the head.
    projection: Width of its bottleneck.
    prototypes: Rows of the last layer, which moves from the second epoch on.
    momentum: Of the teacher at the start; it rises to 1 by a cosine.
    warm_epochs: Epochs, out of 1,000, in which the teacher's temperature rises.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.asymmetric(size)
  head = models.dino_head(hidden=hidden, bottleneck=projection)
  method = methods.dino(
    cifar10.net(encoder, run, head, size=size),
    views,
    prototypes=prototypes,
    teacher_temperature=warmed_temperature(
      run, 0.04, 0.07, warmup=warm_epochs, epochs=cifar10.EPOCHS
    ),
    momentum=cosine_ema(momentum, steps=run.steps),
    freeze_steps=share(run, 1, of=cifar10.EPOCHS),
  )
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="iBOT",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="1,000 epochs, not measured here",
)
def ibot_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "vit_tiny",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  prototypes: int = 8192,
  local_count: int = 6,
  drop_path: float = 0.1,
  momentum: float = 0.9995,
  learning_rate: float = 5e-4,
  weight_decay: float = 0.04,
  last_weight_decay: float = 0.4,
) -> Parts:
  """iBOT on CIFAR-10 with a ViT-Tiny: 64 patches, block masks, small crops of 16.

  Target: no published number. The paper's crops, AdamW and clipping; a momentum for
  small batches (the paper has 0.996 at 1,024 rows), 6 small crops for its 10, no blur.
  Protocol: linear probe on the class token. 1,000 epochs; cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the head.
    projection: Width of its bottleneck.
    prototypes: Rows of the last layer.
    local_count: Small crops of an image.
    drop_path: Stochastic depth of the last block.
    momentum: Of the teacher at the start; it rises to 1 by a cosine.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: At the start; biases and norms have none.
    last_weight_decay: At the end of its cosine.
  """
  views = cifar10.crops(size, split=0.25, local_count=local_count)
  backbone = vit(encoder, run, size=size, mask_token=True, drop_path=drop_path)
  head = models.dino_head(hidden=hidden, bottleneck=projection)
  warm = warmed_temperature(run, 0.04, 0.07, warmup=30, epochs=cifar10.EPOCHS)
  method = methods.ibot(
    models.Siamese(backbone, head),
    views,
    mask=partial(block_mask, grid=(size // backbone.patch,) * 2),
    prototypes=prototypes,
    teacher_temperature=warm,
    patch_temperature=warm,
    momentum=cosine_ema(momentum, steps=run.steps),
    freeze_steps=share(run, 1, of=cifar10.EPOCHS),
  )
  decay = cosine(weight_decay, last_weight_decay, steps=run.steps)
  adamw = cifar10.adamw(run, learning_rate, weight_decay=decay)
  tx = optax.chain(optim.clip_each(3.0), adamw)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="DINOv2",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="1,000 epochs, not measured here",
)
def dinov2_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "vit_tiny",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  prototypes: int = 8192,
  local_count: int = 6,
  registers: int = 4,
  drop_path: float = 0.1,
  koleo_weight: float = 0.1,
  momentum: float = 0.9995,
  learning_rate: float = 5e-4,
  weight_decay: float = 0.04,
  last_weight_decay: float = 0.4,
) -> Parts:
  """DINOv2's terms on CIFAR-10 with a ViT-Tiny: Sinkhorn teacher, KoLeo, registers.

  Target: no published number. The paper's crops, layer scale, clipping and decay; fewer
  prototypes, less stochastic depth and a momentum for small data; one head for class
  and patches, one learning rate for all layers, scaled linearly. Protocol: linear probe
  on the class token. 1,000 epochs; cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the head.
    projection: Width of its bottleneck.
    prototypes: Rows of the last layer.
    local_count: Small crops of an image.
    registers: Tokens of no place.
    drop_path: Stochastic depth of every block.
    koleo_weight: Of the term that spreads the class tokens.
    momentum: Of the teacher at the start; it rises to 1 by a cosine.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: At the start; biases and norms have none.
    last_weight_decay: At the end of its cosine.
  """
  views = cifar10.crops(size, split=0.32, local_count=local_count)
  options = {"mask_token": True, "registers": registers, "layer_scale": 1e-5}
  backbone = vit(encoder, run, size=size, **options)
  backbone = backbone.clone(drop_path=(drop_path,) * backbone.depth)
  rows = size // backbone.patch
  method = methods.dinov2(
    models.Siamese(backbone, models.dino_head(hidden=hidden, bottleneck=projection)),
    views,
    mask=partial(block_mask, grid=(rows, rows)),
    masked_patches=rows**2 // 2,
    prototypes=prototypes,
    teacher_temperature=warmed_temperature(
      run, 0.04, 0.07, warmup=30, epochs=cifar10.EPOCHS
    ),
    momentum=cosine_ema(momentum, steps=run.steps),
    koleo_weight=koleo_weight,
    freeze_steps=share(run, 1, of=cifar10.EPOCHS),
  )
  decay = cosine(weight_decay, last_weight_decay, steps=run.steps)
  adamw = cifar10.adamw(run, learning_rate, weight_decay=decay)
  tx = optax.chain(optax.clip_by_global_norm(3.0), adamw)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="I-JEPA",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="1,000 epochs, not measured here",
)
def ijepa_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "vit_tiny",
  size: int = 32,
  width: int = 96,
  depth: int = 6,
  momentum: float = 0.996,
  learning_rate: float = 5e-4,
  weight_decay: float = 0.04,
  last_weight_decay: float = 0.4,
) -> Parts:
  """I-JEPA on CIFAR-10 with a ViT-Tiny: crops only, no flip and no colours.

  Target: no published number. The paper's blocks, decay and momentum; the learning
  rate and the predictor's width (half the encoder's, as there) are chosen. Protocol:
  linear probe on the mean over the target's patches. 1,000 epochs; cost: not measured
  here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    width: Channels of the predictor.
    depth: Blocks of the predictor.
    momentum: Of the target at the start; it rises to 1 in a line.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: At the start; biases and norms have none.
    last_weight_decay: At the end of its cosine.
  """
  views = many_views(ijepa_view(size))
  backbone = vit(encoder, run, size=size, class_token=False)
  rows = size // backbone.patch
  method = methods.ijepa(
    backbone,
    models.PatchPredictor(width=width, depth=depth, heads=backbone.heads),
    views,
    blocks=partial(ijepa_blocks, grid=(rows, rows), min_context=0.15),
    context_patches=rows**2 * 5 // 8,
    target_patches=rows**2 // 4,
    momentum=linear(momentum, 1.0, steps=run.steps),
  )
  decay = cosine(weight_decay, last_weight_decay, steps=run.steps)
  tx = cifar10.adamw(run, learning_rate, weight_decay=decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)
