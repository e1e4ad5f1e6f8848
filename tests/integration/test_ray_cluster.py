"""A cluster of Ray's: the same bits as on one core, also when a worker is killed; what cannot be used is one line."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats
from trading_platform.machine.packages import missing
from trading_platform.work import ray_cluster
from trading_platform.work.job import AUTO, ClusterUnreachableError, Job, Place
from trading_platform.work.map_tasks import workers
from trading_platform.work.ray_cluster import OtherVersionError, RayHands, Version
from trading_platform.work.result_files import packed

needs_ray = pytest.mark.skipif(
    bool(missing(["ray"])), reason="ray is not installed: pip install 'trading-platform[cluster]'"
)
MARKET = np.random.default_rng(3).standard_normal((400, 60))


def walk(shared: dict[str, Any], number: int) -> Floats:
    """Compute something whose bits depend on the order of sums; task 3 kills its worker the first time."""
    marks = Path(shared["marks"])
    (marks / f"{number}-{os.getpid()}").touch()
    if number == 3 and shared["dies"] and not (marks / "died").exists():
        (marks / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    market: Floats = shared["market"]
    market[0, 0] += 0.0  # writable here as in a process of this machine
    time.sleep(0.05)
    drawn = np.random.default_rng([9, number]).standard_normal((60, 40))
    result: Floats = np.cumsum(market @ drawn, axis=0)
    return result


def secrets_seen(shared: None, number: int) -> list[str]:
    return [name for name in ("ALPACA_API_KEY", "MY_SECRET_TOKEN", "OMP_NUM_THREADS") if name in os.environ]


def job(folder: Path, *, dies: bool) -> Job[Any, Any, Any]:
    return Job("walk", walk, {"market": MARKET.copy(), "marks": str(folder), "dies": dies}, "market 3")


@pytest.mark.real
@needs_ray
@pytest.mark.timeout(400)
def test_a_killed_worker_of_three_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", "not for workers")
    monkeypatch.setenv("MY_SECRET_TOKEN", "nor this")
    # workers find this module by its name, and the session's process may not know the folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])]))
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with workers(job(here, dies=False), Place(1)) as opened:
        alone = dict(opened.map(range(9)))
    with workers(job(there, dies=True), Place(3, AUTO)) as opened:
        split = dict(opened.map(range(9)))
        import ray

        seen = ray.get(ray.remote(secrets_seen).remote(None, 0))
    assert (there / "died").exists()
    assert len(list(there.glob("3-*"))) == 2  # the task that lost its worker ran again
    assert len({path.name.partition("-")[2] for path in there.glob("*-*")}) > 1  # several workers had a part
    assert sorted(split) == list(range(9))
    assert all(packed(alone[n]) == packed(split[n]) for n in range(9))
    assert capsys.readouterr().out == ""  # Ray's own words about the killed worker have no place among results
    assert seen == ["OMP_NUM_THREADS"]
    assert os.environ["ALPACA_API_KEY"] == "not for workers"  # this process has its own again


@needs_ray
def test_a_cluster_that_does_not_answer_is_one_line_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for cluster in (f"ray://127.0.0.1:{port}", f"127.0.0.1:{port}"):
        with pytest.raises(ClusterUnreachableError, match=rf"nothing answers at 127.0.0.1 port {port}") as caught:
            RayHands(job(tmp_path, dies=False), Place(1, cluster))
        assert caught.value.exit_code == 3
        assert "\n" not in str(caught.value)


def test_without_ray_the_option_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.machine.packages.missing", lambda names: list(names))
    with pytest.raises(FixConfigError, match=r"--cluster auto: the package ray\[client\] is not installed"):
        RayHands(job(tmp_path, dies=False), Place(1, AUTO))


@pytest.mark.parametrize(
    ("its", "words"),
    [
        (Version("3.12.1", "0.1.0", "ab"), "node far has Python 3.12.1, this machine 3.11.7"),
        (Version("3.11.7", "0.2.0", "ab"), "node far has trading-platform 0.2.0, this machine 0.1.0"),
        (Version("3.11.7", "0.1.0", "cd"), "node far has a trading-platform whose files are cd, this machine ab"),
    ],
)
def test_a_node_of_another_version_is_refused(its: Version, words: str) -> None:
    ours = Version("3.11.7", "0.1.0", "ab")
    ray_cluster._refuse_other(ours, ours, "far")
    with pytest.raises(OtherVersionError, match=words) as caught:
        ray_cluster._refuse_other(its, ours, "far")
    assert caught.value.exit_code == 2


def test_little_shared_memory_is_told_before_ray_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 64 * 2**20

    monkeypatch.setattr("trading_platform.work.ray_cluster.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(FixConfigError, match="has 64 MiB free, Ray needs 125; give the container more"):
        ray_cluster._store_bytes()
