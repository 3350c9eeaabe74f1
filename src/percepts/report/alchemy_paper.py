"""Published numbers of Alchemy, to stand beside one's own, each with where it comes from.

The text of Wang, King, Porcel et al. 2021 could not be had: what is called the paper's is quoted from a digest by
others. What is called re-measured was computed here from files that were published with dm_alchemy: replayed events of
the 1000 evaluation episodes, with standard errors over these.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What is known of an agent.

    Attributes:
        paper: mean score and its standard error in the paper's Table 1, from a digest.
        measured: the same, re-measured from its published events, or by a bot of our own on the published episodes.
        trials: mean score of every trial, re-measured.
        behaviour: potions used, uses without effect, stones banked and mean banked value of the first and last trial.
        entropy: bits of the exact posterior after trials 1, 2, 3, 5 and 10, first 150 episodes.
    """

    paper: tuple[float, float] | None = None
    measured: tuple[float, float] | None = None
    trials: tuple[float, ...] | None = None
    behaviour: tuple[tuple[float, float], ...] | None = None
    entropy: tuple[float, ...] | None = None


ENTROPY_TRIALS = (1, 2, 3, 5, 10)
BEHAVIOUR = {
    "potions_used": "potions used",
    "no_change": "without effect",
    "stones_banked": "stones banked",
    "banked_value": "mean banked value",
}
"""Trackers in the order of `Published.behaviour`, and what they are called."""

PUBLISHED: dict[str, Published] = {
    "IMPALA, 3-D": Published(paper=(140.2, 1.5)),
    "V-MPO, 3-D": Published(paper=(156.2, 1.6)),
    "V-MPO, symbolic": Published(
        paper=(155.4, 1.6),
        measured=(155.18, 1.63),
        trials=(15.8, 16.2, 15.8, 15.0, 15.3, 15.8, 15.2, 15.5, 14.8, 15.7),
        behaviour=((11.61, 11.58), (7.03, 7.09), (1.40, 1.42), (8.98, 8.87)),
        entropy=(3.57, 1.80, 1.04, 0.30, 0.06),
    ),
    "random heuristic": Published(paper=(145.7, 1.5), measured=(146.4, 1.5), entropy=(3.40, 1.67, 0.91, 0.33, 0.02)),
    "belief state and prediction": Published(
        measured=(265.81, 1.80),
        trials=(21.3, 25.8, 26.4, 26.5, 27.2, 27.8, 27.3, 27.5, 27.8, 28.2),
        behaviour=((7.37, 3.61), (3.70, 0.35), (2.21, 2.58), (9.20, 10.90)),
    ),
    "ground truth and prediction": Published(
        measured=(283.10, 1.60),
        trials=(28.6, 28.9, 28.4, 27.8, 28.2, 28.5, 28.1, 28.0, 28.1, 28.5),
        behaviour=((3.52, 3.58), (0.18, 0.19), (2.67, 2.67), (10.66, 10.65)),
    ),
    "ideal observer": Published(
        paper=(284.4, 1.6),
        measured=(284.42, 1.59),
        trials=(25.8, 29.0, 28.9, 28.3, 28.8, 29.0, 28.5, 28.6, 28.6, 28.9),
        behaviour=((8.53, 3.42), (3.59, 0.01), (2.46, 2.76), (10.31, 10.44)),
        entropy=(3.29, 1.72, 1.20, 0.66, 0.36),
    ),
    "oracle": Published(
        paper=(288.5, 1.5),
        measured=(288.53, 1.53),
        trials=(29.2, 29.5, 29.0, 28.3, 28.8, 29.1, 28.5, 28.6, 28.6, 28.9),
        behaviour=((3.34, 3.38), (0.0, 0.0), (2.75, 2.76), (10.62, 10.44)),
        entropy=(4.41, 2.50, 1.69, 1.06, 0.70),
    ),
    "uniform random": Published(measured=(17.9, 0.6)),
    "cash only": Published(measured=(67.4, 0.9)),
}
"""By agent. What "belief state and prediction" was given and had to predict is not certain: the files are called
belief_state_predict and ground_truth_predict. The paper's third agent of its symbolic version is the file "baseline".
"""

FLOOR, CEILING = "random heuristic", "oracle"
"""Between which scores are normalised."""
