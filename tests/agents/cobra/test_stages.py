"""Pipelines on disk: stages in their order, resumed to the same bits, refused where they do not belong."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_pipeline import TASK, small_pipeline, small_pixels

from percepts.agents import stages
from percepts.agents.cobra.agent import CobraAgent, TrainedVision
from percepts.agents.cobra.planning import RandomShooting
from percepts.agents.cobra.presets import FEW, PIPELINES
from percepts.agents.cobra.slot_models import ModelSlots
from percepts.agents.cobra.slots import OracleFactors
from percepts.agents.snapshots import read_snapshot, write_snapshot
from percepts.core.config import from_json, to_json
from percepts.core.errors import CheckpointError, ConfigError, PerceptsError, RunError
from percepts.core.runs import Run

HERE = Path(__file__).parent
VOLATILE = ("seconds", "images_per_second")


def contents(folder: Path) -> dict[str, str]:
    """The hashes of all files, but for locks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def same_result(one: Path, other: Path) -> None:
    """Equal results and equal logs, to the bit."""
    kind = f"COBRA {Run(one).info()['stage']} result"
    first, second = read_snapshot(one / stages.RESULT, kind), read_snapshot(other / stages.RESULT, kind)
    assert first.keys() == second.keys()
    for part, values in first.items():
        if isinstance(values, dict):
            for name, value in values.items():
                assert torch.equal(value, second[part][name]), (part, name)
    assert Run(one).metrics() == Run(other).metrics()
    assert len(Run(one).metrics()) >= 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> CobraAgent:
    """A pipeline that nothing disturbed."""
    agent = CobraAgent.start(small_pipeline(), tmp_path_factory.mktemp("whole") / "pipeline")
    assert agent.run() == "finished"
    return agent


@pytest.fixture
def explored(whole: CobraAgent, tmp_path: Path) -> CobraAgent:
    """A copy of it with the exploration alone."""
    shutil.copytree(whole.path, tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "pipeline" / "tasks")
    (tmp_path / "pipeline" / "evaluation.json").unlink()
    return CobraAgent.open(tmp_path / "pipeline")


def test_a_pipeline_leaves_what_it_learned_and_how_well(whole: CobraAgent):
    assert whole.status() == {"explore": "finished", f"tasks/{TASK}": "finished"}
    assert Run(whole.path).info()["status"] == "finished"
    assert {path.name for path in whole.path.iterdir()} >= {
        "config.json",
        "run.json",
        "explore",
        "tasks",
        "evaluation.json",
    }
    assert set(whole.scores()[TASK]) == {"train", "test"}
    assert [point[0] for point in whole.curve(TASK).points] == [12, 24]
    assert whole.curve(TASK, "test").points != ()
    probes = Run(whole.explore_path).evaluation()["probes"]
    assert probes["objects/hit_fraction"] > 0.9
    assert not list((whole.explore_path / "checkpoints").glob("*"))
    agent, environment = whole.agent(TASK), whole.environment(TASK)
    sprites = environment.arena.build().reset([0, 1]).sprites
    action, _ = agent.act(replace(environment.observer, keys=agent.observes).observe(sprites))
    assert action.shape == (2, 4)


def test_what_is_finished_is_not_done_again(whole: CobraAgent):
    before = contents(whole.path)
    assert whole.explore().status == "finished"
    assert whole.train_task(TASK).status == "finished"
    assert contents(whole.path) == before


def test_an_open_pipeline_is_the_one_that_was_started(whole: CobraAgent):
    assert CobraAgent.open(whole.path).config == whole.config
    assert from_json(to_json(small_pixels()), CobraAgent.Config) == small_pixels()


def test_pipelines_are_functions_of_their_seed(whole: CobraAgent, tmp_path: Path):
    again = CobraAgent.start(whole.config, tmp_path / "same")
    again.run()
    same_result(whole.explore_path, again.explore_path)
    same_result(whole.path / "tasks" / TASK, again.path / "tasks" / TASK)
    assert again.scores() == whole.scores()
    other = CobraAgent.start(replace(whole.config, seed=1), tmp_path / "other")
    other.explore()
    assert stages.fingerprint(other.explore_path, "", "") != stages.fingerprint(whole.explore_path, "", "")


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from small_pipeline import TASK, small_pipeline
from percepts.agents import stages
from percepts.agents.cobra.agent import CobraAgent
stages.SAVE_EVERY, stages.SAVING_SHARE = 0.0, 1e9
write, count = stages.write_snapshot, 0
def slow(*arguments):
    global count
    count += 1
    write(*arguments)
    print("saved", count, flush=True)
    time.sleep(0.05)
stages.write_snapshot = slow
agent = CobraAgent.open({path!r})
print(agent.{call}.status, flush=True)
"""


def stopped(agent: CobraAgent, call: str, after: int, number: signal.Signals) -> str:
    """Run a stage in a process, send it a signal after so many checkpoints; the rest of what it says."""
    script = SCRIPT.format(here=str(HERE), path=str(agent.path), call=call)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == f"saved {after}":
                process.send_signal(number)
                break
        return process.stdout.read()


@pytest.mark.parametrize(
    ("call", "folder", "after"), [("explore()", "explore", 9), (f"train_task({TASK!r})", f"tasks/{TASK}", 7)]
)
def test_a_killed_stage_goes_on_to_the_same_end(
    whole: CobraAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, folder: str, after: int
):
    if folder == "explore":
        agent = CobraAgent.start(whole.config, tmp_path / "pipeline")
    else:
        shutil.copytree(whole.path, tmp_path / "pipeline", ignore=shutil.ignore_patterns("tasks"))
        agent = CobraAgent.open(tmp_path / "pipeline")
    stopped(agent, call, after, signal.SIGKILL)
    assert stages.status_of(agent.path / folder) == "running"
    # Between writing a checkpoint and deleting the oldest there are three of them.
    assert len(list((agent.path / folder / "checkpoints").glob("step-*"))) in (2, 3)
    explored, taken = contents(agent.explore_path), []

    def reading(place: Path, kind: str) -> dict:
        taken.append(place.name)
        return read_snapshot(place, kind)

    monkeypatch.setattr(stages, "read_snapshot", reading)
    finished = agent.explore() if folder == "explore" else agent.train_task(TASK)
    assert finished.status == "finished"
    # It went on from a checkpoint, and did not begin anew.
    assert any(name.startswith("step-") for name in taken)
    same_result(whole.path / folder, agent.path / folder)
    if folder != "explore":
        assert contents(agent.explore_path) == explored


def test_a_polite_signal_saves_and_the_stage_goes_on(explored: CobraAgent, whole: CobraAgent):
    said = stopped(explored, f"train_task({TASK!r})", 4, signal.SIGTERM)
    assert said.split()[-1] == "interrupted"
    assert explored.status()[f"tasks/{TASK}"] == "interrupted"
    explored.train_task(TASK)
    same_result(whole.path / "tasks" / TASK, explored.path / "tasks" / TASK)


def test_a_damaged_checkpoint_is_passed_over(explored: CobraAgent, whole: CobraAgent, capsys):
    stopped(explored, f"train_task({TASK!r})", 6, signal.SIGKILL)
    folder = explored.path / "tasks" / TASK / "checkpoints"
    newest = sorted(folder.glob("step-*"))[-1]
    tensors = newest / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-5])
    explored.train_task(TASK)
    assert "an older one is taken" in capsys.readouterr().out
    same_result(whole.path / "tasks" / TASK, explored.path / "tasks" / TASK)


def test_stages_need_their_predecessors(tmp_path: Path):
    agent = CobraAgent.start(small_pipeline(), tmp_path / "pipeline")
    before = contents(agent.path)
    with pytest.raises(RunError, match=r"'explore' was not begun, and the task .* needs it.* agent\.explore\(\)"):
        agent.train_task(TASK)
    with pytest.raises(RunError, match=f"'{TASK}' was not begun, and acting in it needs it"):
        agent.evaluate(TASK)
    assert contents(agent.path) == before
    pixels = CobraAgent.start(small_pixels(), tmp_path / "pixels")
    with pytest.raises(
        RunError, match=r"'vision' was not begun, and the exploration needs it.* agent\.train_vision\(\)"
    ):
        pixels.explore()
    assert not pixels.explore_path.exists()


def test_an_unfinished_exploration_is_no_predecessor(explored: CobraAgent):
    for status in ("running", "interrupted", "failed"):
        Run(explored.explore_path).update(status=status)
        with pytest.raises(RunError, match=f"'explore' is {status}, and the task"):
            explored.train_task(TASK)
    assert not (explored.path / "tasks").exists()


def test_checkpoints_of_other_stages_are_refused(explored: CobraAgent):
    folder = explored.path / "tasks" / TASK / "checkpoints"
    stages.begun(explored.task_stage(TASK))
    write_snapshot(folder / "step-00000999", {"weights": torch.zeros(1)}, "COBRA exploration")
    kept = contents(explored.explore_path)
    with pytest.raises(CheckpointError, match="is a checkpoint of the stage COBRA exploration; expected COBRA task"):
        explored.train_task(TASK)
    assert contents(explored.explore_path) == kept
    shutil.rmtree(folder / "step-00000999")
    assert explored.train_task(TASK).status == "finished"


def test_the_result_of_another_stage_is_refused(explored: CobraAgent, whole: CobraAgent):
    shutil.rmtree(explored.explore_path / stages.RESULT)
    shutil.copytree(whole.path / "tasks" / TASK / stages.RESULT, explored.explore_path / stages.RESULT)
    with pytest.raises(CheckpointError, match="is the state of 'COBRA task result'"):
        explored.train_task(TASK)


def test_a_task_knows_the_exploration_that_it_was_built_on(whole: CobraAgent, tmp_path: Path):
    shutil.copytree(whole.path, tmp_path / "pipeline")
    agent = CobraAgent.open(tmp_path / "pipeline")
    other = CobraAgent.start(replace(whole.config, seed=7), tmp_path / "other")
    other.explore()
    shutil.rmtree(agent.explore_path / stages.RESULT)
    shutil.copytree(other.explore_path / stages.RESULT, agent.explore_path / stages.RESULT)
    for call in (agent.train_task, agent.evaluate):
        with pytest.raises(RunError, match="was built on another exploration"):
            call(TASK)


def test_a_score_is_of_what_is_learned_now(whole: CobraAgent, tmp_path: Path):
    """A task that is learned anew on another exploration, as errors advise, is evaluated anew."""
    shutil.copytree(whole.path, tmp_path / "pipeline")
    agent = CobraAgent.open(tmp_path / "pipeline")
    before = agent.scores()[TASK]["train"]
    shutil.rmtree(agent.path / "tasks" / TASK)
    assert agent.scores() == {}
    kind = "COBRA exploration result"
    found = read_snapshot(agent.explore_path / stages.RESULT, kind)
    for weights in found["transition"].values():
        weights += 0.1
    write_snapshot(agent.explore_path / stages.RESULT, found, kind)
    assert agent.run() == "finished"
    assert set(agent.scores()[TASK]) == {"train", "test"}
    assert {score["learned"] for score in agent.scores()[TASK].values()}.isdisjoint({before["learned"]})


def test_other_settings_and_other_stages_are_refused(explored: CobraAgent):
    longer = CobraAgent(
        replace(explored.config, exploration=replace(explored.config.exploration, updates=3)), explored.path
    )
    with pytest.raises(ConfigError, match="was begun with other settings"):
        longer.explore()
    shutil.copytree(explored.explore_path, explored.path / "tasks" / TASK)
    with pytest.raises(RunError, match="holds the stage exploration"):
        explored.train_task(TASK)


def test_a_stage_has_one_process(explored: CobraAgent):
    with Run(explored.explore_path).lock(), pytest.raises(RunError, match="is being written by process"):
        explored.explore()


def test_a_pipeline_has_one_process(explored: CobraAgent):
    before = Run(explored.path).info()
    with Run(explored.path).lock(), pytest.raises(RunError, match="is being written by process"):
        explored.run()
    # Whoever runs it is not told that it failed.
    assert Run(explored.path).info() == before


def test_a_failing_stage_is_marked_and_can_be_called_again(explored: CobraAgent, monkeypatch: pytest.MonkeyPatch):
    def broken(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_snapshot", broken)
        with pytest.raises(OSError, match="no space"):
            explored.train_task(TASK)
    assert explored.status()[f"tasks/{TASK}"] == "failed"
    assert "no space left" in Run(explored.path / "tasks" / TASK).info()["error"]
    assert explored.train_task(TASK).status == "finished"


@pytest.mark.parametrize("error", [ValueError("the first"), KeyboardInterrupt("the first")])
def test_the_first_error_is_told_where_its_note_fails_too(
    explored: CobraAgent, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    write = Run.update

    def full(run: Run, **info: object) -> None:
        if info["status"] in ("failed", "interrupted"):
            raise PerceptsError("could not write run.json")
        write(run, **info)

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(Run, "update", full)
    monkeypatch.setattr(stages, "_carry_out", broken)
    for call in (lambda: explored.train_task(TASK), explored.run):
        with pytest.raises(type(error), match="the first"):
            call()


def test_evaluations_are_kept_where_they_are_the_configured_ones(whole: CobraAgent, tmp_path: Path):
    shutil.copytree(whole.path, tmp_path / "pipeline")
    agent = CobraAgent.open(tmp_path / "pipeline")
    (agent.path / "evaluation.json").unlink()
    other = agent.evaluate(TASK, "test", planner=RandomShooting(candidates=4, horizon=2))
    assert agent.evaluate(TASK, "test", episodes=3).episodes == 3
    with pytest.raises(ConfigError, match="episodes = 0"):
        agent.evaluate(TASK, "test", episodes=0)
    assert agent.scores() == {}
    agent.evaluate(TASK, "test")
    assert agent.scores()[TASK] == {"test": whole.scores()[TASK]["test"]}
    assert other.episodes == 4


def test_the_pixel_pipeline_runs_from_end_to_end(tmp_path: Path):
    agent = CobraAgent.start(small_pixels(), tmp_path / "pixels")
    assert agent.run() == "finished"
    assert agent.status() == {"vision": "finished", "explore": "finished", f"tasks/{TASK}": "finished"}
    assert isinstance(agent.encoder(), ModelSlots)
    # Frozen: what the tasks see with is what the first stage left.
    assert stages.read_result(agent.explore_path, "exploration", "", "")["vision"] is None
    first, later = (encoder.model.state_dict() for encoder in (agent.encoder(), agent.frozen()[0]))
    assert all(torch.equal(value, later[name]) for name, value in first.items())
    assert Run(agent.explore_path).info()["built_on"].keys() == {"vision"}
    assert Run(agent.path / "tasks" / TASK).info()["built_on"].keys() == {"vision", "exploration"}
    before = contents(agent.vision_path)
    assert agent.train_vision().status == "finished"
    assert contents(agent.vision_path) == before
    # A time limit ends it for good, too: what was built on it fits nothing else.
    Run(agent.vision_path).update(stopped_by="out of time")
    before = contents(agent.vision_path)
    assert agent.train_vision().status == "out of time"
    assert contents(agent.vision_path) == before
    # Dynamics that were learned in the slots of another vision fit no task.
    shutil.rmtree(agent.path / "tasks")
    Run(agent.explore_path).update(built_on={"vision": "another one"})
    for call in (lambda: agent.train_task(TASK), agent.frozen, agent.explore):
        with pytest.raises(RunError, match="explore' was built on another vision"):
            call()
    assert not (agent.path / "tasks").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(small_pipeline(), encoder=TrainedVision()), "TrainedVision without a vision"),
        (lambda: replace(small_pixels(), encoder=OracleFactors.Config()), "and a vision to train"),
        (lambda: replace(small_pipeline(), episodes=0), "episodes = 0"),
        (lambda: replace(small_pipeline(), curve=(200, 100)), "rising numbers"),
        (lambda: replace(small_pipeline(), threads=0), "threads = 0"),
        (lambda: replace(small_pipeline(), seed=-1), "seed = -1; expected 0 or more"),
    ],
)
def test_wrong_settings_are_named(make, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_unknown_tasks_are_named_before_anything_is_written(tmp_path: Path, whole: CobraAgent):
    config = small_pipeline()
    wrong = replace(config, tasks={"sortin": config.tasks[TASK]})
    with pytest.raises(ConfigError, match="did you mean 'sorting'"):
        CobraAgent.start(wrong, tmp_path / "pipeline")
    assert not (tmp_path / "pipeline").exists()
    with pytest.raises(ConfigError, match="expected numbers in \\[0, 1\\]"):
        CobraAgent.start(replace(config, exploration_task="goal-finding-embodied"), tmp_path / "pipeline")
    assert not (tmp_path / "pipeline").exists()
    with pytest.raises(ConfigError, match=f"did you mean '{TASK}'"):
        whole.train_task("goal-finding-new-shapes")


def test_other_folders_are_no_pipelines(tmp_path: Path, whole: CobraAgent):
    with pytest.raises(RunError, match="is not a run folder"):
        CobraAgent.open(tmp_path)
    with pytest.raises(RunError, match="is no pipeline of COBRA"):
        CobraAgent.open(whole.explore_path)
    with pytest.raises(PerceptsError, match="already holds a run"):
        CobraAgent.start(whole.config, whole.path)


@pytest.mark.parametrize("name", PIPELINES)
def test_presets_fit_together_and_survive_json(name: str):
    config = PIPELINES[name]()
    assert from_json(to_json(config), CobraAgent.Config) == config
    agent = CobraAgent(config, Path("unused"))
    assert config.tasks
    for task in config.tasks:
        assert agent.environment(task, "train").arena != agent.environment(task, "test").arena
    if config.vision is not None:
        shape = config.vision.data.dataset.build().image_shape
        assert shape == (3, config.observer.height, config.observer.width)
        assert config.vision.data.dataset.renderer == config.observer.renderer
        assert config.vision.model.slots > config.vision.data.dataset.build().entities - 2


def test_fewer_sprites_to_explore():
    two = CobraAgent(PIPELINES["cpu-pixels"](), Path("unused")).environment(FEW)
    counts = two.arena.build().reset(range(100)).sprites.present.sum(1)
    assert set(counts.tolist()) == {1, 2}
