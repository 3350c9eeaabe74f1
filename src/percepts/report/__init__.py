"""Reports: what a run learned and how well, in one self-contained page."""

from percepts.report.figures import save_figures
from percepts.report.page import write_report

__all__ = ["save_figures", "write_report"]
