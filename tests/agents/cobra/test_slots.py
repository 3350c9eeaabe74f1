"""Observations as slots: true factors, trained models, one vector, colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from percepts.agents.cobra.slot_models import ColourSegments, ModelSlots, SingleSlot, occupancy_weight
from percepts.agents.cobra.slots import JoinedFactors, OracleFactors, SlotEncoder, SlotState, as_images
from percepts.core.config import from_json, to_json
from percepts.core.errors import CapabilityError, ConfigError, DataError
from percepts.core.random import torch_generator
from percepts.core.slots import Slots
from percepts.envs.spriteworld.configs import cobra_task
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import FACTORS, SHAPES, Sprites
from percepts.factors.beta_vae import BetaVAE
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.nn.unet import UNet
from percepts.objects.monet import MONet
from percepts.objects.networks import component_decoder, component_encoder


def sprites(*rows: dict[str, float], present: list[bool] | None = None) -> Sprites:
    """One arena of these sprites."""
    base = {"x": 0.5, "y": 0.5, "shape": 2.0, "scale": 0.2, "c0": 0.0, "c1": 1.0, "c2": 1.0}
    factors = torch.tensor([[{**base, **row}.get(name, 0.0) for name in FACTORS] for row in rows], dtype=torch.float64)
    there = torch.tensor(present or [True] * len(rows))
    return Sprites.of(factors[None], there[None])


def truth(of: Sprites) -> dict[str, Tensor]:
    return Observer(keys=("factors", "present")).observe(of)


def scenes(count: int = 12, keys: tuple = ("factors", "present")) -> dict[str, Tensor]:
    arena = cobra_task("exploration").arena.build()
    return Observer(keys=keys, height=32, width=32).observe(arena.reset(range(count)).sprites)


def built_monet(slots: int = 3) -> MONet:
    torch.manual_seed(0)
    return MONet.Config(
        image_shape=(3, 16, 16),
        slots=slots,
        latent_size=4,
        attention=UNet.Config(channels=(4, 6), hidden=(8,)),
        encoder=component_encoder(channels=(4, 6), hidden=(12,), activation="elu"),
        decoder=component_decoder((6, 6, 6, 6)),
    ).build()


def images(count: int = 5, size: int = 16) -> Tensor:
    return torch.randint(256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class TestOracleFactors:
    def test_latents_are_the_true_factors(self) -> None:
        seen = truth(sprites({"x": 0.2, "y": 0.7, "shape": 1.0, "c0": 0.25, "c1": 0.4, "c2": 0.9}))
        state = OracleFactors.Config().build().encode(seen)
        # x, y, cosine and sine of a quarter of the hue circle, saturation, value, triangle.
        expected = torch.tensor([0.2, 0.7, 0.0, 1.0, 0.4, 0.9, 1.0, 0.0, 0.0])
        torch.testing.assert_close(state.latents[0, 0], expected, atol=1e-6, rtol=0)
        assert state.weight.tolist() == [[1.0]]

    def test_the_hue_is_a_circle(self) -> None:
        encoder = OracleFactors.Config(shape="hidden").build()
        near, far = (encoder.encode(truth(sprites({"c0": 0.01}, {"c0": c}))).latents[0] for c in (0.99, 0.5))
        assert (near[0] - near[1]).norm() < 0.2
        assert (far[0] - far[1]).norm() > 1.9

    @pytest.mark.parametrize(("shape", "latents"), [("one_hot", 9), ("hidden", 6), ("embedding", 14)])
    def test_the_size_is_as_announced(self, shape: str, latents: int) -> None:
        encoder = OracleFactors.Config(shape=shape).build()
        state = encoder.encode(scenes())
        assert encoder.latents == latents
        assert state.latents.shape == (12, 6, latents)
        assert state.latents.dtype == torch.float32

    def test_hidden_shapes_are_hidden(self) -> None:
        encoder = OracleFactors.Config(shape="hidden").build()
        one, two = (encoder.encode(truth(sprites({"shape": shape}))).latents for shape in (1.0, 6.0))
        assert torch.equal(one, two)

    def test_embedded_shapes_are_orthonormal_and_fixed(self) -> None:
        config = OracleFactors.Config(shape="embedding", embedding_size=5)
        state = config.build().encode(truth(sprites({"shape": 1.0}, {"shape": 2.0}, {"shape": 6.0})))
        codes = state.latents[0, :, 6:]
        torch.testing.assert_close(codes @ codes.T, torch.eye(3), atol=1e-5, rtol=0)
        again = from_json(to_json(config)).build().encode(truth(sprites({"shape": 1.0})))
        assert torch.equal(again.latents[0, 0, 6:], codes[0])

    def test_shapes_that_are_not_told_apart_are_zeros(self) -> None:
        other = 1.0 + list(SHAPES).index("star_5")
        state = OracleFactors.Config().build().encode(truth(sprites({"shape": other})))
        assert state.latents[0, 0, 6:].tolist() == [0.0, 0.0, 0.0]

    def test_absent_sprites_are_empty_slots_wherever_they_are(self) -> None:
        seen = truth(sprites({"x": 0.1}, {"x": 0.2}, {"x": 0.3}, present=[True, False, True]))
        state = OracleFactors.Config().build().encode(seen)
        assert state.weight.tolist() == [[1.0, 0.0, 1.0]]
        assert state.latents[0, 1].abs().sum() == 0

    def test_empty_slots_fill_up(self) -> None:
        seen = scenes()
        few, many = OracleFactors.Config().build().encode(seen), OracleFactors.Config(slots=9).build().encode(seen)
        assert many.latents.shape[1] == 9
        assert torch.equal(many.latents[:, :6], few.latents)
        assert many.weight[:, 6:].sum() == 0
        with pytest.raises(DataError, match="slots = 6"):
            OracleFactors.Config(slots=2).build().encode(seen)

    def test_extra_factors_and_depth(self) -> None:
        encoder = OracleFactors.Config(shape="hidden", extra=("scale", "x_vel", "depth")).build()
        state = encoder.encode(truth(sprites({"x_vel": 0.5}, {"scale": 0.3}, {})))
        assert encoder.latents == 9
        torch.testing.assert_close(state.latents[0, :, 6], torch.tensor([0.2, 0.3, 0.2]))
        torch.testing.assert_close(state.latents[0, :, 7], torch.tensor([0.5, 0.0, 0.0]))
        assert state.latents[0, :, 8].tolist() == [0.0, 0.5, 1.0]

    def test_it_cannot_draw(self) -> None:
        with pytest.raises(CapabilityError, match="aligned"):
            OracleFactors.Config().build().decode(torch.zeros(1, 2, 9))

    def test_bad_settings(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'square'"):
            OracleFactors.Config(shapes=("sqare",))
        with pytest.raises(ConfigError, match="did you mean 'scale'"):
            OracleFactors.Config(extra=("scal",))
        with pytest.raises(ConfigError, match="3 or more"):
            OracleFactors.Config(shape="embedding", embedding_size=2)


def encoders() -> list:
    return [
        (OracleFactors.Config(slots=7).build(), scenes()),
        (ColourSegments.Config().build(), scenes(keys=("image",))),
        (ModelSlots(built_monet(), chunk=2), {"image": images()}),
        (SingleSlot(built_vae(), chunk=2), {"image": images()}),
    ]


def built_vae() -> BetaVAE:
    torch.manual_seed(0)
    return BetaVAE.Config(
        image_shape=(3, 16, 16),
        latent_size=5,
        encoder=MLPEncoder.Config(hidden=(8,)),
        decoder=MLPDecoder.Config(hidden=(8,)),
    ).build()


@pytest.mark.parametrize("number", range(4))
class TestEncoders:
    def test_they_keep_the_protocol(self, number: int) -> None:
        encoder, seen = encoders()[number]
        assert isinstance(encoder, SlotEncoder)
        assert set(encoder.observes) <= set(seen)
        state = encoder.encode(seen)
        assert isinstance(state, SlotState)
        assert state.latents.shape == (len(state), encoder.slots, encoder.latents)
        assert state.weight.shape == state.latents.shape[:2]
        assert not state.latents.requires_grad
        assert state.weight.min() >= 0
        assert state.weight.max() <= 1

    def test_an_observation_does_not_depend_on_the_others(self, number: int) -> None:
        encoder, seen = encoders()[number]
        whole = encoder.encode(seen)
        parts = [encoder.encode({name: value[row : row + 1] for name, value in seen.items()}) for row in range(5)]
        for row, part in enumerate(parts):
            torch.testing.assert_close(part.latents[0], whole.latents[row], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(part.weight[0], whole.weight[row], rtol=1e-4, atol=1e-5)


class TestJoinedFactors:
    def test_one_vector_has_all_sprites_in_their_order(self) -> None:
        seen = scenes()
        apart, joined = OracleFactors.Config(slots=6).build(), JoinedFactors.Config().build()
        state, whole = apart.encode(seen), joined.encode(seen)
        assert isinstance(joined, SlotEncoder)
        assert (joined.slots, joined.latents) == (1, 6 * apart.latents)
        assert whole.latents.shape == (12, 1, joined.latents)
        assert torch.equal(whole.latents.view(12, 6, -1), state.latents)
        assert torch.equal(whole.weight, torch.ones(12, 1))

    def test_places_of_absent_sprites_are_zero(self) -> None:
        seen = truth(sprites({"x": 0.3}, {"x": 0.9}, present=[True, False]))
        latents = JoinedFactors.Config(slots=4).build().encode(seen).latents[0, 0].view(4, -1)
        assert latents[0].abs().sum() > 0
        assert latents[1:].abs().sum() == 0

    @pytest.mark.parametrize("shape", ["one_hot", "hidden"])
    def test_columns_are_those_of_every_sprite(self, shape: str) -> None:
        config = JoinedFactors.Config(slots=3, shape=shape)
        latents = config.build().encode(truth(sprites({"x": 0.1, "y": 0.2}, {"x": 0.3, "y": 0.4}))).latents[0, 0]
        expected = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0, 0.0])
        torch.testing.assert_close(latents[list(config.columns((0, 1)))], expected)

    def test_its_configuration_goes_where_that_of_factors_goes(self) -> None:
        config = JoinedFactors.Config(slots=5)
        again = from_json(to_json(config), OracleFactors.Config)
        assert again == config
        assert isinstance(again.build(), JoinedFactors)

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="in one vector"):
            JoinedFactors.Config(slots=None)
        with pytest.raises(ConfigError, match="in one vector"):
            JoinedFactors.Config(slots=0)
        with pytest.raises(DataError, match="up to 6 sprites"):
            JoinedFactors.Config(slots=2).build().encode(scenes())
        with pytest.raises(CapabilityError, match="cannot draw"):
            JoinedFactors.Config().build().decode(torch.zeros(1, 1, 54))


class TestModelSlots:
    def test_latents_are_means_and_the_largest_slot_is_background(self) -> None:
        model = built_monet()
        state = ModelSlots(model).encode({"image": images()})
        with torch.no_grad():
            slots = model.encode(as_images(images()))
        torch.testing.assert_close(state.latents, slots.mean)
        share = slots.mask.mean((2, 3))
        for row in range(5):
            largest = int(share[row].argmax())
            for slot in range(3):
                expected = 0.0 if slot == largest else min(1.0, float(share[row, slot]) / 0.005)
                assert float(state.weight[row, slot]) == pytest.approx(expected, abs=1e-5)

    def test_occupancies_become_weights(self) -> None:
        weight = occupancy_weight(torch.tensor([[0.9, 0.05, 0.0025, 0.0], [0.001, 0.002, 0.003, 0.994]]))
        torch.testing.assert_close(weight, torch.tensor([[0.0, 1.0, 0.5, 0.0], [0.2, 0.4, 0.6, 0.0]]))

    def test_the_model_is_frozen_but_lets_gradients_through(self) -> None:
        model = built_monet().train()
        encoder = ModelSlots(model)
        assert not model.training
        latents = encoder.encode({"image": images()}).latents.clone().requires_grad_()
        encoder.decode(latents).sum().backward()
        assert latents.grad is not None
        assert latents.grad.abs().sum() > 0
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_images_as_bytes_or_as_numbers(self) -> None:
        encoder, picture = ModelSlots(built_monet()), images()
        assert torch.equal(
            encoder.encode({"image": picture}).latents,
            encoder.encode({"image": picture.movedim(3, 1).float() / 255}).latents,
        )

    def test_what_gives_no_slots_is_refused(self) -> None:
        with pytest.raises(CapabilityError, match="gives no slots"):
            ModelSlots(built_vae()).encode({"image": images()})
        with pytest.raises(CapabilityError, match="lacks encode"):
            ModelSlots(nn.Linear(2, 2))
        with pytest.raises(ConfigError, match="full_share"):
            ModelSlots(built_monet(), full_share=0.0)
        with pytest.raises(DataError, match="no environment"):
            ModelSlots(built_monet()).encode({"image": images(0)})


class TestSingleSlot:
    def test_the_only_slot_is_the_posterior_mean(self) -> None:
        model = built_vae()
        encoder = SingleSlot(model)
        state = encoder.encode({"image": images()})
        torch.testing.assert_close(state.latents[:, 0], model.encode(as_images(images())).mean)
        assert state.weight.tolist() == [[1.0]] * 5
        torch.testing.assert_close(encoder.decode(state.latents), model.decode(state.latents[:, 0]))

    def test_several_vectors_are_refused(self) -> None:
        with pytest.raises(CapabilityError, match="more than one vector"):
            SingleSlot(built_monet()).encode({"image": images()})

    def test_a_model_that_cannot_draw(self) -> None:
        class Blind(nn.Linear):
            config = None

            def encode(self, image: Tensor) -> Slots: ...

        with pytest.raises(CapabilityError, match="decode"):
            SingleSlot(Blind(1, 1)).decode(torch.zeros(1, 1, 2))


class TestColourSegments:
    def test_sprites_are_found_where_they_are(self) -> None:
        scene = sprites({"x": 0.25, "y": 0.75, "c0": 0.0}, {"x": 0.7, "y": 0.3, "c0": 0.4, "c2": 0.9})
        picture = Observer(height=64, width=64).observe(scene)
        state = ColourSegments.Config(slots=3).build().encode(picture)
        green, red = state.latents[0, :2][state.latents[0, :2, 2].argsort()]
        torch.testing.assert_close(red[:2], torch.tensor([0.25, 0.75]), atol=0.01, rtol=0)
        torch.testing.assert_close(green[:2], torch.tensor([0.7, 0.3]), atol=0.01, rtol=0)
        torch.testing.assert_close(red[2:5], torch.tensor([1.0, 0.0, 0.0]), atol=0.02, rtol=0)
        # The sprites are squares of side 0.2.
        torch.testing.assert_close(state.latents[0, :2, 5], torch.tensor([0.2, 0.2]), atol=0.02, rtol=0)
        assert state.weight[0].tolist() == [1.0, 1.0, 0.0]

    def test_its_picture_is_like_what_it_saw(self) -> None:
        scene = sprites({"x": 0.25, "y": 0.75}, {"x": 0.7, "y": 0.3, "c0": 0.4})
        picture = as_images(Observer(height=32, width=32).observe(scene)["image"])
        encoder = ColourSegments.Config(slots=3).build()
        drawn = encoder.decode(encoder.encode({"image": picture}).latents)
        assert drawn.shape == picture.shape
        assert (drawn - picture).square().mean() < 0.2 * picture.square().mean()

    def test_gradients_tell_where_to_move(self) -> None:
        encoder = ColourSegments.Config(slots=1).build()
        goal = encoder.decode(torch.tensor([[[0.6, 0.5, 1.0, 0.0, 0.0, 0.2]]]))
        latents = torch.tensor([[[0.5, 0.5, 1.0, 0.0, 0.0, 0.2]]], requires_grad=True)
        (encoder.decode(latents) - goal).square().sum().backward()
        assert latents.grad is not None
        assert latents.grad[0, 0, 0] < 0
        assert abs(latents.grad[0, 0, 1]) < 1e-3 * abs(latents.grad[0, 0, 0])

    def test_nothing_in_black(self) -> None:
        encoder = ColourSegments.Config().build()
        state = encoder.encode({"image": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)})
        assert state.weight.sum() == 0
        assert state.latents.abs().sum() == 0
        assert encoder.decode(state.latents).abs().sum() == 0

    @pytest.mark.parametrize("setting", [{"slots": 0}, {"similarity": 1.5}, {"full_share": 0.0}, {"softness": 0.0}])
    def test_bad_settings(self, setting: dict) -> None:
        with pytest.raises(ConfigError):
            ColourSegments.Config(**setting)


def test_states_are_indexed_and_replaced() -> None:
    generator = torch_generator(0, "states")
    state = SlotState(torch.randn(4, 3, 2, generator=generator), torch.rand(4, 3, generator=generator))
    some = state.rows(torch.tensor([2, 0]))
    assert torch.equal(some.latents, state.latents[[2, 0]])
    changed = state.put(torch.tensor([1, 3]), some)
    assert torch.equal(changed.weight[[1, 3]], state.weight[[2, 0]])
    assert torch.equal(changed.weight[[0, 2]], state.weight[[0, 2]])
    assert len(changed) == len(state) == 4
