"""One self-contained HTML page a run: what self-supervision bought, in pictures."""

from jaxssl.report.page import write
from jaxssl.report.plots import flat_map, neighbours_of, sheet

__all__ = ["flat_map", "neighbours_of", "sheet", "write"]
