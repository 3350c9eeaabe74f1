"""The sections of a report. Each is a function from the material to a section, or to None where the model lacks the
capability or the data the knowledge that it needs."""

from __future__ import annotations

from collections.abc import Callable

from percepts.report.material import Material
from percepts.report.sections.binding import binding
from percepts.report.sections.code import traversals, usage
from percepts.report.sections.factors import factors
from percepts.report.sections.pictures import data, reconstructions, samples
from percepts.report.sections.record import configuration, reproduction, scores, training
from percepts.report.sections.section import Section
from percepts.report.sections.slots import decomposition, editing, refinement, slots, tracking

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    decomposition,
    traversals,
    slots,
    refinement,
    tracking,
    editing,
    reconstructions,
    scores,
    binding,
    usage,
    factors,
    samples,
    training,
    data,
    configuration,
    reproduction,
)
"""In the order of the page."""

__all__ = ["SECTIONS", "Section"]
