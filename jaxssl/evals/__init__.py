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
from jaxssl.evals.knn import knn_accuracy, knn_predict
from jaxssl.evals.linear_probe import (
  Probe,
  fit_probe,
  linear_accuracy,
  probe_predict,
)
from jaxssl.evals.table import (
  PROTOCOLS,
  Table,
  as_markdown,
  as_text,
  evaluate,
  evaluate_row,
  unusable,
)

__all__ = [
  "PROTOCOLS",
  "Probe",
  "Table",
  "alignment",
  "alpha_req",
  "as_markdown",
  "as_text",
  "check_labelled",
  "collapse_measures",
  "effective_rank",
  "evaluate",
  "evaluate_row",
  "extract",
  "feature_std",
  "few_label",
  "few_label_draw",
  "fit_probe",
  "knn_accuracy",
  "knn_predict",
  "lidar",
  "linear_accuracy",
  "probe_predict",
  "prototype_entropy",
  "prototype_perplexity",
  "rankme",
  "spread",
  "uniformity",
  "unusable",
  "verdict",
]
