"""The table of several runs that differ in their seed: means and deviations."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxssl.evals.table import COLUMNS, PROTOCOLS, Table

OF_DRAWS = "mean ± standard deviation of 10 draws"  # of one run
MEAN_OF_DRAWS = "mean of 10 draws"
ONCE = {PROTOCOLS["few-label"]: PROTOCOLS["few-label"].replace(OF_DRAWS, MEAN_OF_DRAWS)}


def mean_table(tables: Mapping[int, Table]) -> Table:
  """Means of the accuracies of several runs, and their sample deviations.

  Args:
    tables: the table of each run, by its seed; two or more, of the same protocols.

  Returns:
    A table whose rows also have "knn_std", "linear_std" and "clusters_std" where they
    have "knn", ...; "few_label" holds mean and deviation over the runs of the means
    over the draws; and "seeds" each run's own row, by its seed.
  """
  first = next(iter(tables.values()))
  listed = ", ".join(map(str, tables))
  line = f"seeds: mean ± standard deviation of {len(tables)} runs, of seeds {listed}"
  protocols = [*(ONCE.get(text, text) for text in first.protocols), line]
  groups = zip(*(table.rows for table in tables.values()), strict=True)
  rows = [_mean_row(dict(zip(tables, group, strict=True))) for group in groups]
  return Table(rows, protocols, first.reason)


def _mean_row(rows):
  first = next(iter(rows.values()))
  found = {"features": first["features"]}
  for key in dict(COLUMNS):
    if key in first:
      values = [row[key] for row in rows.values()]
      found[key], found[f"{key}_std"] = _mean_and_deviation(values)
  if "few_label" in first:
    found["few_label"] = {
      count: _mean_and_deviation([row["few_label"][count][0] for row in rows.values()])
      for count in first["few_label"]
    }
  return {**found, "seeds": {str(seed): row for seed, row in rows.items()}}


def _mean_and_deviation(values: Sequence[float]) -> list[float]:
  return [float(np.mean(values)), float(np.std(values, ddof=1))]
