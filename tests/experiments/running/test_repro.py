"""`tinyllm repro`: stages beside each other end as `dvc repro` ends, whatever stops them on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dvc_project import git
from tinyllm.experiments.running.gpus import Deck, environment_of, gpu_names
from tinyllm.experiments.running.repro import Plan, _next, _put_in_order, _work

MAKE = """
import json, os, sys, time
from pathlib import Path
name, *given = sys.argv[1:]
start = time.time()
with open("begun", "a") as file:
    file.write(name + "\\n")
if Path(f"fails-{name}").exists():
    sys.exit(f"{name}: cannot be made")
time.sleep(float(Path("seconds").read_text()))
Path(f"{name}.out").write_text(name + "".join(Path(path).read_text() for path in given))
with open("times", "a") as file:
    file.write(json.dumps([name, start, time.time(), os.environ.get("CUDA_VISIBLE_DEVICES")]) + "\\n")
"""
PIPELINE = """
stages:
  first:
    cmd: python make.py first source
    deps: [source]
    outs: [first.out]
  middle:
    foreach: [b, a]
    do:
      cmd: python make.py middle-${item} first.out
      deps: [first.out]
      outs: ["middle-${item}.out"]
  last:
    cmd: python make.py last middle-a.out middle-b.out
    deps: [middle-a.out, middle-b.out]
    outs: [last.out]
"""
REPRO = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "repro"]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages have run, by a plain `dvc repro`."""
    folder = tmp_path_factory.mktemp("project")
    git(folder, "init", "-q")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n", encoding="utf-8")
    for name, text in {"make.py": MAKE, "dvc.yaml": PIPELINE, "source": "s", "seconds": "0"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The same before anything has run."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    for path in (*folder.glob("*.out"), folder / "dvc.lock", folder / "begun", folder / "times"):
        path.unlink()
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / ".dvc/tmp", ignore_errors=True)
    yield folder


def repro(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*REPRO, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def times(folder: Path) -> dict[str, list]:
    return {row[0]: row[1:] for row in map(json.loads, (folder / "times").read_text().splitlines())}


@pytest.mark.slow
def test_stages_run_beside_each_other_and_end_as_one_after_the_other(made: Path, project: Path) -> None:
    (project / "seconds").write_text("2")
    done = repro(project, "-j", "2", "--gpus", "0,2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "dvc.lock").read_bytes() == (made / "dvc.lock").read_bytes()
    assert (project / "last.out").read_text() == "lastmiddle-afirstsmiddle-bfirsts"
    when = times(project)
    assert max(when["middle-a"][0], when["middle-b"][0]) < min(when["middle-a"][1], when["middle-b"][1]), "beside"
    assert {when["middle-a"][2], when["middle-b"][2]} == {"0", "2"} and when["last"][2] == "0"
    assert "middle@a: Running stage 'middle@a':" in done.stdout and "Data and pipelines are up to date." in done.stdout
    (project / "source").write_text("t")  # and what has not changed stays
    (project / "fails-middle-b").touch()
    failing = repro(project, "-j", "2")
    assert failing.returncode == 1
    assert failing.stderr.splitlines()[-1].endswith(
        "middle@b: failed, see above; the next call goes on from what is finished"
    )
    assert "middle@b: middle-b: cannot be made" in failing.stdout
    assert (project / "middle-a.out").read_text() == "middle-afirstt", "what runs beside it comes to its end"
    (project / "fails-middle-b").unlink()
    (project / "begun").unlink()
    assert repro(project).returncode == 0
    assert (project / "begun").read_text().split() == ["middle-b", "last"]
    assert (project / "last.out").read_text() == "lastmiddle-afirsttmiddle-bfirstt"


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_what_dvc_goes_on_from(made: Path, project: Path, number: int) -> None:
    (project / "seconds").write_text("3")
    process = subprocess.Popen([*REPRO, "-j", "2"], cwd=project, env=ENVIRONMENT, start_new_session=True)
    deadline = time.monotonic() + 120
    while len((project / "begun").read_text().split() if (project / "begun").exists() else []) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait(30) != 0
    if number == signal.SIGKILL:
        time.sleep(8)  # what it had started comes to its end
    else:
        assert not (project / "middle-a.out").exists()
    (project / "seconds").write_text("0")
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=project, env=ENVIRONMENT, check=True)
    assert (project / "dvc.lock").read_bytes() == (made / "dvc.lock").read_bytes()
    assert (project / "begun").read_text().split().count("first") == 1


@pytest.mark.slow
def test_what_dvc_cannot_read_ends_in_one_line(project: Path) -> None:
    unknown = repro(project, "nothing")
    assert (
        unknown.returncode == 1 and unknown.stderr.startswith("error: dvc: ") and len(unknown.stderr.splitlines()) == 1
    )
    twice = repro(project, "--gpus", "0,0")
    assert twice.stderr == "error: --gpus 0,0: must be different GPUs, separated by commas, such as 0,2\n"


PLAN = Plan(
    ("a", "b", "c", "d"),
    {"a": frozenset(), "b": frozenset("a"), "c": frozenset("a"), "d": frozenset("bc")},
    frozenset("abcd"),
)


def test_a_stage_waits_for_all_behind_it() -> None:
    assert _next(PLAN, ["a", "b", "c", "d"], []) == "a"
    assert _next(PLAN, ["c", "d"], []) == "c"
    assert _next(PLAN, ["d"], []) == "d"


def test_what_most_waits_for_begins_first() -> None:
    needs = {"exam": "", "query": "", "assemble": "query", "train@1": "assemble", "score": "exam train@1"}
    split = {stage: frozenset(behind.split()) for stage, behind in needs.items()}
    plan = Plan(("exam", "query", "assemble", "train@1", "score"), split, frozenset(needs))
    assert [_work(plan, stage) for stage in plan.order] == [2, 13, 12, 11, 1]
    assert _next(plan, list(plan.order), []) == "query"
    assert _next(plan, ["exam", "train@1", "score"], []) == "train@1"
    assert _next(plan, ["exam", "score"], []) == "exam"


def test_new_stages_are_locked_in_the_order_of_a_plain_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lock = Path("dvc.lock")
    lock.write_text("schema: '2.0'\nstages:\n  d:\n    cmd: 4\n  b:\n    cmd: 2\n  a:\n    cmd: 1\n", encoding="utf-8")
    _put_in_order(["d"], ["a", "b", "c", "d"])
    assert lock.read_text() == "schema: '2.0'\nstages:\n  d:\n    cmd: 4\n  a:\n    cmd: 1\n  b:\n    cmd: 2\n"


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert gpu_names() == ["4", "5"] and gpu_names("7, GPU-1f") == ["7", "GPU-1f"]
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert gpu_names() == []
    for wrong in ("", "0,,1", "1,1"):
        with pytest.raises(ValueError, match=f"--gpus {wrong}: must be different GPUs"):
            gpu_names(wrong)
    deck = Deck(["0", "1"])
    dealt = [deck.deal() for _ in range(3)]
    deck.take_back(["1"])
    assert dealt == [("0",), ("1",), ("0",)] and deck.deal() == ("1",)
    assert deck.deal(3) == ("1", "0") and Deck([]).deal() == ()
    assert not environment_of(()) and environment_of(("1", "0")) == {"CUDA_VISIBLE_DEVICES": "1,0"}


def test_the_drivers_tool_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_names() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n[ $1 = --list-gpus ] && echo 'GPU 0: A' && echo 'GPU 1: B'\n", encoding="utf-8")
    tool.chmod(0o755)
    assert gpu_names() == ["0", "1"]
