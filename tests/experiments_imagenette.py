"""The settings that make the experiments on Imagenette tiny, for a tiny .npz of images.

The images are RGB of 32 pixels, 16 or more, with labels. `seed_imagenette` needs the
setting `teacher` too.
"""

CONVNET = {"encoder": "convnet", "size": 32, "batch": 8, "steps": 2}
VIT = {**CONVNET, "encoder": "vit_toy"}
HEAD = {"hidden": 16, "projection": 8}
PREDICTED = {**HEAD, "prediction_hidden": 16}
QUEUE = {"queue_size": 16}
CROPS = {"local_count": 1}
TOKENS = {"hidden": 16, "bottleneck": 8, "prototypes": 16, **CROPS}

TINY = {
  "simclr_imagenette": {**CONVNET, **HEAD},
  "simclr_v2_imagenette": {**CONVNET, **HEAD},
  "moco_v1_imagenette": {**CONVNET, "projection": 8, **QUEUE},
  "moco_v2_imagenette": {**CONVNET, **HEAD, **QUEUE},
  "moco_v3_imagenette": {**CONVNET, **PREDICTED},
  "npid_imagenette": {**CONVNET, "projection": 8},
  "nnclr_imagenette": {**CONVNET, **PREDICTED, **QUEUE},
  "dcl_imagenette": {**CONVNET, **HEAD},
  "dclw_imagenette": {**CONVNET, **HEAD},
  "supcon_imagenette": {**CONVNET, **HEAD},
  "ressl_imagenette": {**CONVNET, **HEAD, **QUEUE},
  "colorization_imagenette": {**CONVNET, "head_width": 8},
  "colorization_regression_imagenette": {**CONVNET, "head_width": 8},
  "cpc_imagenette": {**CONVNET, "hidden": 16, "blocks": 1, "ahead": 2},
  "byol_imagenette": {**CONVNET, **PREDICTED},
  "simsiam_imagenette": {**CONVNET, **PREDICTED},
  "barlow_twins_imagenette": {**CONVNET, **HEAD},
  "vicreg_imagenette": {**CONVNET, **HEAD},
  "vicregl_imagenette": {**CONVNET, **HEAD, "local_hidden": 8, "matches": 4},
  "w_mse_imagenette": {**CONVNET, "hidden": 16, "projection": 4, "sub_batch": 8},
  "tico_imagenette": {**CONVNET, **HEAD},
  "lejepa_imagenette": {**CONVNET, **HEAD, **CROPS, "slices": 8},
  "denoising_imagenette": {**CONVNET, "width": 8},
  "dino_imagenette": {**CONVNET, **TOKENS},
  "ibot_imagenette": {**VIT, **TOKENS},
  "dinov2_imagenette": {**VIT, **TOKENS, "registers": 1},
  "ijepa_imagenette": {**VIT, "predictor_width": 16, "predictor_depth": 1},
  "mae_imagenette": VIT,
  "simmim_imagenette": VIT,
  "swav_imagenette": {**CONVNET, **HEAD, **CROPS, "prototypes": 16},
  "deepcluster_imagenette": {**CONVNET, **HEAD, "clusters": 4, "components": 4},
  "deepcluster_v2_imagenette": {**CONVNET, **HEAD, **CROPS, "clusters": 4},
  "seed_imagenette": {**CONVNET, "hidden": 16, **QUEUE},
}
