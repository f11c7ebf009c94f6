"""Evaluation of frozen features: accuracies, their table, and collapse measures."""

from jaxssl.evals.diagnostics import (
  alignment,
  alpha_req,
  collapse_measures,
  effective_rank,
  feature_std,
  lidar,
  prototype_entropy,
  prototype_perplexity,
  rankme,
  spread,
  uniformity,
  verdict,
)
from jaxssl.evals.features import check_labelled, extract
from jaxssl.evals.few_label import few_label, few_label_draw
from jaxssl.evals.finetune import (
  RECIPE,
  FineTuning,
  check_recipe,
  finetune,
  finetune_line,
  label_subset,
  not_tunable,
)
from jaxssl.evals.knn import knn_accuracy, knn_predict
from jaxssl.evals.linear_probe import (
  Probe,
  fit_probe,
  linear_accuracy,
  probe_predict,
)
from jaxssl.evals.ranking import (
  hit_rate,
  ndcg,
  next_item_scores,
  popularity,
  target_ranks,
)
from jaxssl.evals.retrieval import recall, retrieval
from jaxssl.evals.seeds import mean_table
from jaxssl.evals.table import (
  PROTOCOLS,
  Table,
  as_markdown,
  as_text,
  evaluate,
  evaluate_row,
  evaluate_runs,
  raw_name,
  unusable,
)
from jaxssl.evals.zero_shot import (
  class_vectors,
  prompts,
  zero_shot,
  zero_shot_accuracy,
)

__all__ = [
  "PROTOCOLS",
  "RECIPE",
  "FineTuning",
  "Probe",
  "Table",
  "alignment",
  "alpha_req",
  "as_markdown",
  "as_text",
  "check_labelled",
  "check_recipe",
  "class_vectors",
  "collapse_measures",
  "effective_rank",
  "evaluate",
  "evaluate_row",
  "evaluate_runs",
  "extract",
  "feature_std",
  "few_label",
  "few_label_draw",
  "finetune",
  "finetune_line",
  "fit_probe",
  "hit_rate",
  "knn_accuracy",
  "knn_predict",
  "label_subset",
  "lidar",
  "linear_accuracy",
  "mean_table",
  "ndcg",
  "next_item_scores",
  "not_tunable",
  "popularity",
  "probe_predict",
  "prompts",
  "prototype_entropy",
  "prototype_perplexity",
  "rankme",
  "raw_name",
  "recall",
  "retrieval",
  "spread",
  "target_ranks",
  "uniformity",
  "unusable",
  "verdict",
  "zero_shot",
  "zero_shot_accuracy",
]
