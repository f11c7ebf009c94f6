"""Tiny settings of the experiments on other examples than images."""

import numpy as np

TEXT = {"width": 16, "depth": 1, "heads": 2}
NET = {"width": 16, "depth": 1}
TINY = {
  "gpt_text": {**TEXT, "block": 16},
  "bert_text": {**TEXT, "vocabulary": 256, "length": 32, "duplicates": 1},
  "roberta_text": {**TEXT, "vocabulary": 300, "length": 32},
  "skip_gram_text": {"width": 16},
  "cbow_text": {"width": 16},
  "simcse_text": {**NET, "vocabulary": 256, "length": 32},
  "bert4rec_items": {**TEXT},
  "sasrec_items": {**NET},
  "clip_captions": {**TEXT, "dim": 16},
  "siglip_captions": {**TEXT, "dim": 16},
  "lit_captions": {**TEXT},
  "cola_audio": {"width": 16},
  "masked_spectrogram_audio": {**NET},
  "mockingjay_audio": {**NET},
  "cpc_audio": {"width": 16},
  "wav2vec2_audio": {**NET, "codes": 4},
  "hubert_audio": {**NET, "clusters": 8, "layers": 1},
  "future_frame_video": {"width": 8},
  "frame_order_video": {"width": 8},
  "shuffle_and_learn_video": {"width": 8},
  "tcn_video": {"width": 8},
  "videomae_video": {"width": 24, "depth": 1, "decoder_depth": 1},
  "alignment_video": {},
  "alignment_info_nce_video": {},
  "cross_modal_video": {},
  "graphcl_graph": {"width": 8},
  "grace_graph": {"width": 8, "batch": 1},
  "dgi_graph": {"width": 8, "batch": 1},
  "graphmae_graph": {"width": 16, "batch": 1},
  "scarf_table": {"width": 16},
  "vime_table": {"width": 16},
  "denoising_table": {"width": 16},
  "deepcluster_table": {"width": 16, "clusters": 4},
  **{
    f"{method}_{data}": {"batch": 1}
    for method in ("grace", "dgi", "graphmae")
    for data in ("cora", "citeseer")
  },
}
EVERYDAY = (  # one a file: the others share its data and its nets
  *("gpt_text", "skip_gram_text", "bert4rec_items", "clip_captions", "cola_audio"),
  *("cpc_audio", "videomae_video", "alignment_video", "dgi_graph", "scarf_table"),
)
ONE_GRAPH = ("_cora", "_citeseer")


def write_graph(path) -> str:
  """Writes a ring of 12 nodes with the splits of a public one; returns its path."""
  nodes = np.arange(12)
  np.savez(
    path,
    x=np.eye(12, 8, dtype=np.float32) + 0.1,
    edges=np.stack([nodes, (nodes + 1) % 12]),
    y=nodes % 2,
    train_idx=nodes[:4],
    val_idx=nodes[4:6],
    test_idx=nodes[6:],
  )
  return str(path)
