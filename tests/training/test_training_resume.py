"""Checkpoints and resume: to the same bits, whatever happens in between."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import Bars, Critic, beta_vae, cci_vae, conv_vae, tiny_experiment

from percepts.core.errors import CheckpointError, ConfigError, PerceptsError, RunError
from percepts.core.runs import Run
from percepts.data.stream import StreamConfig
from percepts.training import experiment as experiments
from percepts.training.checkpoint import (
    checkpoints,
    latest_intact,
    load_weights,
    prune,
    read_weights,
    save_checkpoint,
)
from percepts.training.optimizers import Optimizer, Schedule

HERE = Path(__file__).parent
VOLATILE = {"seconds", "images_per_second"}


def numbers(run: Run) -> list[dict]:
    return [{key: value for key, value in entry.items() if key not in VOLATILE} for entry in run.metrics()]


def same_end(a: Run, b: Run) -> None:
    """The same weights, averages, optimiser states and log, to the bit."""
    ours, theirs = latest_intact(a.checkpoints)[0], latest_intact(b.checkpoints)[0]
    assert ours.step == theirs.step
    for ema in (False, True) if (ours.path / "ema.safetensors").exists() else (False,):
        for name, tensor in ours.weights(ema).items():
            assert torch.equal(tensor, theirs.weights(ema)[name]), name
    first, second = ours.resume_state(), theirs.resume_state()
    assert (first["averaged"], first["best"]) == (second["averaged"], second["best"])
    assert first["optimizers"].keys() == second["optimizers"].keys()
    for group, optimizer in first["optimizers"].items():
        assert optimizer["state"]
        for index, state in optimizer["state"].items():
            assert all(torch.equal(state[key], second["optimizers"][group]["state"][index][key]) for key in state)
    assert numbers(a) == numbers(b)


def whole_run(folder: Path, **settings) -> Run:
    run, experiment = experiments.start(tiny_experiment(cci_vae(), **settings), folder)
    experiments.train(run, experiment)
    return run


COSINE = Optimizer(lr=1e-2, schedule=Schedule(shape="cosine", warm_up=5), clip_norm=1.0)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (cci_vae, {}),
        (cci_vae, {"ema_decay": 0.9}),
        (cci_vae, {"accumulate": 2}),
        (conv_vae, {"optimizer": COSINE}),
        (Critic.Config, {"group_optimizers": {"critic": Optimizer(name="sgd", lr=0.1, momentum=0.9)}}),
        (cci_vae, {"evaluate_every": 5, "keep_best": "evaluation/score", "keep_last": 1}),
    ],
)
def test_a_run_in_two_parts_equals_an_unbroken_one(tmp_path: Path, model, settings):
    def score(model, step):
        return {"score": abs(step - 12)}

    def cut(model, step):
        if step == 20:
            raise OSError("power cut")
        return {"score": abs(step - 12)}

    runs = [experiments.start(tiny_experiment(model(), **settings), tmp_path / name) for name in "ab"]
    experiments.train(*runs[0], score)
    broken, experiment = runs[1]
    often = dataclasses.replace(experiment.training, evaluate_every=settings.get("evaluate_every", 20))
    with pytest.raises(OSError, match="power cut"):
        experiments.train(broken, dataclasses.replace(experiment, training=often), cut)
    assert checkpoints(broken.checkpoints)[-1].step < 20
    assert broken.metrics()[-1]["step"] == 20
    assert broken.info()["status"] == "failed"
    experiments.train(broken, experiment, score)
    assert broken.info()["status"] == "finished"
    assert broken.info()["error"] is None
    same_end(runs[0][0], broken)


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
from tiny import cci_vae, tiny_experiment
from percepts.core.runs import Run
from percepts.training import experiment as experiments
from percepts.training import checkpoint
import torch
torch.set_num_threads(1)
save = torch.save
def slow(*a, **k):
    save(*a, **k)
    print("writing", flush=True)
    time.sleep(0.5)
if {slow}:
    torch.save = slow
run, experiment = experiments.start(tiny_experiment(cci_vae()), {out!r})
experiments.train(run, experiment)
"""


@pytest.mark.parametrize("writes", [1, 2])
def test_kill_9_in_the_middle_of_a_checkpoint_write(tmp_path: Path, writes: int):
    unbroken = whole_run(tmp_path / "a")
    script = SCRIPT.format(here=str(HERE), out=str(tmp_path / "b"), slow=True)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(writes):
        assert child.stdout.readline() == "writing\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    run = Run.open(tmp_path / "b")
    assert len(checkpoints(run.checkpoints)) == writes - 1
    assert list(run.checkpoints.glob(".step-*.tmp"))
    experiments.train(run, run.config())
    same_end(unbroken, run)
    assert not list(run.checkpoints.glob(".step-*"))


def test_a_full_disk_stops_the_run_and_keeps_what_was_there(tmp_path: Path):
    # A file-size limit makes the system refuse the write in its middle, as a full disk does.
    code = SCRIPT.format(here=str(HERE), out=str(tmp_path / "run"), slow=False)
    code = code.replace("experiments.train(run", "LIMIT\nexperiments.train(run")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    done = subprocess.run([sys.executable, "-c", code.replace("LIMIT", limit)], capture_output=True, text=True)
    assert "could not write" in done.stderr.splitlines()[-1]
    assert "untouched" in done.stderr.splitlines()[-1]
    run = Run.open(tmp_path / "run")
    assert run.info()["status"] == "failed"
    assert not list(run.checkpoints.glob("*")) + list(run.checkpoints.glob(".*"))
    experiments.train(run, run.config())
    assert run.info()["status"] == "finished"


@pytest.mark.parametrize("name", ["model.safetensors", "resume.pt", "manifest.json"])
def test_flipped_bytes_are_found_and_the_checkpoint_before_is_used(tmp_path: Path, name: str, capsys):
    run = whole_run(tmp_path / "a")
    newest = checkpoints(run.checkpoints)[-1]
    data = bytearray((newest.path / name).read_bytes())
    data[len(data) // 2] ^= 0x55
    (newest.path / name).write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"damaged|manifest"):
        experiments.load(run, newest.step)
    assert latest_intact(run.checkpoints)[0].step == 20
    experiments.train(run, run.config())
    assert "continuing from step 20" in capsys.readouterr().out
    assert run.info()["step"] == 30


def test_no_intact_checkpoint_is_one_clear_line(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    for checkpoint in checkpoints(run.checkpoints):
        (checkpoint.path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no intact checkpoint.*model\.safetensors is missing"):
        experiments.train(run, run.config())


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    weights = checkpoints(run.checkpoints)[-1].weights()
    other = beta_vae().build()
    del weights[next(iter(weights))]
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"weights of another model: it has no decoder"):
        load_weights(other, weights, "x")
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_a_checkpoint_holds_no_pickled_objects(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    checkpoint = checkpoints(run.checkpoints)[-1]
    torch.load(checkpoint.path / "resume.pt", weights_only=True)
    with pytest.raises(CheckpointError, match="never read"):
        read_weights(checkpoint.path / "resume.pt")


def test_two_runs_into_one_folder(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    before = numbers(run)
    with pytest.raises(RunError, match="already holds a run"):
        experiments.start(tiny_experiment(), run.path)
    with run.lock(), pytest.raises(RunError, match="is being written by process"):
        experiments.train(run, run.config())
    assert numbers(run) == before


def test_resuming_may_prolong_but_not_change_the_experiment(tmp_path: Path):
    run = whole_run(tmp_path / "a", steps=20)
    before = run.config_file.read_text()
    others = [
        (tiny_experiment(cci_vae(), steps=30, ema_decay=0.9), r"training\.ema_decay = 0\.9"),
        (dataclasses.replace(tiny_experiment(cci_vae()), sampling=StreamConfig(batch_size=8)), r"batch_size = 8"),
        (tiny_experiment(beta_vae()), r"model\."),
    ]
    for other, message in others:
        with pytest.raises(ConfigError, match=message):
            experiments.train(run, other)
    assert run.config_file.read_text() == before
    experiments.train(run, tiny_experiment(cci_vae(), steps=30))
    assert run.info()["step"] == 30
    assert run.config().training.steps == 30


def test_a_longer_cosine_is_warned_of(tmp_path: Path, capsys):
    run, experiment = experiments.start(tiny_experiment(optimizer=COSINE, steps=10), tmp_path / "a")
    experiments.train(run, experiment)
    experiments.train(run, tiny_experiment(optimizer=COSINE, steps=12))
    assert "warning: the cosine learning-rate schedule now ends at step 12" in capsys.readouterr().out


def test_a_refused_second_process_changes_nothing(tmp_path: Path):
    run = whole_run(tmp_path / "a", steps=20)
    before = run.config_file.read_text()
    with run.lock(), pytest.raises(RunError, match="is being written"):
        experiments.train(run, tiny_experiment(cci_vae(), steps=77))
    assert run.config_file.read_text() == before


def test_a_damaged_newer_checkpoint_is_set_aside(tmp_path: Path):
    run = whole_run(tmp_path / "a", keep_last=1, checkpoint_every=5)
    save_checkpoint(run.checkpoints, 40, "x", {"w": torch.ones(1)}, {})
    (run.checkpoints / "step-00000040" / "model.safetensors").write_bytes(b"")
    experiments.train(run, tiny_experiment(cci_vae(), steps=35, keep_last=1, checkpoint_every=5))
    assert latest_intact(run.checkpoints)[0].step == 35
    assert (run.checkpoints / "damaged-step-00000040").is_dir()


def test_an_optimiser_state_of_another_run_is_refused(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    other, experiment = experiments.start(
        tiny_experiment(cci_vae(), optimizer=Optimizer(name="adagrad", lr=1e-2)), tmp_path / "b"
    )
    shutil.copytree(run.checkpoints, other.checkpoints)
    with pytest.raises(
        CheckpointError, match=r"holds the optimisers \{'model': 'adam'\}; expected \{'model': 'adagrad'\}"
    ):
        experiments.train(other, experiment)


@pytest.mark.parametrize("manifest", ["null", "{}", '{"step": 30, "files": 3}', '{"step": 7, "files": {}}'])
def test_a_damaged_manifest_is_a_damaged_checkpoint(tmp_path: Path, manifest: str):
    run = whole_run(tmp_path / "a")
    (checkpoints(run.checkpoints)[-1].path / "manifest.json").write_text(manifest)
    assert latest_intact(run.checkpoints)[0].step == 20


def test_a_time_limit_that_is_used_up_adds_no_step(tmp_path: Path):
    run, experiment = experiments.start(tiny_experiment(steps=10**6, max_minutes=0.002), tmp_path / "run")
    step = experiments.train(run, experiment).step
    again = experiments.train(run, experiment)
    assert (again.status, again.step) == ("out of time", step)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    before = numbers(run)
    assert experiments.train(run, run.config()).status == "finished"
    assert numbers(run) == before


def test_prune_keeps_the_newest_the_wanted_and_no_leftovers(tmp_path: Path):
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, step, "x", {"w": torch.ones(1)}, {"step": step})
    (tmp_path / ".step-00000005.abc.tmp").mkdir()
    prune(tmp_path, 1, {2})
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [2, 4]
    assert len(list(tmp_path.iterdir())) == 2


def test_unwritable_is_an_error_of_ours(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PerceptsError, match="could not write"):
        save_checkpoint(tmp_path / "file", 1, "x", {"w": torch.ones(1)}, {})


TWO = ("--multi_gpu", "--num_processes=2", "--main_process_port=0")
"""Two processes, at a port that is free: another test may launch some at the same time."""


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param("cci_vae()", marks=pytest.mark.slow),
        "cci_vae(), accumulate=2, ema_decay=0.9",
        "conv_vae()",
        "compares(), accumulate=2",
    ],
)
def test_two_processes_train_as_one(tmp_path: Path, settings: str):
    setup = SCRIPT.format(here=str(HERE), out="OUT", slow=False)
    setup = setup.replace("tiny_experiment(cci_vae())", f"tiny_experiment({settings})")
    setup = setup.replace("import cci_vae", "import cci_vae, compares, conv_vae")
    for name, launch in (
        ("one", [sys.executable]),
        # "multi_gpu" is accelerate's name for "one process a device through torchrun"; the run asks for the CPU.
        ("two", [sys.executable, "-m", "accelerate.commands.launch", *TWO]),
    ):
        script = tmp_path / f"{name}.py"
        script.write_text(setup.replace("OUT", str(tmp_path / name)))
        done = subprocess.run([*launch, str(script)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    assert two.info()["processes"] == 2
    for ours, theirs in zip(numbers(one), numbers(two), strict=True):
        assert theirs["step"] == ours["step"]
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
        assert theirs["kl_per_latent"] == pytest.approx(ours["kl_per_latent"], abs=1e-4)
    ends = [latest_intact(run.checkpoints)[0].weights() for run in (one, two)]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-3) for name in ends[0])


def test_the_manifest_lists_every_file(tmp_path: Path):
    saved = save_checkpoint(tmp_path, 3, "x", {"w": torch.ones(1)}, {}, {"w": torch.zeros(1)})
    listed = json.loads((saved.path / "manifest.json").read_text())["files"]
    assert sorted(listed) == ["ema.safetensors", "model.safetensors", "resume.pt"]
    assert torch.equal(saved.weights(ema=True)["w"], torch.zeros(1))


def test_the_dataset_type_is_found_again(tmp_path: Path):
    run = whole_run(tmp_path / "a")
    model, dataset, checkpoint = experiments.load(run)
    assert isinstance(dataset, Bars)
    assert checkpoint.step == 30
    assert not model.training
