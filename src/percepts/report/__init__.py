"""Reports: what a run learned and how well, in one self-contained page, and its figures."""

from percepts.report.binding import binding_numbers, gradient_shares
from percepts.report.binding_findings import binding_findings
from percepts.report.figures import save_figures
from percepts.report.page import write_report
from percepts.report.slot_editing import edit_scenes, editing_plate
from percepts.report.slot_palette import colour_masks
from percepts.report.slot_refinement import refinement_plate
from percepts.report.slot_traversal import slot_traversal_plate, traverse_slot
from percepts.report.slots import decomposition_plate
from percepts.report.video import decomposition_frames, write_video

__all__ = [
    "binding_findings",
    "binding_numbers",
    "colour_masks",
    "decomposition_frames",
    "decomposition_plate",
    "edit_scenes",
    "editing_plate",
    "gradient_shares",
    "refinement_plate",
    "save_figures",
    "slot_traversal_plate",
    "traverse_slot",
    "write_report",
    "write_video",
]
