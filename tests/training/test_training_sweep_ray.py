"""Jobs on a real two-node Ray cluster on this machine, one node of which is killed."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unhurried import unhurried

from percepts.core.errors import MissingPackageError, RunError
from percepts.core.files import sha256
from percepts.core.runs import Run
from percepts.training import ray_cluster
from percepts.training.board import Board
from percepts.training.checkpoint import latest_intact
from percepts.training.job import Job, Task, attempts
from percepts.training.jobs import run_jobs

HAVE_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAVE_RAY, reason="Ray is not installed (extra 'ray')")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that only manages, and nodes of one core each as the test adds them."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    tests = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    import ray
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield started
    ray.shutdown()
    started.shutdown()


@needs_ray
@pytest.mark.slow
def test_a_killed_node_loses_no_run_and_none_is_done_twice(tmp_path: Path, cluster: Any):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    jobs = [Job(f"seed {seed}", unhurried(seed)) for seed in range(6)]
    killed: list[str] = []

    def kill_a_node(board: Board) -> None:
        running = [row for row in board.running() if row.step > 40]
        if len(running) == 2 and not killed:
            killed.extend(row.name for row in running)
            cluster.remove_node(nodes[0], allow_graceful=False)

    outcomes = run_jobs(jobs, tmp_path / "ray", backend="ray", address=cluster.address, on_update=kill_a_node)
    assert killed
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [(job.name, "finished") for job in jobs]
    records = [attempts(outcome.path) for outcome in outcomes]
    broken = [record for record in records if len(record) > 1]
    assert len(broken) == 1
    assert "status" not in broken[0][0]
    assert broken[0][1]["from_step"] > 0
    for outcome, record in zip(outcomes, records):
        assert [attempt.get("status") for attempt in record].count("finished") == 1
        assert record[-1]["status"] == "finished"
        assert [entry["step"] for entry in Run(outcome.path).metrics() if "loss" in entry] == list(range(1, 201))
    lost = next(outcome for outcome, record in zip(outcomes, records) if len(record) > 1)
    (unbroken,) = run_jobs([jobs[outcomes.index(lost)]], tmp_path / "here", workers=0)
    assert weights(lost.path) == weights(unbroken.path)
    again = run_jobs(jobs, tmp_path / "ray", backend="ray", address="127.0.0.1:1")
    assert {outcome.seconds for outcome in again} == {0}, "nothing to do, so no cluster is asked"


def weights(path: Path) -> str:
    return sha256(latest_intact(path / "checkpoints")[0].path / "model.safetensors")


@needs_ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"),
        ("127.0.0.1:99999", "no Ray cluster answers"),
        ("127.0.0.1:port", "no Ray cluster answers"),
        ("nowhere", "HOST:PORT, or auto"),
    ],
)
def test_an_address_that_does_not_answer(address: str, message: str, tmp_path: Path):
    began = time.monotonic()
    with pytest.raises(RunError, match=message) as caught:
        run_jobs([Job("one", unhurried())], tmp_path, backend="ray", address=address)
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)


@needs_ray
@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_a_port_that_is_not_rays(says: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_cluster, "ANSWER", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        if says is not None:
            threading.Thread(target=answer, args=(other, says), daemon=True).start()
        with pytest.raises(RunError, match="no Ray cluster answers"):
            run_jobs([Job("one", unhurried())], tmp_path, backend="ray", address=address)


def answer(listening: socket.socket, says: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(says)


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("percepts.core.optional.available", lambda package: False)
    with pytest.raises(MissingPackageError, match=r"percepts\[ray\]"):
        run_jobs([Job("one", unhurried())], tmp_path, backend="ray")


def test_a_node_that_does_not_see_the_folder(tmp_path: Path):
    task = Task.of(Job("one", unhurried()), tmp_path / "elsewhere")
    outcome = ray_cluster.carry_out(task, 0, 1)
    assert outcome.status == "failed"
    assert "needs a shared folder" in (outcome.error or "")


def test_a_job_that_kills_its_nodes_is_given_up(tmp_path: Path):
    task = Task.of(Job("one", unhurried()), tmp_path)
    task.path.mkdir()
    lines = [f'{{"attempt": "{number}", "from_step": 0}}\n' for number in range(ray_cluster.TRIES + 1)]
    (task.path / "attempts.jsonl").write_text("".join(lines))
    assert "died 10 times" in (ray_cluster.carry_out(task, 1, 1).error or "")
