"""A sweep on two nodes of a Ray cluster: the results of a local one, and a cell whose node dies runs anew."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster_nodes import RAY_MARKS, cluster_nodes
from tests.dvc_project import git
from tests.experiments.running.test_ahead import seeds  # noqa: F401  # a fixture
from tests.experiments.test_sweep import project  # noqa: F401  # a fixture
from tinyllm.cli.experiments.sweep import add_parser
from tinyllm.experiments.dvc_experiments import find_results
from tinyllm.experiments.grid import read_table
from tinyllm.experiments.results.kept import read_kept
from tinyllm.experiments.running.workers import log_of

ray = pytest.importorskip("ray", reason="needs the extra cluster")

pytestmark = RAY_MARKS


@pytest.fixture
def nodes(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: F811
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of-the-nodes"))
    with cluster_nodes(monkeypatch) as cluster:
        yield cluster


def sweep(*options: str) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["sweep", "toy.yaml", *options])
    given.run(given)


def kill_the_node_of_the_sleeper(nodes: Any, diary: Path) -> None:
    """Wait until alpha 2 sleeps, let it not sleep the next time, and kill its node with all that is on it."""
    while "sleeping" not in (diary.read_text() if diary.exists() else ""):
        time.sleep(0.05)
    diary.with_name("go").touch()
    (line,) = [line for line in diary.read_text().splitlines() if line.startswith("sleeping")]
    above = {process.pid for process in psutil.Process(int(line.split()[1])).parents()}
    (node,) = [one for one in nodes.list_all_nodes() if one.all_processes["raylet"][0].process.pid in above]
    nodes.remove_node(node, allow_graceful=False)


def test_a_sweep_on_a_cluster_ends_as_one_on_this_machine(
    project: Path,  # noqa: F811
    tmp_path: Path,
    nodes: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    diary = tmp_path / "diary"
    killer = threading.Thread(target=kill_the_node_of_the_sleeper, args=(nodes, diary), daemon=True)
    killer.start()
    with pytest.raises(ValueError, match="^1 of 4 experiments failed"):
        sweep("--run", "--cluster", nodes.address)
    killer.join()
    printed = capsys.readouterr().out
    assert "failed   three, world" in printed and "alpha 3.0 is more than this toy bears" in printed
    cells = {cell.row: cell for cell in read_table(Path("toy.yaml")).cells.values()}
    found = find_results(cells.values())
    accuracies = {row: found[cell.digest].accuracy for row, cell in cells.items() if cell.digest in found}
    assert accuracies == {"one": 0.25, "two": 0.5, "four": 1.0}, "as make.py writes them"
    written = [read_kept(path) for path in sorted(Path("experiments/results/toy").glob("*.json"))]
    assert sorted(kept.right.mean() for kept in written) == [0.25, 0.5, 1.0], "test questions and predictions came back"
    assert diary.read_text().count("alpha 2.0") == 2, "the killed one ran anew"
    assert "alpha 3.0" in log_of(cells["three"]).read_text()


def test_seeds_of_an_experiment_share_a_node(
    seeds: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Path("toy.yaml").read_text(encoding="utf-8")
    Path("toy.yaml").write_text(table.partition("  four:")[0], encoding="utf-8")
    git(seeds, "commit", "-q", "-a", "-m", "One row")
    (tmp_path / "together").write_text("2", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of-the-nodes"))
    with cluster_nodes(monkeypatch, cores=2) as cluster:
        sweep("--run", "--cluster", cluster.address)
    diary = (tmp_path / "diary").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in diary if line.split()[0] in ("begun", "ended")][:3] == [
        "begun",
        "begun",
        "ended",
    ]
    (cell,) = read_table(Path("toy.yaml")).cells.values()
    assert find_results([cell])[cell.digest].accuracy == 0.25


def test_a_cluster_that_is_not_there_is_told_in_one_line(project: Path) -> None:  # noqa: F811
    with pytest.raises(ValueError, match=r"^--cluster: no cluster at 127\.0\.0\.1:9 "):
        sweep("--run", "--cluster", "127.0.0.1:9")
