"""The sentence and the table of the scores."""

from jaxssl.report import scores

TUNED = {"finetune": {"0.01": 0.8, "1.0": 0.99}}
ROWS = [
  {"features": "trained encoder", "knn": 0.97, **TUNED},
  {"features": "raw pixels", "knn": 0.9, "finetune": {}},
]


def test_fine_tuned_columns_follow_the_frozen_ones():
  headings = [column.heading for column in scores.columns(ROWS)]
  assert headings == ["kNN", "fine-tuned 1\u00a0%", "fine-tuned 100\u00a0%"]
  table = scores.table(ROWS)
  assert table.count("<td>–</td>") == 2  # raw pixels have no encoder to tune
  assert "80.0" in table and "99.0" in table
  assert "the whole encoder" in scores.about(ROWS)


def test_the_sentence_is_of_frozen_features_where_there_are_any():
  assert scores.sentence(ROWS).startswith("With nearest neighbours")
  tuned = [{"features": "trained encoder", **TUNED}]
  assert scores.sentence(tuned) == (
    "Fine-tuned with 100\u00a0% of the labels the trained encoder reached 99.0\u00a0%."
  )
  assert "No evaluation" in scores.sentence([{"features": "raw pixels"}])
  assert "whole encoder" not in scores.about([{"features": "x", "knn": 0.5}])
