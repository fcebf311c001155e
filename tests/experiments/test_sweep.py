"""`tinyllm sweep`: what it says and refuses, and that a run which is interrupted goes on where it stopped."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dvc_project import git
from tests.processes import hear_interrupts
from tinyllm.cli.experiments.sweep import add_parser
from tinyllm.experiments.grid import Table, read_table
from tinyllm.experiments.running import workers
from tinyllm.experiments.running.processes import signal_group
from tinyllm.experiments.running.workers import Clones, Ended, Worker, log_of, run_all
from tinyllm.experiments.sweep import check_commit, default_jobs, distinct

ROOT = Path(__file__).resolve().parents[2]
TABLE = """\
title: A toy
overrides: {runtime.device: cpu}
columns_are: fixed
columns:
  world: {data.seed: 5}
control: one
rows:
  one: {loss.alpha: 1.0}
  two: {loss.alpha: 2.0}
  three: {loss.alpha: 3.0}
  four: {loss.alpha: 4.0}
"""
PIPELINE = """\
stages:
  download:
    cmd: python make.py download
    deps:
    - make.py
    params:
    - data.seed
    outs:
    - data/questions/test.jsonl
  score:
    cmd: python make.py score
    deps:
    - data/questions/test.jsonl
    params:
    - loss.alpha
    outs:
    - data/predictions.jsonl
    metrics:
    - metrics/score.json:
        cache: false
"""
MAKE = """\
import json, os, pathlib, re, subprocess, sys
diary = pathlib.Path(os.environ["TOY_DIARY"])
def note(line):
    with open(diary, "a") as file:
        print(line, file=file)
for folder in ("data/questions", "metrics"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
alpha = float(re.search(r"\\n  alpha: (\\S+)", pathlib.Path("params.yaml").read_text().partition("\\nloss:")[2])[1])
if sys.argv[1] == "download":
    note("download")
    rows = [{"id": f"q{i}", "question": f"{i}?", "choices": ["yes", "no"], "answer": 0} for i in range(8)]
    pathlib.Path("data/questions/test.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
else:
    note(f"alpha {alpha} sees " + os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    if alpha == 2.0 and not diary.with_name("go").exists():
        child = subprocess.Popen(["sleep", "300"])
        note(f"sleeping {child.pid}")
        child.wait()
    if alpha == 3.0:
        sys.exit("error: alpha 3.0 is more than this toy bears")
    rows = [{"seed": 1, "id": f"q{i}", "gold": 0, "choice": int(i >= 2 * alpha), "scores": [0.0, 0.0]} for i in range(8)]
    pathlib.Path("data/predictions.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
    pathlib.Path("metrics/score.json").write_text(json.dumps({"accuracy": alpha / 4}))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git and DVC project whose stages take no time, but for alpha 2, which sleeps, and 3, which fails."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOY_DIARY", str(tmp_path / "diary"))
    for name in ("DVC_ROOT", "TINYLLM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (folder / ".dvc").mkdir()
    files = {
        ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        ".gitignore": "/data\n/.cache\n",
        ".dvcignore": ".cache/\n",
        "dvc.yaml": PIPELINE,
        "make.py": MAKE,
        "toy.yaml": TABLE,
        "params.yaml": (ROOT / "params.yaml").read_text(encoding="utf-8"),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Start")
    return folder


def refusal(*options: str) -> str:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["sweep", "toy.yaml", *options])
    with pytest.raises(ValueError) as caught:
        given.run(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_cell_is_run_again_only_where_that_says_which_and_run(project: Path) -> None:
    told = refusal("--run", "--again", "five, world")
    assert re.fullmatch(r"--again five, world: is no cell of the table; did you mean \w+, world\?", told)
    assert refusal("--again", "one, world") == "--again one, world: runs nothing without --run; add it"


def test_a_result_that_is_not_committed_yet_does_not_stop_a_sweep(project: Path) -> None:
    path = project / "experiments/results/toy/one-world-12345678.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    git(project, "add", "experiments")
    git(project, "commit", "-q", "-m", "A result")
    path.write_text("{ }", encoding="utf-8")
    cell = read_table(Path("toy.yaml")).cells["", "one", "world"]
    check_commit([cell])


def table_with(row: str) -> Table:
    """The table, its first row another; committed, as it has to be."""
    Path("toy.yaml").write_text(TABLE.replace("{loss.alpha: 1.0}", row), encoding="utf-8")
    git(Path(), "commit", "-q", "-a", "--allow-empty", "-m", "another row")
    return read_table(Path("toy.yaml"))


def test_a_changed_file_that_is_not_committed_is_refused(project: Path) -> None:
    (project / "make.py").write_text(MAKE + "\n", encoding="utf-8")
    told = "make.py: changed and not committed; experiments are of a commit: commit or undo it"
    assert refusal("--run") == told


def test_a_folder_that_only_this_workspace_has_is_refused(project: Path, tmp_path: Path) -> None:
    data = "{data.dataset: jsonl, corpus.teachers: [], data.folder: FOLDER}"
    (project / ".git/info/exclude").write_text("mine\n", encoding="utf-8")
    (project / "mine").mkdir()
    (project / "mine/test.jsonl").write_text("", encoding="utf-8")
    cell = table_with(data.replace("FOLDER", "mine")).cells["", "one", "world"]
    assert refusal("--run").startswith("one, world: data.folder is mine, which git does not track, so that an")
    check_commit([table_with(data.replace("FOLDER", str(tmp_path))).cells["", "one", "world"]])
    git(project, "add", "--force", "mine")
    git(project, "commit", "-q", "-m", "My questions")
    check_commit([cell])


def test_a_shallow_clone_is_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project, "commit", "-q", "--allow-empty", "-m", "Second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    assert refusal("--run") == "a shallow clone cannot keep experiments; run `git fetch --unshallow`"


def test_without_run_it_says_what_is_missing_and_runs_nothing(project: Path, tmp_path: Path, capsys) -> None:
    Path("toy.yaml").write_text(TABLE.replace("alpha: 4.0", "alpha: 1.0"), encoding="utf-8")  # nothing is committed
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["sweep", "toy.yaml"])
    given.run(given)
    assert capsys.readouterr().out.splitlines() == [
        "missing  one, world",
        "missing  two, world",
        "missing  three, world",
        "missing  four, world",
        "3 of 3 experiments have no result; `tinyllm sweep toy.yaml --run` runs them",
    ]
    assert not (tmp_path / "diary").exists() and not git(project, "for-each-ref", "refs/exps")
    assert [cell.row for cell in distinct(read_table(Path("toy.yaml")))] == ["one", "two", "three"]


def test_as_many_run_at_once_as_the_cores_bear(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    cells = list(read_table(Path("toy.yaml")).cells.values())
    assert default_jobs(cells, []) == default_jobs(cells, ["0"]) == default_jobs([], []) == 12  # they train on no GPU
    assert default_jobs([*cells, table_with("{train.threads: 5}").cells["", "one", "world"]], []) == 2
    assert default_jobs([table_with("{train.threads: 99}").cells["", "one", "world"]], []) == 1
    assert default_jobs([*cells, table_with("{runtime.device: auto}").cells["", "one", "world"]], ["0", "2", "3"]) == 3


# --- running --------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(project: Path) -> Iterator[list[subprocess.Popen]]:
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen], *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=hear_interrupts,
    )
    started.append(process)
    return process


def sleeper(diary: Path, number: int) -> int:
    """The process of the so-manieth stage that sleeps, once it does."""
    deadline = time.monotonic() + 240
    while True:
        notes = diary.read_text(encoding="utf-8") if diary.exists() else ""
        found = re.findall(r"sleeping (\d+)\n", notes)
        if len(found) >= number:
            return int(found[number - 1])
        assert time.monotonic() < deadline, notes
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_stopped_and_a_failure_does_not_stop_it(
    project: Path, tmp_path: Path, started: list[subprocess.Popen]
) -> None:
    diary = tmp_path / "diary"
    for number, (sent, status) in enumerate([(signal.SIGINT, 130), (signal.SIGTERM, 143)], start=1):
        process = start(started, "sweep", "toy.yaml", "--run", "--jobs", "1")
        pid = sleeper(diary, number)
        process.send_signal(sent)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == status, output
        assert not is_running(pid)
        assert [path.suffix for path in (project / ".cache/sweep").iterdir()] == [".log", ".log"]  # no folder is left
        private = [stat.S_IMODE(path.stat().st_mode) for path in (project / ".cache/sweep").iterdir()]
        assert private == [0o600, 0o600]
        assert len(git(project, "for-each-ref", "refs/exps").splitlines()) == 1
        assert git(project, "status", "--porcelain") == "?? experiments/"  # the result of the one that ended
    (tmp_path / "go").touch()
    process = start(started, "sweep", "toy.yaml", "--run", "--jobs", "2", "--gpus", "5,7")
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 1, output
    assert "done     one, world: 25.0%, toy-one-world-" in output and "started  one" not in output
    assert re.search(r"^done     two, world: 50.0% in \d+:\d\d$", output, re.MULTILINE), output
    assert re.search(r"^done     four, world: 100.0% in ", output, re.MULTILINE), output
    fault = (
        r"^failed   three, world after \d+:\d\d: error: alpha 3.0 is more than this toy bears \(all of it in (\S+)\)$"
    )
    log = re.search(fault, output, re.MULTILINE)
    assert log and "Running stage 'score'" in Path(log[1]).read_text(encoding="utf-8"), output
    assert output.endswith("error: 1 of 3 experiments failed; the next call runs these again\n")
    assert diary.read_text(encoding="utf-8").count("download") == 1  # the others took it from DVC's run cache
    seen = dict(re.findall(r"alpha (\S+) sees (\S+)", diary.read_text(encoding="utf-8")))
    assert seen["1.0"] == "all" and {seen["2.0"], seen["3.0"]} == {"5", "7"} and seen["4.0"] in ("5", "7")
    table = start(started, "table", "toy.yaml").communicate(timeout=60)[0]
    cells = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith(("| one", "| two", "| three"))]
    assert [cell[1][:5].strip() for cell in cells] == ["25.0", "50.0", ""]

    kept = sorted((project / "experiments/results/toy").iterdir())
    assert [path.name[:-14] for path in kept] == ["four-world", "one-world", "two-world"]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in kept]
    assert [result["test"]["right"] for result in results] == [{"1": "11111111"}, {"1": "11000000"}, {"1": "11110000"}]
    assert {result["commit"] for result in results} == {git(project, "rev-parse", "HEAD")}
    assert all(0 < result["seconds"] < 300 for result in results)
    git(project, "add", "experiments")
    git(project, "commit", "-q", "-m", "Results")
    for reference in git(project, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        git(project, "update-ref", "-d", reference)
    shutil.rmtree(project / ".dvc/cache")  # another machine has neither
    assert start(started, "table", "toy.yaml").communicate(timeout=60)[0].splitlines()[:-1] == table.splitlines()[:-1]
    output = start(started, "sweep", "toy.yaml", "--run", "--again", "four, world").communicate(timeout=60)[0]
    assert [line.split(",")[0] for line in re.findall("^started .*$", output, re.MULTILINE)] == [
        "started  three",
        "started  four",
    ], output
    again = json.loads((project / "experiments/results/toy" / kept[0].name).read_text(encoding="utf-8"))
    assert again["commit"] == git(project, "rev-parse", "HEAD") != results[0]["commit"]
    assert again["test"] == results[0]["test"]


@pytest.mark.slow
def test_what_runs_elsewhere_is_not_run_twice(project: Path, tmp_path: Path, started: list[subprocess.Popen]) -> None:
    start(started, "sweep", "toy.yaml", "--run", "--jobs", "1")
    sleeper(tmp_path / "diary", 1)
    cell = read_table(Path("toy.yaml")).cells["", "two", "world"]
    events = list(run_all([cell], Clones(git(project, "rev-parse", "HEAD")), 1))
    assert events == [cell, Ended(cell, 0.0, "runs already, in another sweep or left over from one that was killed")]
    started[0].send_signal(signal.SIGINT)
    started[0].wait(timeout=60)


def test_what_another_sweep_has_finished_meanwhile_is_not_run_again(project: Path, tmp_path: Path) -> None:
    cell = read_table(Path("toy.yaml")).cells["", "one", "world"]
    head = git(project, "rev-parse", "HEAD")
    Path("metrics").mkdir()
    Path("metrics/score.json").write_text('{"accuracy": 0.25}', encoding="utf-8")
    git(project, "add", "metrics")
    git(project, "commit", "-q", "-m", "An experiment")
    git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{cell.name}", "HEAD")
    git(project, "reset", "-q", "--hard", head)
    assert list(run_all([cell], Clones(head), 1)) == [cell, Ended(cell, 0.0, None)]
    assert not (tmp_path / "diary").exists()
    assert list(Path(".cache/sweep").iterdir()) == [log_of(cell)]


def test_no_other_sweep_runs_an_experiment_before_its_folder_is_gone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clone(commit: str, folder: Path) -> Path:
        folder.mkdir()
        return folder

    monkeypatch.setattr(workers, "_clone", clone)
    monkeypatch.setattr(workers, "command", lambda cell: ["sleep", "300"])
    cell = read_table(Path("toy.yaml")).cells["", "two", "world"]
    refused: list[Path] = []

    def delete(folder: Path, ignore_errors: bool) -> None:
        with pytest.raises(BlockingIOError):
            Worker(cell, "0" * 40)
        refused.append(folder)
        folder.rmdir()

    monkeypatch.setattr("shutil.rmtree", delete)
    for number in (1, 2):  # the second finds neither the first's lock nor its folder
        worker = Worker(cell, "0" * 40)
        signal_group(worker.process, signal.SIGKILL)
        worker.process.wait()
        worker.forget()
        assert refused == [worker.folder] * number
