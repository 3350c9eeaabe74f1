"""The study of UDR and COBRA: agents on the runs of arms, and what is made of their curves."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.evaluate import Curve
from percepts.core.config import digest
from percepts.core.errors import PerceptsError
from percepts.core.runs import Run
from percepts.studies import cobra_udr
from percepts.studies.cobra_udr import STUDY, centred, compare, figures, gain, held_out, place_of_choice, related
from percepts.studies.cobra_udr_agents import TASK, agent, mean_curve, place, seeing, steps_to_solved
from percepts.studies.results import summarise
from percepts.studies.study import Results, carry_out


@dataclass(frozen=True)
class Done:
    """The study at "tiny"."""

    results: Results
    folder: Path

    def again(self) -> dict[str, Any]:
        """Its agents once more, without leave to train any."""
        scale = STUDY.presets["tiny"]
        assert scale.downstream is not None
        return scale.downstream(self.results, self.folder / "agents", 0)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, scale = tmp_path_factory.mktemp("cobra_udr"), STUDY.presets["tiny"]
    assert scale.downstream is not None
    with contextlib.redirect_stdout(io.StringIO()):
        results = carry_out(STUDY, scale, folder / "runs", workers=0)
        results.across = scale.downstream(results, folder / "agents", 0)
    results.across |= compare(results)
    return Done(results, folder)


def test_tiny_runs_from_end_to_end(done: Done) -> None:
    found = done.results.across
    assert found["arms"] == ["β=1", "β=1", "β=16", "β=16"]
    for name in (cobra_udr.UDR, "UDR, Spearman", "MIG", "reconstruction error", *cobra_udr.OUTCOMES):
        assert len(found["numbers"][name]) == 4
        assert np.isfinite(found["numbers"][name]).all()
    assert all(len(curve) == 1 for one in found["encoders"] for curve in one["curves"]["train"])
    plates = figures(done.results)
    assert set(plates) == {"efficiency", "controls", "curves"}
    assert all(len(plate.png) > 5000 for plate in plates.values())
    told = json.loads(json.dumps(summarise(STUDY, "tiny", done.results), allow_nan=False))
    assert told["minutes"] == pytest.approx(found["minutes"] + sum(run["minutes"] for run in told["runs"]), abs=0.06)


def test_every_claim_can_be_measured(done: Done) -> None:
    values = [claim.measure(done.results) for claim in STUDY.presets["cpu"].claims]
    assert all(isinstance(float(value), float) for value in values)
    assert len({claim.statement for claim in STUDY.presets["cpu"].claims}) == len(values)


def test_agents_see_through_the_runs_and_train_no_vision(done: Done) -> None:
    pipelines = [path for path in (done.folder / "agents").iterdir() if (path / "vision").exists()]
    assert len(pipelines) == 4
    for _, run in done.results:
        own = [path for path in pipelines if Run(path / "vision").settings() == run.run.settings()]
        assert len(own) == 1
        weights = "checkpoints/step-00000030/model.safetensors"
        assert (own[0] / "vision" / weights).read_bytes() == (run.run.path / weights).read_bytes()
        assert len((own[0] / "vision" / "attempts.jsonl").read_text().splitlines()) == 2  # begun and ended once


def test_a_second_call_trains_nothing(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.agents.stages._carry_out", None)
    again = done.again()
    assert again["encoders"] == done.results.across["encoders"]


def test_a_pipeline_keeps_its_vision_when_the_run_is_gone(done: Done, tmp_path: Path) -> None:
    run = next(iter(done.results))[1].run
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    config = seeing(agent(transitions=64, curve=(5,)), copy)
    place(config, tmp_path / "agents", copy)
    shutil.rmtree(copy.path)
    pipeline = CobraAgent.open(tmp_path / "agents" / digest(config))
    assert pipeline.status()["vision"] == "finished"
    image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    assert pipeline.encoder().encode({"image": image}).latents.shape == (1, 1, 8)


def test_a_run_that_is_gone_before_leaves_no_half_vision(done: Done, tmp_path: Path) -> None:
    run = next(iter(done.results))[1].run
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    config = seeing(agent(transitions=64, curve=(5,)), copy)
    shutil.rmtree(copy.path)
    with pytest.raises(PerceptsError):
        place(config, tmp_path / "agents", copy)
    assert not (tmp_path / "agents" / digest(config) / "vision").exists()


def test_held_out_pictures_show_what_their_labels_say(done: Done) -> None:
    images, truth = held_out(next(iter(done.results))[1])
    weight = images.sum(1)
    weight = weight / weight.sum((1, 2), keepdim=True)
    place_of = (torch.arange(32) + 0.5) / 32
    inside = ((truth[:, :2] > 0.15) & (truth[:, :2] < 0.85)).all(1)
    x, y = (weight.sum(1) @ place_of).numpy(), 1 - (weight.sum(2) @ place_of).numpy()
    assert np.abs(x - truth[:, 0])[inside].max() < 0.03
    assert np.abs(y - truth[:, 1])[inside].max() < 0.03
    strongest = images.amax((2, 3)).argmax(1).numpy()  # red, green or blue
    assert set(strongest[(truth[:, 2] > 0.25) & (truth[:, 2] < 0.4)]) == {1}
    seen = next(iter(done.results))[1].loaded[1].gather(torch.arange(50))["image"]
    assert not (images.flatten(1)[:50, None] == seen.flatten(1)[None]).all(2).any()


def test_a_perfect_order_correlates_and_a_reversed_one_does_against() -> None:
    values = list(range(12))
    rising, falling = related(values, [v**3 for v in values]), related(values, values[::-1])
    assert (rising["value"], rising["low"], rising["high"]) == pytest.approx((1, 1, 1))
    assert falling["value"] == pytest.approx(-1)
    assert max(rising["p"], falling["p"]) < 0.001
    assert set(related([1.0] * 5, values[:5])) == {"value", "low", "high", "p"}


def test_what_beta_does_is_taken_out() -> None:
    arms = ["a", "a", "a", "b", "b", "b"]
    assert centred([1, 2, 3, 11, 12, 13], arms) == [-1, 0, 1, -1, 0, 1]
    # Between the arms the numbers rise together, within them one falls: only the second is left.
    one, other = [1, 2, 3, 11, 12, 13], [3, 2, 1, 13, 12, 11]
    assert related(one, other)["value"] > 0
    assert related(centred(one, arms), centred(other, arms))["value"] == pytest.approx(-1)


def test_the_choice_is_compared_with_all() -> None:
    found = SimpleNamespace(across={"numbers": {cobra_udr.EFFICIENCY: [0.5, 0.9, 0.7, 0.3]}, "chosen": 2})
    assert gain(found) == pytest.approx(0.1)  # type: ignore[arg-type]
    assert place_of_choice(found) == 2  # type: ignore[arg-type]


def test_steps_until_the_mean_of_the_agents_solves_the_task() -> None:
    quick, slow = Curve(((10, 0.9), (20, 1.0), (40, 1.0))), Curve(((10, 0.1), (20, 0.8), (40, 0.8)))
    assert mean_curve([quick, slow]).points == ((10, 0.5), (20, 0.9), (40, 0.9))
    assert steps_to_solved([quick, slow]) == 20
    assert steps_to_solved([quick]) == 10
    assert steps_to_solved([slow]) == 80  # Never, within 40 steps.


def test_agents_differ_in_nothing_but_what_they_see(done: Done) -> None:
    run = next(iter(done.results))[1].run
    whole = agent()
    config = seeing(whole, run)
    assert config.tasks == whole.tasks
    assert config.exploration == whole.exploration
    assert config.observer == whole.observer
    assert whole.tasks[TASK].steps == whole.curve[-1]
    seen = run.config().data.dataset
    assert (seen.size, seen.renderer) == (whole.observer.height, whole.observer.renderer)
