"""Metrics: pure functions from arrays to results. `evaluate_codes` gives them all."""

from percepts.metrics.dci import completeness_of, dci, disentanglement_of
from percepts.metrics.geometry import affine_geometry
from percepts.metrics.information import Information, discretise, entropy, mutual_information
from percepts.metrics.interventional import beta_vae_score, factor_vae_score
from percepts.metrics.mig import mig
from percepts.metrics.modularity import explicitness, modularity, modularity_of
from percepts.metrics.probe import linear_probe, regression_probe
from percepts.metrics.robustness import interventional_robustness
from percepts.metrics.sap import sap, sap_continuous
from percepts.metrics.suite import evaluate_codes
from percepts.metrics.udr import udr_scores
from percepts.metrics.udr_result import UDRGroup, UDRResult
from percepts.metrics.unsupervised import (
    active_units,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    unsupervised_scores,
)

__all__ = [
    "Information",
    "UDRGroup",
    "UDRResult",
    "active_units",
    "affine_geometry",
    "beta_vae_score",
    "completeness_of",
    "dci",
    "discretise",
    "disentanglement_of",
    "entropy",
    "evaluate_codes",
    "explicitness",
    "factor_vae_score",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "interventional_robustness",
    "linear_probe",
    "mig",
    "modularity",
    "modularity_of",
    "mutual_information",
    "regression_probe",
    "sap",
    "sap_continuous",
    "udr_scores",
    "unsupervised_scores",
]
