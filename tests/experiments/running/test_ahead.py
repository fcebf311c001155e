"""A sweep with more jobs than cells: seeds run beside each other, and the experiment is the one of seeds in turn."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.dvc_project import git
from tests.experiments.test_sweep import TABLE, is_running, project, sleeper, start, started  # noqa: F401  # fixtures
from tinyllm.experiments.grid import Cell, read_table
from tinyllm.experiments.running.workers import Clones, Ended, Share, run_all

ROWS = """\
rows:
  one: {loss.alpha: 1.0, train.seeds: [3, 1, 2]}
  four: {loss.alpha: 4.0, train.seeds: [3, 1]}
"""
PIPELINE = """\
stages:
  download:
    cmd: python make.py download
    deps: [make.py]
    params: [data.seed]
    outs: [data/questions/test.jsonl]
  train:
    foreach: ${train.seeds}
    do:
      cmd: python train.py ${item}
      deps: [train.py, data/questions/test.jsonl]
      params: [loss.alpha]
      outs: ["data/${item}.txt"]
  score:
    cmd: python make.py score
    deps: ["data/3.txt", "data/1.txt", "data/2.txt", data/questions/test.jsonl]
    params: [loss.alpha]
    outs: [data/predictions.jsonl]
    metrics:
    - metrics/score.json: {cache: false}
"""
TRAIN = """\
import os, pathlib, sys, time
diary, seed = pathlib.Path(os.environ["TOY_DIARY"]), sys.argv[1]
with open(diary, "a") as file:
    print(f"begun {seed} " + os.environ.get("CUDA_VISIBLE_DEVICES", "all"), file=file)
if diary.with_name(f"fails-{seed}").exists():
    sys.exit(f"error: seed {seed} cannot be trained")
if diary.with_name("sleeps").exists():
    with open(diary, "a") as file:
        print(f"sleeping {os.getpid()}", file=file)
    time.sleep(300)
deadline = time.monotonic() + 20
together = diary.with_name("together")  # how many wait for each other
while together.exists() and diary.read_text().count("begun") < int(together.read_text()) and time.monotonic() < deadline:
    time.sleep(0.05)
pathlib.Path(f"data/{seed}.txt").write_text(seed)
with open(diary, "a") as file:
    print(f"ended {seed}", file=file)
"""


@pytest.fixture
def seeds(project: Path) -> Path:  # noqa: F811
    """The toy project with a training for each seed."""
    for name, text in {"dvc.yaml": PIPELINE, "train.py": TRAIN, "toy.yaml": TABLE.partition("rows:")[0] + ROWS}.items():
        (project / name).write_text(text, encoding="utf-8")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Seeds")
    return project


def run(project: Path, cell: Cell, jobs: int, gpus: tuple[str, ...] = ()) -> Ended:  # noqa: F811
    begun, ended = run_all([cell], Clones(git(project, "rev-parse", "HEAD")), jobs, gpus=gpus)
    assert begun == cell and isinstance(ended, Ended)
    return ended


def experiment(project: Path, cell: Cell) -> dict[str, str]:  # noqa: F811
    """What git holds of the experiment, by file, but for params.yaml, whose layout is DVC's own."""
    (reference,) = git(project, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    assert reference.endswith(cell.name)
    return {name: git(project, "show", f"{reference}:{name}") for name in ("dvc.lock", "metrics/score.json")}


@pytest.mark.slow
def test_seeds_beside_each_other_make_the_experiment_of_seeds_in_turn(seeds: Path, tmp_path: Path) -> None:
    cell = read_table(Path("toy.yaml")).cells["", "one", "world"]
    (tmp_path / "together").write_text("3", encoding="utf-8")
    assert run(seeds, cell, 4, ("5", "7")).fault is None
    beside, diary = experiment(seeds, cell), (tmp_path / "diary").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in diary if line.split()[0] in ("begun", "ended")] == ["begun"] * 3 + ["ended"] * 3
    assert {line.split()[2] for line in diary if line.startswith("begun")} == {"5", "7"}
    assert diary.count("alpha 1.0 sees 5") + diary.count("alpha 1.0 sees 7") == 1, "no stage ran twice"
    assert git(seeds, "status", "--porcelain") == ""
    assert not (seeds / ".cache/sweep" / cell.name).exists()

    for name in git(seeds, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        git(seeds, "update-ref", "-d", name)
    git(seeds, "commit", "-q", "--allow-empty", "-m", "Again")
    (tmp_path / "diary").unlink()
    (tmp_path / "together").unlink()
    assert run(seeds, cell, 1).fault is None
    assert experiment(seeds, cell) == beside
    assert json.loads(beside["metrics/score.json"]) == {"accuracy": 0.25}


@pytest.mark.slow
def test_a_seed_that_fails_says_why_and_the_next_call_goes_on(seeds: Path, tmp_path: Path) -> None:
    cell = read_table(Path("toy.yaml")).cells["", "one", "world"]
    (tmp_path / "fails-1").touch()
    assert run(seeds, cell, 3).fault == "error: seed 1 cannot be trained"
    (tmp_path / "fails-1").unlink()
    (tmp_path / "diary").unlink()
    assert run(seeds, cell, 3).fault is None
    diary = (tmp_path / "diary").read_text(encoding="utf-8")
    assert "begun 1" in diary and "begun 3" not in diary, "what had ended came from DVC's run cache"


@pytest.mark.slow
def test_an_interrupt_ends_all_seeds_and_leaves_nothing(
    seeds: Path,
    tmp_path: Path,
    started: list[subprocess.Popen],  # noqa: F811
) -> None:
    (tmp_path / "sleeps").touch()
    process = start(started, "sweep", "toy.yaml", "--run", "--jobs", "4")
    sleeping = [sleeper(tmp_path / "diary", number) for number in (1, 2, 3, 4)]
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130, printed
    assert not any(map(is_running, sleeping))
    assert [path.suffix for path in (seeds / ".cache/sweep").iterdir()] == [".log", ".log"]


class Shares:
    """Starts nothing; keeps who got what."""

    def __init__(self, widest: int) -> None:
        self.widest, self.given = widest, []

    def start(self, cell: Cell, again: bool, share: Share) -> Running:
        self.given.append((cell.row, share))
        return Running(cell, share)

    def stop(self, running: object) -> None:
        """Nothing runs."""


class Running:
    def __init__(self, cell: Cell, share: Share) -> None:
        self.cell, self.share, self.looks = cell, share, 0

    def ended(self) -> Ended | None:
        self.looks += 1
        return Ended(self.cell, 0.0, None) if self.looks > 2 else None


@pytest.mark.parametrize(
    ("jobs", "gpus", "widest", "given"),
    [
        (1, (), 9, [Share(1), Share(1)]),
        (2, (), 9, [Share(1), Share(1)]),
        (3, (), 9, [Share(1), Share(2)]),
        (5, (), 9, [Share(2), Share(2)]),
        (9, (), 9, [Share(3), Share(2)]),
        (9, (), 2, [Share(2), Share(2)]),
        (4, ("0", "1", "2", "3"), 9, [Share(2, ("0", "1")), Share(2, ("2", "3"))]),
    ],
)
def test_jobs_beyond_the_cells_go_to_their_seeds(
    seeds: Path, jobs: int, gpus: tuple[str, ...], widest: int, given: list[Share]
) -> None:
    cells, shares = list(read_table(Path("toy.yaml")).cells.values()), Shares(widest)
    list(run_all(cells, shares, jobs, gpus=gpus))
    assert shares.given == [("one", given[0]), ("four", given[1])]
