"""Settings that make every experiment on CIFAR-10 tiny; `data` comes from the test."""

BASE = {"steps": 2, "batch": 8, "size": 32, "encoder": "convnet"}
VIT = {**BASE, "encoder": "vit_toy"}
HEAD = {"hidden": 16, "projection": 8}
QUEUE = {"queue_size": 16}
PROTOTYPES = {"prototypes": 8}
CLUSTERS = {"clusters": 4}

TINY = {
  "barlow_twins_cifar10": {**BASE, "projection": 8},
  "byol_cifar10": {**BASE, **HEAD},
  "colorization_cifar10": {**BASE, "head_width": 8},
  "cpc_cifar10": {**BASE, "width": 8, "blocks": 1},
  "dcl_cifar10": {**BASE, **HEAD},
  "dclw_cifar10": {**BASE, **HEAD},
  "deepcluster_cifar10": {**BASE, **HEAD, **CLUSTERS},
  "deepcluster_v2_cifar10": {**BASE, **HEAD, **CLUSTERS},
  "dino_cifar10": {**BASE, **HEAD, **PROTOTYPES},
  "dinov2_cifar10": {**VIT, **HEAD, **PROTOTYPES, "local_count": 1},
  "ibot_cifar10": {**VIT, **HEAD, **PROTOTYPES, "local_count": 1},
  "ijepa_cifar10": {**VIT, "width": 16, "depth": 1},
  "lejepa_cifar10": {**BASE, **HEAD, "slices": 16},
  "moco_v1_cifar10": {**BASE, "projection": 8, **QUEUE},
  "moco_v2_cifar10": {**BASE, **HEAD, **QUEUE},
  "moco_v3_cifar10": {**BASE, **HEAD},
  "nnclr_cifar10": {**BASE, **HEAD, **QUEUE, "prediction_hidden": 16},
  "npid_cifar10": {**BASE, "projection": 8},
  "patch_order_cifar10": {**BASE, **HEAD},
  "ressl_cifar10": {**BASE, **HEAD, **QUEUE},
  "rotation_cifar10": BASE,
  "seed_cifar10": {**BASE, "hidden": 16, **QUEUE},  # and `teacher`, a finished run
  "simclr_cifar10": {**BASE, **HEAD},
  "simclr_v2_cifar10": {**BASE, **HEAD},
  "simsiam_cifar10": {**BASE, **HEAD, "bottleneck": 4},
  "supcon_cifar10": {**BASE, **HEAD},
  "swav_cifar10": {**BASE, **HEAD, **PROTOTYPES, **QUEUE},
  "tico_cifar10": {**BASE, **HEAD},
  "vicreg_cifar10": {**BASE, "projection": 8},
  "vicregl_cifar10": {**BASE, "projection": 8, "local_projection": 8},
  "w_mse_cifar10": {**BASE, "hidden": 16, "projection": 4, "sub_batch": 8},
}
