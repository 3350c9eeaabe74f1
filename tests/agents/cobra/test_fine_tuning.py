"""Vision that is fine-tuned while the agent explores: what moves, what stays, and who sees with it later."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_pipeline import TASK, small_pipeline, small_pixels
from test_curiosity import ORACLE, assert_same, colours, loop
from test_stages import contents, same_result
from torch import Tensor, nn

from percepts.agents import stages
from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.fine_tuning import FineTuning, with_vision
from percepts.agents.cobra.interest import Interest
from percepts.agents.cobra.learner import Learner, step_together
from percepts.agents.cobra.recursive_bins import RecursiveBinPolicy
from percepts.agents.cobra.slot_models import LearnedSlots, ModelSlots, SingleSlot
from percepts.agents.cobra.slots import as_images
from percepts.agents.cobra.transition_losses import TransitionLoss, pixel_error
from percepts.agents.snapshots import read_snapshot, write_snapshot
from percepts.core.capabilities import Losses
from percepts.core.errors import CapabilityError, CheckpointError, ConfigError, NonFiniteError
from percepts.core.slots import Slots
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.factor_vae import FactorVAE
from percepts.nn.unet import UNet
from percepts.objects.monet import MONet
from percepts.objects.networks import component_decoder, component_encoder
from percepts.training.optimizers import Optimizer
from percepts.training.step import TrainingStep

PIXELS = {"loss": TransitionLoss(kind="pixel"), "batch_size": 4}
TUNED = {**PIXELS, "fine_tune": 1e-3, "transitions": 8 * 6, "log_every": 2}


def eyes(trained: int = 0) -> ModelSlots:
    """An untrained MONet for the pictures of `loop`, the same at every call."""
    torch.manual_seed(0)
    config = MONet.Config(
        image_shape=(3, 12, 12), slots=2, latent_size=3, attention=UNet.Config(channels=(2, 4)),
        encoder=component_encoder(channels=(4,), hidden=(8,)), decoder=component_decoder(channels=(4,)),
    )  # fmt: skip
    model = config.build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # So that pictures say something to it, and slots to its pictures.
    return ModelSlots(model, trained=trained)


def weights(encoder: LearnedSlots) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in encoder.model.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The networks of which something differs."""
    assert before.keys() == after.keys()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def tuned(**settings: Any) -> Curiosity:
    return loop(1, encoder=eyes(), **{**TUNED, **settings})


class TestLoop:
    def test_all_of_the_vision_learns_and_the_encoder_that_was_given_stays(self) -> None:
        given = eyes()
        before = weights(given)
        one = loop(1, encoder=given, **TUNED)
        entries: list[dict[str, float]] = []
        one.run(entries.append)
        assert moved(before, weights(given)) == set()
        assert not any(parameter.requires_grad for parameter in given.model.parameters())
        assert isinstance(one.encoder, ModelSlots)
        assert moved(before, weights(one.encoder)) == {"attention", "encoder", "decoder"}
        assert one.fine_tuned is not None
        assert moved(one.fine_tuned, weights(one.encoder)) == set()
        assert all(math.isfinite(entry["vision_loss"]) for entry in entries)
        assert all(not one.encoder.encode({"image": image}).latents.requires_grad for image in pictures(one))

    def test_a_frozen_vision_stays(self) -> None:
        given = eyes()
        one = loop(1, encoder=given, **PIXELS)
        one.run()
        assert one.encoder is given
        assert one.fine_tuned is None
        assert moved(weights(eyes()), weights(given)) == set()
        assert "seen_image" not in one.replay.rows()

    def test_the_replay_keeps_pictures_and_no_slots(self) -> None:
        for settings in ({}, {"explorer": RecursiveBinPolicy.Config(levels=2, hidden=(4,), anywhere=(4,), look=True)}):
            one = tuned(**settings)
            one.step()
            rows = one.replay.rows()
            assert rows.keys() == {"action", "behaviour", "changed", "seen_image", "next_image"}
            assert rows["seen_image"].dtype == torch.uint8

    def test_an_update_goes_down_the_sum_of_both_losses(self) -> None:
        """By hand: error of the drawn prediction, with gradients of both pictures' makers, and the model's own loss."""
        one = loop(1, encoder=eyes(trained=7), **TUNED)
        one.step()
        rows = one.replay[torch.arange(4)]
        encoder = eyes(trained=7)
        encoder.model.load_state_dict(one.fine_tuned)
        model = encoder.model.requires_grad_(True)
        transition = one.config.transition.build(latents=3, action=4)
        transition.load_state_dict(one.transition.state_dict())
        latents = model.encode(as_images(rows["seen_image"])).mean
        drawn = model.decode(transition.predict(latents, rows["action"]))
        error = pixel_error(drawn, as_images(rows["next_image"])).mean()
        # One update was made before this one.
        step = TrainingStep(8, one._tuning.seed)
        own = model.losses({"image": as_images(rows["seen_image"])}, step).minimise["model"]
        expected = torch.autograd.grad(error + own, [*model.parameters(), *transition.parameters()])
        one._learn(rows)
        parameters = [*one.encoder.model.parameters(), *one.transition.parameters()]
        limit = one.config.optimizer.clip_norm / torch.stack([g.norm() for g in expected[-4:]]).norm()
        assert len(list(transition.parameters())) == 4
        for number, (parameter, gradient) in enumerate(zip(parameters, expected)):
            wanted = gradient * limit.clamp(max=1) if number >= len(parameters) - 4 else gradient
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("subtract", [False, True])
    def test_the_explorer_hears_of_the_newest_vision(self, subtract: bool) -> None:
        one, seen = tuned(subtract_drawing=subtract, optimizer=Optimizer(lr=1e-9)), {}
        one.run(until=4 * 6)
        rows = one.replay[torch.arange(24)]
        with torch.no_grad():
            for parameter in one.transition.change.last.parameters():
                parameter.mul_(-20)  # Much worse than a drawing, where it was a little better.
        inner = one.explorer.loss

        def noted(state, action, error, behaviour, observation):
            encoder = one.encoder
            with torch.no_grad():
                now = encoder.encode({"image": rows["seen_image"]})
                drawn = encoder.decode(one.transition.predict(now.latents, action))
                best = encoder.decode(encoder.encode({"image": rows["next_image"]}).latents)
            image = as_images(rows["next_image"])
            left = pixel_error(drawn, image)
            if subtract:
                left = (left - pixel_error(best, image)).clamp(min=0)
            seen.update(error=error, state=state, now=now, left=left)
            return inner(state, action, error, behaviour, observation)

        one.explorer.loss = noted
        one._learn(rows)
        assert torch.equal(seen["state"].latents, seen["now"].latents)
        assert not seen["state"].latents.requires_grad
        scale = max(one.median, 0.1 * float(seen["left"].mean()) if subtract else 0.0)
        assert seen["left"].max() > 0
        torch.testing.assert_close(seen["error"], torch.log1p(seen["left"] / scale))

    def test_actions_are_chosen_by_the_newest_vision(self) -> None:
        one, seen = tuned(), []
        one.run(until=3 * 6)
        propose = one.explorer.propose

        def noted(state, count, generator, observation):
            seen.append((state, one.encoder.encode(observation)))
            return propose(state, count, generator, observation)

        one.explorer.propose = noted
        one.step()
        assert torch.equal(seen[0][0].latents, seen[0][1].latents)

    @pytest.mark.parametrize("settings", [{}, {"interest": "progress"}, {"capacity": 20}], ids=str)
    def test_it_resumes_to_the_same_bits(self, settings: dict, tmp_path: Path) -> None:
        whole, first, second = (tuned(**settings) for _ in range(3))
        logged: dict[str, list] = {"whole": [], "parts": []}
        whole.run(logged["whole"].append)
        first.run(logged["parts"].append, until=5 * 6)
        write_snapshot(tmp_path / "state", first.state_dict(), "exploration")
        second.load_state_dict(read_snapshot(tmp_path / "state", "exploration"))
        second.run(logged["parts"].append)
        assert_same(whole, second)
        assert logged["parts"] == logged["whole"]

    def test_probes_see_with_it(self) -> None:
        one = tuned()
        one.run(until=24)
        found = one.probes(seed=3)
        for parameter in one.encoder.model.parameters():
            parameter.data.mul_(1.5)
        assert one.probes(seed=3)["objects/error"] != found["objects/error"]

    def test_one_vector_can_be_fine_tuned_too(self) -> None:
        torch.manual_seed(0)
        encoder = SingleSlot(BetaVAE.Config(image_shape=(3, 64, 64), latent_size=2).build())
        tuning = FineTuning(encoder, 1e-3, 1, 0)
        image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        step_together(tuning.see(image).latents.square().sum() + tuning.loss(image), tuning.learner)
        assert moved(weights(encoder), tuning.weights()) == {"encoder", "decoder"}


def pictures(one: Curiosity) -> list[Tensor]:
    return [one.replay.rows()["seen_image"][:2]]


class Pulled(nn.Module):
    """Slots without gradients, as of a model that refines them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def encode(self, image: Tensor) -> Slots:
        mean = torch.zeros(len(image), 2, 3)
        return Slots(mean, mean + 1, torch.full((len(image), 2, *image.shape[2:]), 0.5))

    def losses(self, batch: dict, step: TrainingStep) -> Losses:
        return Losses({"model": self.scale * 1.0})


class TestRefusals:
    @pytest.mark.parametrize("encoder", [colours, ORACLE.build])
    def test_there_must_be_something_to_fine_tune(self, encoder: Any) -> None:
        with pytest.raises(ConfigError, match=r"in which nothing was learned.*fine_tune = 0"):
            loop(encoder=encoder(), **TUNED)

    @pytest.mark.parametrize("kind", ["aligned", "hungarian", "nearest"])
    def test_only_errors_of_pixels(self, kind: str) -> None:
        with pytest.raises(ConfigError, match=f"the loss '{kind}'.*expected the loss 'pixel'"):
            Curiosity.Config(loss=TransitionLoss(kind=kind), fine_tune=1e-4)

    @pytest.mark.parametrize("rate", [-1e-4, math.nan, math.inf])
    def test_rates(self, rate: float) -> None:
        with pytest.raises(ConfigError, match="fine_tune"):
            Curiosity.Config(loss=TransitionLoss(), fine_tune=rate)

    def test_models_with_several_optimisers(self) -> None:
        encoder = SingleSlot(FactorVAE.Config(image_shape=(3, 64, 64)).build())
        with pytest.raises(CapabilityError, match="FactorVAE has several optimisers"):
            FineTuning(encoder, 1e-3, 1, 0)

    def test_slots_without_gradients(self) -> None:
        tuning = FineTuning(ModelSlots(Pulled()), 1e-3, 1, 0)
        image = torch.zeros(2, 3, 8, 8)
        with torch.no_grad():
            tuning.see(image)
        with pytest.raises(CapabilityError, match="the slots of Pulled have no gradients"):
            tuning.see(image)

    def test_a_loss_that_is_not_finite_names_both(self) -> None:
        one = tuned()
        one.step()
        before = weights(one.encoder)
        one.encoder.model.decoder.register_forward_hook(lambda module, given, output: output * math.nan)
        with pytest.raises(NonFiniteError, match="the transition model and the vision became nan in update 1"):
            one.step()
        assert moved(before, weights(one.encoder)) == set()

    def test_weights_of_another_model(self) -> None:
        with pytest.raises(CheckpointError, match="there"):
            with_vision(eyes(), {"scale": torch.ones(())}, "there")

    def test_a_pipeline_without_a_vision(self) -> None:
        whole = small_pipeline()
        exploration = replace(whole.exploration, loss=TransitionLoss(), fine_tune=1e-4)
        with pytest.raises(ConfigError, match=r"exploration\.fine_tune = 0\.0001 with an encoder OracleFactors"):
            replace(whole, exploration=exploration)


def test_steps_together_are_steps_of_each() -> None:
    """Two networks down a sum: the same as each down its own part."""

    def learners() -> list[Learner]:
        torch.manual_seed(0)
        return [Learner(nn.Linear(2, 1), Optimizer(lr=0.1, clip_norm=0.5), 3, "test") for _ in range(2)]

    apart, together = learners(), learners()
    for _ in range(3):
        for learner in apart:
            learner.step(learner.module.weight.square().sum())
        step_together(sum(learner.module.weight.square().sum() for learner in together), *together)
    for one, other in zip(apart, together):
        assert torch.equal(one.module.weight, other.module.weight)
        assert one.done == other.done == 3


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> tuple[CobraAgent, dict[str, str]]:
    """A pipeline whose exploration fine-tuned the vision, and the files of the vision before that."""
    agent = CobraAgent.start(fine_tuned_pipeline(), tmp_path_factory.mktemp("tuned") / "pipeline")
    agent.train_vision()
    before = contents(agent.vision_path)
    assert agent.run() == "finished"
    return agent, before


def fine_tuned_pipeline() -> CobraAgent.Config:
    whole = small_pixels()
    return replace(whole, exploration=replace(whole.exploration, transitions=96, log_every=1, fine_tune=1e-3))


class TestPipeline:
    def test_the_stage_of_the_vision_is_left_alone(self, pipeline: tuple[CobraAgent, dict[str, str]]) -> None:
        agent, before = pipeline
        assert contents(agent.vision_path) == before

    def test_later_stages_see_with_it(self, pipeline: tuple[CobraAgent, dict[str, str]]) -> None:
        agent, _ = pipeline
        own, later, acting = agent.encoder(), agent.frozen()[0], agent.agent(TASK).encoder
        assert own.trained == 3
        assert moved(weights(own), weights(later)) == {"attention", "encoder", "decoder"}
        assert moved(weights(later), weights(acting)) == set()
        assert not any(parameter.requires_grad for parameter in later.model.parameters())
        result = stages.read_result(agent.explore_path, "exploration", "", "")
        assert moved(result["vision"], weights(later)) == set()
        assert set(agent.scores()[TASK]) == {"train", "test"}

    def test_a_task_learns_from_its_slots(
        self, pipeline: tuple[CobraAgent, dict[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agent, _ = pipeline
        stage_of, taken = stages.carry_out, []
        monkeypatch.setattr(stages, "carry_out", lambda stage, make: taken.append(make()))
        agent.train_task(TASK)
        monkeypatch.setattr(stages, "carry_out", stage_of)
        assert moved(weights(taken[0].phase.encoder), weights(agent.frozen()[0])) == set()

    def test_another_vision_is_another_exploration(self, pipeline: tuple[CobraAgent, dict[str, str]]) -> None:
        """Tasks note what they were built on by all tensors of the result."""
        agent, _ = pipeline
        folder = agent.explore_path / stages.RESULT
        kept = stages.fingerprint(agent.explore_path, "", "")
        result = read_snapshot(folder, "COBRA exploration result")
        name = next(iter(result["vision"]))
        original = result["vision"][name].clone()
        result["vision"][name] += 1
        write_snapshot(folder, result, "COBRA exploration result")
        try:
            assert stages.fingerprint(agent.explore_path, "", "") != kept
        finally:
            result["vision"][name] = original
            write_snapshot(folder, result, "COBRA exploration result")
        assert stages.fingerprint(agent.explore_path, "", "") == kept


class TestProgress:
    """Interest in what is being learned, instead of in what is wrong."""

    def test_noise_makes_no_progress(self) -> None:
        """Of two kinds of transitions one follows a rule, the other is noise. The error of the noise stays for ever."""
        found = self.learned(updates=800)
        assert found["early"]["rule"]["progress"] > 0.1
        assert found["late"]["noise"]["error"] > 0.5
        assert found["late"]["noise"]["error"] > 20 * found["late"]["rule"]["error"]
        for kind in ("rule", "noise"):
            assert found["late"][kind]["progress"] < 0.02
        # What an explorer is told follows, and is nothing of what it would be told of the error.
        assert found["early"]["rule"]["surprise"] > 0.3
        assert found["late"]["noise"]["surprise"] < 0.1
        assert found["late"]["noise"]["of error"] > 1

    def learned(self, updates: int) -> dict[str, dict[str, dict[str, float]]]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
        interest = Interest("progress", network, follow=0.03, memory=0.9)
        plain = Interest("error", network, follow=0.03, memory=0.9)
        learner, numbers = Learner(network, Optimizer(lr=3e-3), updates, "test"), torch.Generator().manual_seed(1)

        def batch() -> tuple[Tensor, Tensor, Tensor]:
            given = torch.rand(256, 3, generator=numbers)
            noise = given[:, 2] < 0.5
            rule = 2 * given[:, 0] - given[:, 1]
            return given, torch.where(noise, torch.randn(256, generator=numbers), rule), noise

        def measured() -> dict[str, dict[str, float]]:
            given, target, noise = batch()

            def error_of(model: nn.Module) -> Tensor:
                return (model(given)[:, 0] - target).square()

            surprise = interest.of(error_of)
            error = error_of(network).detach()
            values = {"error": error, "progress": interest.progress(error_of, error), "surprise": surprise}
            values["of error"] = plain.of(error_of)
            assert (values["progress"] >= 0).all()
            return {
                kind: {name: float(value[rows].mean()) for name, value in values.items()}
                for kind, rows in (("noise", noise), ("rule", ~noise))
            }

        found = {}
        for number in range(updates):
            given, target, _ = batch()
            learner.step((network(given)[:, 0] - target).square().mean())
            interest.follow()
            if number == 40:
                found["early"] = measured()
        return {**found, "late": measured()}

    def test_the_slow_copy_is_a_moving_average(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        model.weight.data.fill_(1.0)
        interest = Interest("progress", model, follow=0.25, memory=0.5)
        model.weight.data.fill_(3.0)
        interest.follow()
        assert interest.slow.weight.item() == pytest.approx(0.75 * 1 + 0.25 * 3)
        interest.follow()
        assert interest.slow.weight.item() == pytest.approx(0.75 * 1.5 + 0.25 * 3)
        # Of the goal 2 the copy is off by 0.125, the model by 1: that is no progress. Of 1 it is 0.875 against 2.
        for goal, expected in ((3.0, 1.125**2), (1.0, 0.0)):
            error = (model.weight[0] - goal).square().detach()
            progress = interest.progress(lambda one, goal=goal: (one.weight[0] - goal).square(), error)
            assert progress.item() == pytest.approx(expected)
        assert Interest("error", model, follow=0.25, memory=0.5).slow is None

    @pytest.mark.parametrize("settings", [{}, {"encoder": "eyes", **PIXELS}], ids=["factors", "pixels"])
    def test_a_loop_seeks_it_and_resumes(self, settings: dict, tmp_path: Path) -> None:
        if "encoder" in settings:
            settings = {**settings, "encoder": eyes()}
        whole, first, second, other = (loop(1, interest=name, **settings) for name in ("progress",) * 3 + ("error",))
        for one in (whole, other):
            one.run()
        first.run(until=5 * 6)
        write_snapshot(tmp_path / "state", first.state_dict(), "exploration")
        second.load_state_dict(read_snapshot(tmp_path / "state", "exploration"))
        second.run()
        assert_same(whole, second)
        # It subtracts what drawing costs by itself.
        assert "drawing" not in whole.replay.rows()
        assert not torch.equal(whole.replay.rows()["action"], other.replay.rows()["action"])

    @pytest.mark.parametrize("follow", [0.0, 1.0, -0.5])
    def test_rates(self, follow: float) -> None:
        with pytest.raises(ConfigError, match="follow"):
            Curiosity.Config(follow=follow)
        with pytest.raises(ConfigError, match="interest"):
            Curiosity.Config(interest="progres")


def test_a_stopped_exploration_that_fine_tunes_goes_on_to_the_same_end(
    pipeline: tuple[CobraAgent, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = pipeline
    shutil.copytree(whole.path, tmp_path / "pipeline", ignore=shutil.ignore_patterns("explore", "tasks"))
    agent, step = CobraAgent.open(tmp_path / "pipeline"), Curiosity.step

    def stopping(one: Curiosity) -> Any:
        if one.step_count == 4:
            raise KeyboardInterrupt
        return step(one)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "SAVE_EVERY", 0.0)
        patch.setattr(stages, "SAVING_SHARE", 1e9)
        patch.setattr(Curiosity, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            agent.explore()
    assert [path.name for path in (agent.explore_path / "checkpoints").iterdir()]
    agent.explore()
    same_result(whole.explore_path, agent.explore_path)
