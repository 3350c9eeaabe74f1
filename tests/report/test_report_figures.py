"""Grids, colour maps, traversals and tuning: what is drawn is what the model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from report_fakes import SIDE, CentreOfMass, Dots, OnlyLosses

from percepts.core.errors import CapabilityError, PerceptsError
from percepts.report.grids import MARGIN, grid, labelled_rows
from percepts.report.images import LARGEST_SIDE, diverging, picture, sequential, to_pixels
from percepts.report.traversal import measure_latents, traverse
from percepts.report.tuning import lattice, position_factors, position_maps, spaced, tuning_curve


@pytest.fixture
def dots() -> Dots:
    return Dots.Config().build()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_grid_places_tiles_in_reading_order_with_transparent_gaps() -> None:
    tiles = np.stack([np.full((2, 3, 1), 10 * number, np.uint8) for number in range(5)])
    result = grid(tiles, columns=2, gap=1)
    assert result.shape == (3 * 2 + 2, 2 * 3 + 1, 4)
    assert result[0, 0].tolist() == [0, 0, 0, 255]
    assert result[0, 4].tolist() == [10, 10, 10, 255]
    assert result[3, 0].tolist() == [20, 20, 20, 255]
    assert (result[:, 3, 3] == 0).all(), "the gap between columns"
    assert (result[2, :, 3] == 0).all(), "the gap between rows"
    assert (result[6:, 4:, 3] == 0).all(), "the missing sixth tile"


def test_an_empty_grid_is_an_error() -> None:
    with pytest.raises(PerceptsError, match="0 tiles"):
        grid(np.zeros((0, 2, 2, 1), np.uint8), 3)


def test_labelled_rows_enlarge_without_interpolation() -> None:
    row = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8).repeat(20, axis=0)
    image = np.asarray(labelled_rows([row], [("z1", "2 nats")], scale=4))
    image = image[MARGIN:-MARGIN, :-MARGIN]
    assert image.shape[0] == 80
    assert (image[:, -8:-4] == [255, 0, 0]).all()
    assert (image[:, -4:] == [0, 0, 255]).all()


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_pixels_have_one_or_three_channels(channels: int, kept: int) -> None:
    assert to_pixels(torch.rand(2, channels, 6, 8)).shape == (2, 6, 8, kept)


def test_pixels_round_clamp_and_survive_nan() -> None:
    image = torch.tensor([-1.0, 0.5, 2.0, float("nan")]).view(1, 1, 2, 2)
    assert to_pixels(image).ravel().tolist() == [0, 128, 255, 0]


def test_large_images_are_shrunk_with_their_proportions() -> None:
    assert to_pixels(torch.rand(1, 3, 400, 200)).shape == (1, LARGEST_SIDE, LARGEST_SIDE // 2, 3)


def test_colour_maps_are_centred_and_clamped() -> None:
    blue, white, orange = diverging(np.array([-9.0, 0.0, 9.0]), 3.0).astype(int)
    assert blue[2] > blue[0] + 50
    assert orange[0] > orange[2] + 50
    assert white.min() > 235
    brightness = sequential(np.linspace(0, 1, 9), 1.0).astype(int) @ [3, 6, 1]
    assert (np.diff(brightness) > 0).all()
    assert diverging(np.array([np.nan]), 1.0).tolist() == [[128, 128, 128]]


def test_pictures_are_inline() -> None:
    one = picture(np.zeros((4, 6, 3), np.uint8), "nothing")
    assert one.source.startswith("data:image/webp;base64,")
    assert (one.width, one.height, one.alt) == (6, 4, "nothing")


def test_traversal_changes_one_latent_and_keeps_the_others() -> None:
    class Recorder(CentreOfMass):
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            seen.append(latents)
            return super().decode(latents)

    seen: list[torch.Tensor] = []
    image = Dots.Config().build()[77]["image"]
    model = Recorder()
    values = [-3.0, 0.0, 3.0]
    result = traverse(model, image, values, batch=4)
    assert result.shape == (3, 3, 3, SIDE, SIDE)
    assert max(len(part) for part in seen) <= 4, "decoded in batches"
    codes, mean = torch.cat(seen).view(3, 3, 3), model.encode(image[None]).mean[0]
    for latent in range(3):
        assert codes[latent, :, latent].tolist() == values
        others = [other for other in range(3) if other != latent]
        assert torch.equal(codes[latent][:, others], mean[others].expand(3, 2))
    assert torch.equal(result[1, 2], model.decode(codes[1, 2][None])[0])


def test_traversal_of_chosen_latents_comes_in_their_order() -> None:
    image = Dots.Config().build()[5]["image"]
    every = traverse(CentreOfMass(), image, [-1.0, 2.0])
    assert torch.equal(traverse(CentreOfMass(), image, [-1.0, 2.0], [2, 0]), every[[2, 0]])


def test_traversal_errors_say_what_is_missing() -> None:
    image = torch.zeros(3, SIDE, SIDE)
    with pytest.raises(CapabilityError, match="OnlyLosses cannot be used for traversals"):
        traverse(OnlyLosses(), image, [0.0])
    with pytest.raises(PerceptsError, match="0 to 2"):
        traverse(CentreOfMass(), image, [0.0], [3])


def test_latents_are_measured_and_sorted_by_kl(dots: Dots) -> None:
    batch = dots.gather(torch.arange(len(dots)))
    posterior = CentreOfMass().encode(batch["image"])
    latents = measure_latents(posterior)
    expected = posterior.kl_to_standard().mean(0).tolist()
    assert latents.kl == pytest.approx(expected, rel=1e-5)
    assert [latents.kl[latent] for latent in latents.order] == sorted(latents.kl, reverse=True)
    assert latents.used == latents.order[:2]
    assert latents.active[0] is False


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("shape", "x", "y"), (1, 2)),
        (("posY", "posX"), (1, 0)),
        (("y_position", "scale", "x_position"), (2, 0)),
        (("pos_x", "pos_y"), (0, 1)),
        (("PosX", "PosY"), (0, 1)),
        (("hue", "xylophone", "y"), None),
        (("x",), None),
    ],
)
def test_position_factors_are_found_by_name(
    dots: Dots, names: tuple[str, ...], expected: tuple[int, int] | None
) -> None:
    dots.factor_names, dots.factor_sizes = names, (4,) * len(names)
    assert position_factors(dots) == expected


def test_position_maps_of_a_known_model(dots: Dots) -> None:
    maps = position_maps(CentreOfMass(), dots, (1, 2), generator(), resolution=8, samples=4)
    assert maps.shape == (3, 8, 8)
    assert np.abs(maps[0]).max() == 0
    assert (np.diff(maps[1], axis=1) > 0).all(), "latent 1 grows to the right"
    assert np.ptp(maps[1], axis=0).max() < 1e-5, "and does not depend on y"
    assert (np.diff(maps[2], axis=0) > 0).all(), "latent 2 grows downwards"


def test_tuning_curve_of_a_known_model(dots: Dots) -> None:
    curve = tuning_curve(CentreOfMass(), dots, 1, generator())
    assert curve.factor == "x"
    assert curve.values.tolist() == list(range(8))
    assert (np.diff(curve.mean[:, 1]) > 0).all()
    assert curve.deviation[:, 1].max() < 0.1 < curve.deviation[:, 2].min()
    assert np.ptp(curve.mean[:, 2]) < 1e-5, "the same other factors at every value"


def test_lattice_of_a_known_model(dots: Dots) -> None:
    found = lattice(CentreOfMass(), dots, (1, 2))
    assert found is not None
    assert found.latents == (1, 2), "the one that answers to x comes first"
    assert found.codes.shape == found.factors.shape == (8, 8, 2)
    assert found.factors[3, 5].tolist() == [3, 5]
    assert (np.diff(found.codes[..., 0], axis=0) > 0).all()
    assert (np.diff(found.codes[..., 1], axis=1) > 0).all()


def test_spaced_indices_keep_both_ends() -> None:
    assert spaced(3, 16).tolist() == [0, 1, 2]
    assert spaced(32, 5).tolist() == [0, 8, 16, 23, 31]
