"""Figures over hyperparameters and factors: rate and distortion, capacity, geometry, held-out regions, animations."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from report_fakes import SIDE, CentreOfMass, Dots

from percepts.core.errors import PerceptsError
from percepts.data.minis import Blobs24
from percepts.report.animation import latent_ranges, traversal_gif
from percepts.report.capacity import allocation_order, capacity_curves, capacity_plate
from percepts.report.geometry import (
    Geometry,
    geometry_of,
    geometry_plate,
    lattice_support,
    measure_geometry,
    ranked_replicas,
    replica_plate,
    variance_plate,
)
from percepts.report.held_out import HeldOutErrors, error_map_plate, error_plate, reconstruction_plate
from percepts.report.plates import Plate, empty_plate
from percepts.report.rate_distortion import Sweep, rate_distortion_plate, score_plate, score_trade_off_plate
from percepts.report.traversal import traverse
from percepts.report.tuning import Lattice

NAN = math.nan


def is_empty(plate: Plate) -> bool:
    return plate.size == empty_plate("nothing").size


def lattice_of(turn: float = 0.0, fold: bool = False, side: int = 8) -> Lattice:
    nodes = np.stack(np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij"), axis=-1)
    cos, sin = math.cos(turn), math.sin(turn)
    codes = nodes @ np.array([[cos, sin], [-sin, cos]])
    return Lattice((4, 7), np.abs(codes) if fold else codes, nodes)


def test_medians_leave_out_runs_without_a_number() -> None:
    sweep = Sweep("a", [1, 1, 1, 4, 4, 9], [0.1, 0.3, NAN, 0.5, 0.7, NAN], [1, 3, 100, 2, 2, 2])
    assert sweep.medians().tolist() == pytest.approx(np.array([[1, 2, 0.2], [4, 2, 0.6]]))
    with pytest.raises(PerceptsError, match="'a'"):
        Sweep("a", [1, 2], [0.1])


def test_the_best_median_of_a_score_is_named() -> None:
    inverted = Sweep("ten latents", [1, 1, 4, 4, 16, 16], [0.1, 0.2, 0.5, 0.6, 0.3, 0.9])
    plate = score_plate([inverted], score="MIG", normalised=0.01, chance=0.05)
    assert "ten latents β = 16" in plate.caption, "the median of 16 is 0.6, that of 4 is 0.55"
    assert score_plate([inverted], score="MIG").size[1] < plate.size[1], "the upper axis takes room"


def test_scores_over_one_value_or_none_have_a_picture() -> None:
    assert not is_empty(score_plate([Sweep("one", [4], [0.5])], score="MIG"))
    assert is_empty(score_plate([Sweep("one", [4], [NAN])], score="MIG"))
    assert is_empty(score_plate([], score="MIG"))
    with pytest.raises(PerceptsError, match="0 or below"):
        score_plate([Sweep("one", [0, 4], [0.5, 0.5])], score="MIG")
    assert not is_empty(score_plate([Sweep("one", [0, 4], [0.5, 0.5])], score="MIG", logarithmic=False))
    with pytest.raises(PerceptsError, match="normalised = -1"):
        score_plate([Sweep("one", [4], [0.5])], score="MIG", normalised=-1.0)


def test_rate_distortion_needs_both_numbers() -> None:
    both = Sweep("a", [1, 4], [80.0, 90.0], [10.0, 5.0])
    assert "of a" in rate_distortion_plate([both, Sweep("b", [1], [NAN], [1.0])]).alt
    assert "of a" in score_trade_off_plate([both], score="MIG").alt
    assert is_empty(rate_distortion_plate([Sweep("a", [1], [80.0])]))


def capacity_log(lines: int = 200) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = [{"step": 0, "evaluation/mig.dlib": 0.1}]
    for number in range(lines):
        capacity = min(10.0, 0.1 * number)
        kl = [max(0.0, capacity - start) for start in (4.0, 0.0)] + [0.01 if number else 5.0]
        log.append({"step": number, "capacity": capacity, "kl_per_latent": kl, "reconstruction": 100.0 - capacity})
    return log


def test_capacity_goes_first_to_the_latent_that_rises_first() -> None:
    capacity, kl, likelihood = capacity_curves(capacity_log())
    assert (capacity.shape, kl.shape, likelihood[0]) == ((200,), (200, 3), -100.0)
    assert allocation_order(kl) == [1, 0], "the third overshoots once and falls back for good"
    plate = capacity_plate(capacity_log(), ["scale", "x", "unused"], snapshots=[3.0])
    assert plate.caption.endswith("in order x, scale.")
    with pytest.raises(PerceptsError, match="1 names for 3 latents"):
        capacity_plate(capacity_log(), ["x"])


def test_capacity_of_logs_with_gaps_has_a_picture() -> None:
    without = [{key: value for key, value in line.items() if key != "reconstruction"} for line in capacity_log()]
    assert capacity_plate(without).size[0] < capacity_plate(capacity_log()).size[0]
    assert is_empty(capacity_plate([]))
    assert is_empty(capacity_plate([{"step": 1, "loss": 2.0}]))
    broken = [{"capacity": 1.0, "kl_per_latent": [None, 1.0]}, {"capacity": 2.0, "kl_per_latent": [0.0, 2.0]}]
    assert capacity_plate(broken).caption.endswith("in order z1.")


def test_geometry_of_known_lattices() -> None:
    upright = geometry_of(lattice_of(), ("x", "y"), active=2)
    assert upright.affine_r2 == pytest.approx(1.0)
    assert (upright.fold_count, upright.cells, upright.active) == (0, 49, 2)
    assert geometry_of(lattice_of(math.radians(30)), ("x", "y")).axis_angle == pytest.approx(30, abs=0.01)
    assert geometry_of(lattice_of(fold=True), ("x", "y")).fold_count > 10
    assert "2 active latents, affine R² 1.000" in geometry_plate(upright).caption


def test_a_code_that_does_not_move_has_a_picture_and_no_number() -> None:
    still = lattice_of()
    still = Lattice(still.latents, np.zeros_like(still.codes), still.factors)
    found = geometry_of(still, ("x", "y"))
    assert math.isnan(found.affine_r2)
    assert "do not span a plane" in geometry_plate(found).caption
    broken = Lattice(still.latents, np.full_like(still.codes, NAN), still.factors)
    with pytest.raises(PerceptsError, match="not finite"):
        geometry_of(broken, ("x", "y"))
    with pytest.raises(PerceptsError, match="mask of shape"):
        geometry_of(still, ("x", "y"), seen=np.ones((2, 2), bool))


def test_held_out_cells_are_grey_on_both_sides() -> None:
    seen = np.ones((8, 8), bool)
    seen[3:5, 3:5] = False
    whole, hole = (geometry_plate(geometry_of(lattice_of(), ("x", "y"), seen=mask)) for mask in (None, seen))
    assert "Grey cells" in hole.caption
    assert "Grey" not in whole.caption

    def grey(plate: Plate, half: slice) -> int:
        return int((np.asarray(plate.image)[:, half] == [220, 221, 225]).all(axis=-1).sum())

    middle = hole.size[0] // 2
    for half in (slice(0, middle), slice(middle, None)):
        assert grey(hole, half) > grey(whole, half) + 1000


def test_the_lattice_of_a_dataset_with_a_hole() -> None:
    held = lattice_support(Blobs24.Config(hole=0.45).build(), (0, 1))
    assert held.shape == (16, 16)
    assert (~held).sum() == 36
    assert not held[8, 8]
    assert held[0, 8]
    assert lattice_support(Dots.Config().build(), (1, 2), resolution=4).all()


def test_geometry_of_a_model_that_knows_the_centre() -> None:
    found = measure_geometry(CentreOfMass(), Dots.Config().build(), (1, 2), active=2)
    assert found is not None
    assert found.lattice.latents == (1, 2)
    assert found.factors == ("x", "y")
    assert found.affine_r2 > 0.95


def test_replicas_are_ranked_from_worst_to_best() -> None:
    good, bad = geometry_of(lattice_of(), ("x", "y")), geometry_of(lattice_of(fold=True), ("x", "y"))
    flat = Geometry(lattice_of(), ("x", "y"), None, NAN, NAN, 49, 49, None)
    assert [seed for seed, _ in ranked_replicas([good, None, bad, flat])] == [3, 2, 0]
    two = replica_plate([("one", [good, bad]), ("other", [good])])
    assert two.size[1] > replica_plate([("one", [good, bad])]).size[1]
    assert is_empty(replica_plate([("one", [None])]))


def test_variances_count_the_precise_latents() -> None:
    plate = variance_plate([("a", [0.9, 0.01, 1.0, NAN]), ("b", [])])
    assert plate.alt == "Posterior variances. a: 1 of 3 below 0.5"
    assert is_empty(variance_plate([("a", [NAN])]))


def test_held_out_ratios() -> None:
    model = HeldOutErrors("a", [0.1, NAN, 0.3], [0.4, 0.4])
    assert model.ratio == pytest.approx(2.0)
    assert math.isnan(HeldOutErrors("a", [0.0], [0.4]).ratio)
    assert math.isnan(HeldOutErrors("a", [], [0.4]).ratio)
    assert "a ×2; b ×n/a" in error_plate([model, HeldOutErrors("b", [0.1], [])]).alt
    assert is_empty(error_plate([HeldOutErrors("b", [NAN], [])]))


def test_held_out_images_stand_over_their_reconstructions() -> None:
    images = Dots.Config().build().gather(torch.arange(6))["image"]
    one = reconstruction_plate(images[:4], images[4:], {"a": (images[:4], images[4:])})
    two = reconstruction_plate(images[:4], images[4:], dict.fromkeys("ab", (images[:4], images[4:])))
    assert two.size[1] > one.size[1] + 4 * SIDE
    assert is_empty(reconstruction_plate(images, images[:0], {}))
    with pytest.raises(PerceptsError, match="'a'"):
        reconstruction_plate(images[:4], images[4:], {"a": (images[:3], images[4:])})


def test_the_error_map_outlines_the_hole_on_one_scale() -> None:
    seen = np.ones((6, 6), bool)
    seen[2:4, 2:4] = False
    errors = {"good": np.full((6, 6), 0.1), "bad": np.where(seen, 0.1, 0.9)}
    plate = error_map_plate(errors, seen, ("x", "y"), (range(6), range(6)))
    outlined = (np.asarray(plate.image, np.int64) == [60, 156, 201]).all(axis=-1).sum()
    assert outlined > 100
    whole = error_map_plate(errors, np.ones_like(seen), ("x", "y"))
    assert (np.asarray(whole.image, np.int64) == [60, 156, 201]).all(axis=-1).sum() == 0
    assert is_empty(error_map_plate({"nan": np.full((6, 6), NAN)}, seen, ("x", "y")))
    assert is_empty(error_map_plate({}, seen, ("x", "y")))
    with pytest.raises(PerceptsError, match="other shapes"):
        error_map_plate({"a": np.zeros((5, 6))}, seen, ("x", "y"))


def test_a_gif_moves_there_and_back_without_a_jump() -> None:
    images = Dots.Config().build().gather(torch.arange(0, 128, 5))["image"]
    with Image.open(io.BytesIO(traversal_gif(CentreOfMass(), images, frames=12))) as film:
        assert (film.format, film.n_frames, film.info["loop"]) == ("GIF", 12, 0)
        frames = []
        for number in range(12):
            film.seek(number)
            frames.append(np.asarray(film.convert("L"), np.int64))
    for number in range(1, 6):
        assert np.abs(frames[number] - frames[12 - number]).max() <= 3, "the way back is the way there"
    assert np.abs(frames[0] - frames[3]).max() > 100, "half-way up the dot is in the middle of the picture"
    with pytest.raises(PerceptsError, match="1 frames"):
        traversal_gif(CentreOfMass(), images, frames=1)


def test_ranges_of_latents() -> None:
    posterior = CentreOfMass().encode(Dots.Config().build().gather(torch.arange(128))["image"])
    ends = {over: latent_ranges(posterior, 3, over) for over in ("prior", "posterior", "quantile", "min_max")}
    assert [float(end[0]) for end in ends["prior"]] == [-2.0, 2.0]
    low, high = ends["posterior"]
    assert torch.allclose((low + high) / 2, posterior.mean[3], atol=1e-5)
    assert torch.allclose(high - low, 6 * posterior.variance[3].sqrt(), atol=1e-5)
    assert torch.equal(ends["min_max"][1], posterior.mean.amax(dim=0))
    assert (ends["quantile"][0] >= ends["min_max"][0]).all()
    assert (ends["quantile"][1] <= ends["min_max"][1]).all()
    with pytest.raises(PerceptsError, match="'everything'"):
        latent_ranges(posterior, 0, "everything")  # type: ignore[arg-type]


def test_every_latent_may_have_values_of_its_own() -> None:
    image = Dots.Config().build().gather(torch.tensor([20]))["image"][0]
    values = torch.tensor([[-1.0, 1.0], [0.0, 0.5]])
    both = traverse(CentreOfMass(), image, values, [1, 2])
    assert torch.equal(both[0], traverse(CentreOfMass(), image, values[0], [1])[0])
    assert torch.equal(both[1], traverse(CentreOfMass(), image, values[1], [2])[0])
    with pytest.raises(PerceptsError, match="2 rows of values for 1 latents"):
        traverse(CentreOfMass(), image, values, [1])
