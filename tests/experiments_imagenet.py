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
PATCHES = {**RUN, "encoder": "convnet", "tile": 6, "gap": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
PIXELS = {"head_width": 16, "head_depth": 1}

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
  "colorization_imagenet": {**RUN, "width": 4},
  "inpainting_imagenet": {**RUN, "width": 4, "bottleneck": 16},
  "rotation_imagenet": {**RUN, "encoder": "convnet"},
  "context_imagenet": {**PATCHES, "hidden": 8, "smallest": 2},
  "jigsaw_imagenet": {**PATCHES, "projection": 8, "permutations": 6},
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
  "dvae_imagenet": {**RUN, "vocabulary": 16, "width": 8, "blocks": 1},
  "beit_imagenet": {
    **RUN,
    "encoder": "vit_toy",
    "tokenizer": "kmeans",
    "vocabulary": 8,
  },
  "maskfeat_imagenet": {**RUN, "encoder": "vit_toy"},
  "data2vec_imagenet": {**RUN, "encoder": "vit_toy", "top": 2},
  "mae_imagenet": {**RUN, "encoder": "vit_toy", **DECODER},
  "simmim_imagenet": {**RUN, "encoder": "vit_toy"},
  "aim_imagenet": {**RUN, "width": 24, "depth": 2, "heads": 2, "patch": 8, **PIXELS},
}
