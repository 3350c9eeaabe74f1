import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import (
    adjusted_rand_index,
    colour_clusters,
    colour_grouping,
    colour_labels,
    property_labels,
)

PALETTE = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])


def pieces(images: int, seed: int = 0, shaded: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three bars of equal size on black, each of one of six colours: image, segmentation, colours [N,4]."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.zeros(images, 9, 16, dtype=torch.long)
    for number in range(3):
        true[:, 3 * number : 3 * number + 2] = number + 1
    colours = torch.randint(6, (images, 4), generator=generator)
    painted = torch.cat([torch.zeros(images, 1, 3), PALETTE[colours[:, 1:]]], dim=1)
    image = painted[torch.arange(images)[:, None, None], true].permute(0, 3, 1, 2)
    shade = 0.3 + 0.7 * torch.rand(images, 1, 9, 16, generator=generator) if shaded else 1.0
    return image * shade, true, colours


@pytest.mark.parametrize("shaded", [False, True])
def test_colour_alone_scores_what_it_should_on_three_pieces(shaded: bool) -> None:
    image, true, colours = pieces(2000, shaded=shaded)
    grouped = colour_labels(image, levels=8, brightness=not shaded)
    result = adjusted_rand_index(true, grouped)
    # 1 for three colours, 0.57 for two of three alike (here with 32 pixels a piece), 0 for one.
    different = np.array([len(set(row[1:])) for row in colours.tolist()])
    for number in (1, 2, 3):
        scores = result.details["per_image"][different == number]
        assert np.ptp(scores) < 1e-12
        assert scores[0] == pytest.approx({1: 0.0, 2: 0.567, 3: 1.0}[number], abs=5e-3)
    assert result.value == pytest.approx(0.793, abs=0.02)
    oracle = property_labels(true, colours)
    np.testing.assert_allclose(
        adjusted_rand_index(true, oracle).details["per_image"], result.details["per_image"], atol=1e-12
    )


def test_labels_of_colours_are_small_numbers_from_0() -> None:
    image = torch.tensor([[0.0, 0.1, 0.9, 1.0]]).reshape(1, 1, 2, 2).repeat(2, 3, 1, 1)
    image[1] = 0.5
    labels = colour_labels(image, levels=2)
    assert labels.tolist() == [[[0, 0], [1, 1]], [[0, 0], [0, 0]]]
    assert colour_labels(image, levels=256).amax().item() == 3


def test_dark_pixels_have_no_hue() -> None:
    image = torch.zeros(1, 3, 1, 4)
    image[0, 0] = torch.tensor([0.01, 0.0, 0.5, 1.0])
    assert colour_labels(image, brightness=False).tolist() == [[[0, 0, 1, 1]]]


def test_a_model_that_groups_by_colour_is_recognised() -> None:
    image, true, colours = pieces(300)
    by_colour = property_labels(true, colours)
    found = colour_grouping(by_colour, image, true=true, bootstrap=20, rng=np.random.default_rng(0))
    sees = colour_grouping(true, image, true=true)
    assert found.name == "colour_grouping"
    assert found.value == 1.0
    assert sees.value < 0.85
    assert sees.details["model"] == 1.0
    assert sees.details["oracle"] == found.details["oracle"] == found.details["model"] == pytest.approx(0.79, abs=0.05)
    assert colour_grouping(colour_labels(image), image).value == 1.0
    assert colour_grouping(true, image).value < 1.0


def test_the_background_is_not_merged_with_an_object_of_its_value() -> None:
    true = torch.tensor([[[0, 1, 2, 3, 4]]])
    values = torch.tensor([[[0.0, 0], [0, 0], [7, 1], [7, 2], [7, 1]]])
    assert property_labels(true, values).tolist() == [[[0, 1, 2, 3, 2]]]
    assert property_labels(true, values[..., 0], backgrounds=3).tolist() == [[[0, 1, 2, 3, 3]]]


def test_clusters_of_flat_colours_are_exact() -> None:
    image, true, colours = pieces(200)
    keep = torch.tensor([len(set(row[1:])) == 3 for row in colours.tolist()])
    found = colour_clusters(image[keep], 4, generator=torch.Generator().manual_seed(1))
    assert adjusted_rand_index(true[keep], found, foreground=False).details["per_image"].min() == 1.0


def test_clusters_are_as_good_as_scikit_learns() -> None:
    image = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = colour_clusters(image, 5, generator=torch.Generator().manual_seed(1), iterations=100, restarts=5)
    ours, theirs = 0.0, 0.0
    for picture, label in zip(image, found):
        pixels, label = picture.flatten(1).T.double().numpy(), label.flatten().numpy()
        centres = np.stack([pixels[label == number].mean(axis=0) for number in range(5)])
        ours += ((pixels - centres[label]) ** 2).sum()
        theirs += KMeans(5, n_init=5, random_state=0).fit(pixels).inertia_
    assert ours == pytest.approx(theirs, rel=0.02)


def test_clusters_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def clusters(seed: int) -> torch.Tensor:
        return colour_clusters(image, 4, generator=torch.Generator().manual_seed(seed), iterations=3, restarts=2)

    first = clusters(0)
    assert (first != clusters(1)).any()
    monkeypatch.setattr("percepts.metrics.segmentation_colour._CELLS", 600)
    assert torch.equal(first, clusters(0)), "images are independent of how many are held at a time"


def test_more_clusters_than_colours() -> None:
    image = torch.zeros(2, 3, 4, 4)
    image[:, 0, :, 2:] = 1.0
    found = colour_clusters(image, 5, generator=torch.Generator().manual_seed(0))
    true = (image[:, 0] > 0).long()
    assert adjusted_rand_index(true, found, foreground=False).value == 1.0


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_images() -> None:
    image, true, colours = pieces(2)
    broken = image.clone()
    broken[0, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="NaN or outside"):
        colour_labels(broken)
    with pytest.raises(DataError, match="image / 255"):
        colour_labels(255 * image)
    with pytest.raises(DataError, match="floats"):
        colour_labels(image.byte())
    with pytest.raises(PerceptsError, match="levels = 1"):
        colour_labels(image, levels=1)
    with pytest.raises(PerceptsError, match="0 clusters"):
        colour_clusters(image, 0, generator=torch.Generator())
    with pytest.raises(DataError, match="like the images"):
        colour_grouping(true, image, true=true[:1])
    with pytest.raises(DataError, match="at least 4 entities"):
        property_labels(true, colours[:, :3])
