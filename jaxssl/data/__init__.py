"""Where examples come from, and which ones each step sees."""

from jaxssl.data.audio import audio_kind, open_audio
from jaxssl.data.captions import Captioned, caption_tokens, open_captions
from jaxssl.data.folders import decode_image, image_folder
from jaxssl.data.graphs import check_graphs, graph_kind, open_graphs, pad_graphs
from jaxssl.data.items import Items, item_csv, open_items, walks
from jaxssl.data.loader import gather, open_data, prefetch, resident, take
from jaxssl.data.moving import moving_digits, open_clips, read_idx
from jaxssl.data.packing import TextPair, Windows
from jaxssl.data.sampler import (
  in_order,
  index_block,
  indices,
  steps_per_epoch,
)
from jaxssl.data.sentences import sentence_data
from jaxssl.data.sounding import Sounding, bouncing_digits, open_sounding
from jaxssl.data.sources import (
  RESIDENT_BYTES,
  ArraySource,
  DataSet,
  LazySource,
  Source,
  check_images,
  digits,
  npz,
  skipped_message,
)
from jaxssl.data.tables import Columns, Row, columns_from_json, marginals, open_table
from jaxssl.data.text import Corpus, read_text
from jaxssl.data.text_sets import text_data, text_kind
from jaxssl.data.tfds import tfds_images
from jaxssl.data.tokenizers import Tokenizer, tokenizer_from, train_tokenizer
from jaxssl.data.video import video_kind, videos
from jaxssl.data.words import Vocabulary, Words, make_vocabulary, open_words

__all__ = [
  "RESIDENT_BYTES",
  "ArraySource",
  "Captioned",
  "Columns",
  "Corpus",
  "DataSet",
  "Items",
  "LazySource",
  "Row",
  "Sounding",
  "Source",
  "TextPair",
  "Tokenizer",
  "Vocabulary",
  "Windows",
  "Words",
  "audio_kind",
  "bouncing_digits",
  "caption_tokens",
  "check_graphs",
  "check_images",
  "columns_from_json",
  "decode_image",
  "digits",
  "gather",
  "graph_kind",
  "image_folder",
  "in_order",
  "index_block",
  "indices",
  "item_csv",
  "make_vocabulary",
  "marginals",
  "moving_digits",
  "npz",
  "open_audio",
  "open_captions",
  "open_clips",
  "open_data",
  "open_graphs",
  "open_items",
  "open_sounding",
  "open_table",
  "open_words",
  "pad_graphs",
  "prefetch",
  "read_idx",
  "read_text",
  "resident",
  "sentence_data",
  "skipped_message",
  "steps_per_epoch",
  "take",
  "text_data",
  "text_kind",
  "tfds_images",
  "tokenizer_from",
  "train_tokenizer",
  "video_kind",
  "videos",
  "walks",
]
