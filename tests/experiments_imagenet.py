"""Settings that make the experiments on ImageNet tiny; the data comes beside them.

They suit an .npz of labelled RGB images of 32 pixels, 16 or more. "seed_imagenet" also
needs a `teacher` whose features are 32 wide.
"""

RUN = {"steps": 2, "batch": 8, "size": 32}
CONV = {**RUN, "encoder": "convnet", "projection": 8}
WIDE = {**CONV, "hidden": 16}
QUEUE = {"queue_size": 16}
CROPS = {"local_size": 16, "local_count": 1}
TOKENS = {**RUN, **CROPS, "encoder": "vit_toy"}
TOKENS |= {"hidden": 16, "bottleneck": 8, "prototypes": 16}
CPC = {**RUN, "encoder": "convnet", "patch": 8, "stride": 4, "ahead": 2, "context": 16}

TINY = {
  "simclr_imagenet": CONV,
  "simclr_v2_imagenet": CONV,
  "moco_v1_imagenet": {**CONV, **QUEUE},
  "moco_v2_imagenet": {**WIDE, **QUEUE},
  "moco_v3_imagenet": WIDE,
  "moco_v3_vit_imagenet": {**WIDE, "encoder": "vit_toy"},
  "npid_imagenet": {**CONV, "negatives": 4},
  "nnclr_imagenet": {**WIDE, **QUEUE, "prediction_hidden": 16},
  "dcl_imagenet": CONV,
  "dclw_imagenet": CONV,
  "supcon_imagenet": CONV,
  "ressl_imagenet": {**WIDE, **QUEUE},
  "cpc_imagenet": CPC,
  "byol_imagenet": WIDE,
  "simsiam_imagenet": {**WIDE, "bottleneck": 4},
  "barlow_twins_imagenet": WIDE,
  "vicreg_imagenet": WIDE,
  "vicregl_imagenet": {**WIDE, "grid": 8, "local_width": 8, "matches": 4},
  "w_mse_imagenet": {**WIDE, "projection": 4, "sub_batch": 8},
  "tico_imagenet": WIDE,
  "lejepa_imagenet": {**WIDE, **CROPS, "encoder": "vit_toy", "slices": 8},
  "swav_imagenet": {**WIDE, **CROPS, "prototypes": 8},
  "deepcluster_imagenet": {**WIDE, "clusters": 4, "components": 4},
  "deepcluster_v2_imagenet": {**WIDE, **CROPS, "clusters": 4},
  "seed_imagenet": {**WIDE, **QUEUE, "projection": 32},
  "dino_imagenet": TOKENS,
  "ibot_imagenet": TOKENS,
  "dinov2_imagenet": TOKENS,
  "ijepa_imagenet": {
    **RUN,
    "encoder": "vit_toy",
    "predictor_width": 16,
    "predictor_depth": 1,
  },
}
