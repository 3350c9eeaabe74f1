from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import match_slots, release_slot_probe, slot_dci, slot_probe
from percepts.metrics.arrays import split_rows
from percepts.metrics.segmentation_matching import assign


@dataclass(frozen=True)
class Kind:
    kind: str
    size: int = 1


KINDS = {"shape": Kind("categorical", 3), "place": Kind("numeric", 2), "size": Kind("numeric"), "turn": Kind("angle")}


class World:
    """Scenes of up to three objects in stripes, and five slots in random order whose codes tell the properties."""

    def __init__(self, images: int, noise: float = 0.05, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        there = np.concatenate([np.ones((images, 2), bool), rng.random((images, 2)) < 0.7], axis=1)
        stripes = np.where(there, np.arange(4), 0)
        self.true = np.repeat(stripes[:, None, :], 2, axis=1).repeat(2, axis=2)
        self.properties = {
            "shape": rng.integers(3, size=(images, 4)),
            "place": rng.normal(size=(images, 4, 2)) * (3.0, 0.01) + (100.0, 0.0),
            "size": rng.uniform(size=(images, 4)),
            "turn": rng.uniform(-np.pi, np.pi, size=(images, 4)),
        }
        for values in self.properties.values():
            values[~there] = 0
            values[:, 0] = 0
        angle = self.properties["turn"]
        told = np.concatenate(
            [
                np.eye(3)[self.properties["shape"]],
                (self.properties["place"] - (100.0, 0.0)) / (3.0, 0.01),
                self.properties["size"][..., None],
                np.stack([np.cos(angle), np.sin(angle)], axis=2),
            ],
            axis=2,
        )
        self.clean = np.concatenate([told, np.zeros((images, 1, 8))], axis=1)  # the fifth slot is empty
        self.clean[:, 0] = 0
        mixed = self.clean @ rng.normal(size=(8, 8)) + noise * rng.normal(size=(images, 5, 8))
        order = rng.permuted(np.tile(np.arange(5), (images, 1)), axis=1)  # slot of each entity
        self.slots = np.empty_like(mixed)
        np.put_along_axis(self.slots, order[..., None], mixed, axis=1)
        self.order, self.there = order, there
        self.predicted = np.take_along_axis(order, self.true.reshape(images, -1), axis=1).reshape(self.true.shape)

    def arguments(self) -> tuple:
        return self.slots, self.predicted, self.true, self.properties, KINDS


def test_matching_finds_the_slots_of_visible_objects() -> None:
    world = World(200)
    expected = np.where(world.there, world.order[:, :4], -1)
    expected[:, 0] = -1
    for measure in ("cosine", "iou"):
        np.testing.assert_array_equal(match_slots(world.predicted, world.true, 5, measure=measure), expected)
    hard = torch.nn.functional.one_hot(torch.from_numpy(world.predicted), 5).movedim(-1, 1).float()
    np.testing.assert_array_equal(match_slots(0.6 * hard + 0.08, torch.from_numpy(world.true), 5), expected)


def test_matching_leaves_out_what_is_too_small_and_lacks_slots() -> None:
    true = np.array([[[0, 1, 2, 2, 3, 3, 3]]])
    found = np.array([[[0, 1, 1, 1, 0, 0, 0]]])
    assert match_slots(found, true, 2).tolist() == [[-1, -1, 1, 0]]
    assert match_slots(found, true, 3).tolist() == [[-1, 2, 1, 0]], "an empty slot for the object without overlap"
    assert match_slots(found, true, 2, least_pixels=3).tolist() == [[-1, -1, -1, 0]]
    assert match_slots(found, true, 2, backgrounds=3).tolist() == [[-1, -1, -1, 0]]


def test_wanted_entities_come_before_others_whatever_their_values() -> None:
    value = np.array([[[-5.0, -9.0], [3.0, 4.0], [-7.0, -8.0]]])
    assert assign(value, np.array([[True, False, True]])).tolist() == [[0, -1, 1]]


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_a_probe_reads_what_is_there(probe: str) -> None:
    world = World(500)
    scores = slot_probe(*world.arguments(), rng=np.random.default_rng(0), probe=probe, steps=300, rate=0.02, hidden=64)
    assert set(scores) == {f"slot_probe.{probe}.mask.{name}" for name in KINDS}
    least = 0.97 if probe == "linear" else 0.8
    for score in scores.values():
        assert least < score.value <= 1
        assert score.details["unmatched"] == 0
    assert scores[f"slot_probe.{probe}.mask.turn"].details["mean_error"] < 0.25
    assert scores[f"slot_probe.{probe}.mask.shape"].details["chance"] == pytest.approx(1 / 3, abs=0.08)
    assert len(scores[f"slot_probe.{probe}.mask.place"].details["per_number"]) == 2


def test_codes_that_tell_nothing_score_nothing() -> None:
    world = World(900)
    world.slots = np.random.default_rng(1).normal(size=world.slots.shape)
    scores = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    assert scores["slot_probe.linear.mask.shape"].value == pytest.approx(1 / 3, abs=0.08)
    for name in ("place", "size", "turn"):
        assert scores[f"slot_probe.linear.mask.{name}"].value == pytest.approx(0.0, abs=0.05)


def test_wrong_masks_are_punished_unless_the_loss_matches() -> None:
    world = World(900)
    world.predicted = (world.predicted + 1) % 5
    by_mask = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    by_loss = slot_probe(*world.arguments(), rng=np.random.default_rng(0), matching="loss", steps=300, rate=0.1)
    for name in KINDS:
        assert by_mask[f"slot_probe.linear.mask.{name}"].value < 0.6
        assert by_loss[f"slot_probe.linear.loss.{name}"].value > 0.75


def test_the_background_and_hidden_entities_do_not_count() -> None:
    world = World(600)
    rng = np.random.default_rng(3)
    noise = {"shape": rng.integers(3, size=(600, 4)), "size": 50 * rng.normal(size=(600, 4))}
    plain = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    hidden = ~world.there
    hidden[:, 0] = True
    for name, values in noise.items():
        world.properties[name][hidden] = values[hidden]
    again = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    for name, score in plain.items():
        assert again[name].value == score.value


def test_fewer_slots_than_objects_are_counted() -> None:
    world = World(300)
    one = np.zeros_like(world.predicted)
    scores = slot_probe(world.slots[:, :1], one, world.true, world.properties, KINDS, rng=np.random.default_rng(0))
    details = scores["slot_probe.linear.mask.size"].details
    assert details["unmatched"] > 0
    assert details["objects"] == scores["slot_probe.linear.mask.size"].parameters["num_test"]


def test_intervals_are_of_images_and_seeds_decide() -> None:
    world = World(400, noise=1.0)
    first = slot_probe(*world.arguments(), rng=np.random.default_rng(0), bootstrap=50)
    second = slot_probe(*world.arguments(), rng=np.random.default_rng(0), bootstrap=50)
    for name, score in first.items():
        assert score.interval[0] < score.value < score.interval[1]
        assert (second[name].value, second[name].interval) == (score.value, score.interval)


def test_the_scores_are_those_of_scikit_learn() -> None:
    world = World(300, noise=1.0)
    world.properties["place"][..., 1] = 5.0
    scores = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    rows = []
    for images in split_rows(300, 10000, 2000, np.random.default_rng(0)):
        image, entity = np.nonzero(world.there[images][:, 1:])
        image, entity = images[image], entity + 1
        rows.append((world.slots[image, world.order[image, entity]], image, entity))
    (train, *seen), (test, *asked) = rows
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    shape, place, size = (world.properties[name] for name in ("shape", "place", "size"))
    logistic = LogisticRegression(max_iter=1000, tol=1e-6).fit(train, shape[*seen])
    accuracy = logistic.score(test, shape[*asked])
    assert scores["slot_probe.linear.mask.shape"].value == pytest.approx(accuracy, abs=2e-2)
    said = Ridge(1.0).fit(train, place[*seen]).predict(test)
    expected = r2_score(place[*asked][:, 0], said[:, 0])
    np.testing.assert_allclose(scores["slot_probe.linear.mask.place"].details["per_number"], [expected, 1.0], atol=1e-9)
    expected = r2_score(size[*asked], Ridge(1.0).fit(train, size[*seen]).predict(test))
    assert scores["slot_probe.linear.mask.size"].value == pytest.approx(expected, abs=1e-9)


def test_the_release_counts_the_background() -> None:
    world = World(600)
    world.slots = np.random.default_rng(1).normal(size=world.slots.shape)
    np.put_along_axis(world.slots[..., 0], world.order[:, :1], 9.0, axis=1)  # all that codes tell is the background
    fair = slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    release = release_slot_probe(*world.arguments(), rng=np.random.default_rng(0))
    assert set(release) == {f"slot_probe.release.{name}" for name in KINDS}
    for name in ("shape", "size", "place"):
        assert release[f"slot_probe.release.{name}"].value > fair[f"slot_probe.linear.mask.{name}"].value + 0.1


def test_the_release_takes_hidden_entities_as_predicted() -> None:
    """Codes say nothing, so that each visible entity has an error of about its variance and each hidden one none."""
    world = World(600)
    world.slots = np.random.default_rng(1).normal(size=world.slots.shape)
    score = release_slot_probe(*world.arguments(), rng=np.random.default_rng(0))["slot_probe.release.size"]
    hidden = score.details["invisible"] / (score.details["invisible"] + score.details["entities"])
    assert score.value == pytest.approx(hidden, abs=0.05)


def test_a_property_that_reads_another() -> None:
    world = World(600)
    kinds = {"shape": Kind("categorical", 3), "kind": Kind("categorical", 2)}
    world.properties["kind"] = (world.properties["shape"] == 2).astype(int)
    arguments = (world.slots, world.predicted, world.true, world.properties, kinds)
    right = release_slot_probe(*arguments, rng=np.random.default_rng(0))
    wrong = release_slot_probe(*arguments, rng=np.random.default_rng(0), reads={"kind": "shape"})
    assert right["slot_probe.release.kind"].value > 0.95
    assert wrong["slot_probe.release.kind"].value < 0.85
    assert wrong["slot_probe.release.shape"].value == right["slot_probe.release.shape"].value


def test_dci_of_slots_tells_clean_from_mixed_latents() -> None:
    world = World(300, noise=0.0)
    kinds = {"place": Kind("numeric", 2), "size": Kind("numeric"), "turn": Kind("angle")}
    mixed = slot_dci(*world.arguments()[:4], kinds, rng=np.random.default_rng(0), predictor="lasso")
    np.put_along_axis(world.slots, world.order[..., None], world.clean, axis=1)
    clean = slot_dci(*world.arguments()[:4], kinds, rng=np.random.default_rng(0), predictor="lasso")
    assert clean.name == "slot_dci.lasso"
    assert clean.details["factors"] == ["place.0", "place.1", "size", "turn.cos", "turn.sin"]
    assert clean.value > 0.95 > 0.6 > mixed.value
    trees = slot_dci(*world.arguments(), rng=np.random.default_rng(0))
    assert trees.value > 0.8
    assert trees.details["informativeness"] > 0.8


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_probe_arguments() -> None:
    world = World(40)
    slots, predicted, true, properties, kinds = world.arguments()
    rng = np.random.default_rng(0)
    broken = slots.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        slot_probe(broken, predicted, true, properties, kinds, rng=rng)
    with pytest.raises(DataError, match="images, slots, latents"):
        slot_probe(slots[0], predicted, true, properties, kinds, rng=rng)
    with pytest.raises(DataError, match="slots from 0 to 2"):
        slot_probe(slots[:, :3], predicted, true, properties, kinds, rng=rng)
    with pytest.raises(DataError, match="the same images"):
        slot_probe(slots, predicted[:20], true, properties, kinds, rng=rng)
    with pytest.raises(DataError, match="30 images and label maps of 40"):
        slot_probe(slots[:30], predicted, true, properties, kinds, rng=rng)
    with pytest.raises(DataError, match="no property"):
        slot_probe(slots, predicted, true, properties, {}, rng=rng)
    with pytest.raises(DataError, match="'colour'"):
        slot_probe(slots, predicted, true, properties, {"colour": Kind("numeric")}, rng=rng)
    with pytest.raises(DataError, match="classes from 0 to 1"):
        slot_probe(slots, predicted, true, properties, {"shape": Kind("categorical", 2)}, rng=rng)
    with pytest.raises(DataError, match="at least 4 entities"):
        slot_probe(slots, predicted, true, {"size": properties["size"][:, :3]}, {"size": Kind("numeric")}, rng=rng)
    with pytest.raises(DataError, match="0 where there is none"):
        slot_probe(slots, predicted, true, {"size": properties["size"] + np.nan}, {"size": Kind("numeric")}, rng=rng)
    with pytest.raises(DataError, match="two visible objects"):
        slot_probe(slots, predicted, true, properties, kinds, rng=rng, backgrounds=4)
    few = World(9).arguments()
    with pytest.raises(DataError, match="only 9 samples"):
        slot_probe(*few, rng=rng)
    with pytest.raises(PerceptsError, match="'mask' or 'loss'"):
        slot_probe(slots, predicted, true, properties, kinds, rng=rng, matching="greedy")
    with pytest.raises(PerceptsError, match="'cosine' or 'iou'"):
        match_slots(predicted, true, 5, measure="dice")
    with pytest.raises(PerceptsError, match="steps = 0"):
        slot_probe(slots, predicted, true, properties, kinds, rng=rng, probe="mlp", steps=0)
    with pytest.raises(DataError, match="masks of 3 slots"):
        match_slots(torch.full((40, 3, *true.shape[1:]), 1 / 3), true, 5)
    with pytest.raises(DataError, match="two of"):
        release_slot_probe(slots, predicted, true, properties, kinds, rng=rng, reads={"size": "colour"})
    with pytest.raises(DataError, match="scenes with objects"):
        slot_dci(slots, predicted, true, properties, kinds, rng=rng, backgrounds=4)
