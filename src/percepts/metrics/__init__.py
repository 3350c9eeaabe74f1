"""Metrics: pure functions from arrays to results. `evaluate_codes` gives them all."""

from percepts.metrics.agreement import RankCorrelation, rank_correlation, selection_regret, top, top_agreement
from percepts.metrics.beta_vae_protocol import beta_vae_paper_score
from percepts.metrics.dci import completeness_of, dci, disentanglement_of
from percepts.metrics.downstream import downstream
from percepts.metrics.gap_variants import dcimig, jemmig, rmig
from percepts.metrics.geometry import affine_geometry
from percepts.metrics.information import Information, discretise, entropy, mutual_information
from percepts.metrics.interventional import beta_vae_score, factor_vae_score
from percepts.metrics.mig import mig
from percepts.metrics.modularity import explicitness, modularity, modularity_of
from percepts.metrics.posterior_mig import posterior_mig
from percepts.metrics.probe import linear_probe, regression_probe
from percepts.metrics.robustness import interventional_robustness
from percepts.metrics.sap import sap, sap_continuous
from percepts.metrics.segmentation import segmentation_scores
from percepts.metrics.segmentation_ari import adjusted_rand_index
from percepts.metrics.segmentation_colour import colour_clusters, colour_grouping, colour_labels, property_labels
from percepts.metrics.segmentation_completion import occlusion_completion
from percepts.metrics.segmentation_dci import slot_dci
from percepts.metrics.segmentation_decomposition import decomposition_scores
from percepts.metrics.segmentation_matching import match_slots
from percepts.metrics.segmentation_overlap import (
    mean_best_overlap,
    mean_iou,
    object_recovery,
    segmentation_covering,
    slot_count,
)
from percepts.metrics.segmentation_probe import slot_probe
from percepts.metrics.segmentation_probe_release import release_slot_probe
from percepts.metrics.segmentation_runs import Explanations, SlotAlignment, align_slots, distinct_explanations
from percepts.metrics.segmentation_tables import Contingency
from percepts.metrics.segmentation_video import slot_swaps
from percepts.metrics.suite import evaluate_codes, sample_codes
from percepts.metrics.udr import udr_scores
from percepts.metrics.udr_result import UDRGroup, UDRResult
from percepts.metrics.unsupervised import (
    active_units,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    unsupervised_scores,
)

__all__ = [
    "Contingency",
    "Explanations",
    "Information",
    "RankCorrelation",
    "SlotAlignment",
    "UDRGroup",
    "UDRResult",
    "active_units",
    "adjusted_rand_index",
    "affine_geometry",
    "align_slots",
    "beta_vae_paper_score",
    "beta_vae_score",
    "colour_clusters",
    "colour_grouping",
    "colour_labels",
    "completeness_of",
    "dci",
    "dcimig",
    "decomposition_scores",
    "discretise",
    "disentanglement_of",
    "distinct_explanations",
    "downstream",
    "entropy",
    "evaluate_codes",
    "explicitness",
    "factor_vae_score",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "interventional_robustness",
    "jemmig",
    "linear_probe",
    "match_slots",
    "mean_best_overlap",
    "mean_iou",
    "mig",
    "modularity",
    "modularity_of",
    "mutual_information",
    "object_recovery",
    "occlusion_completion",
    "posterior_mig",
    "property_labels",
    "rank_correlation",
    "regression_probe",
    "release_slot_probe",
    "rmig",
    "sample_codes",
    "sap",
    "sap_continuous",
    "segmentation_covering",
    "segmentation_scores",
    "selection_regret",
    "slot_count",
    "slot_dci",
    "slot_probe",
    "slot_swaps",
    "top",
    "top_agreement",
    "udr_scores",
    "unsupervised_scores",
]
