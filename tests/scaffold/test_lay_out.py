"""`tinyllm init`: a project whole or not at all, from the repository's own files; and the upgrade of one."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.dvc_project import git
from tests.processes import hear_interrupts
from tinyllm.cli.main import main
from tinyllm.provenance.installed import code_digest, package_version, template_files, version_fault
from tinyllm.scaffold.pipeline import project_pipeline

ROOT = Path(__file__).resolve().parents[2]
OWN = str(ROOT / "examples/own")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "T")
        monkeypatch.setenv(f"{name}_EMAIL", "t@example.org")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> None:
    main(["init", *arguments])


def refuse(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        init(*arguments)
    return str(stop.value.code)


def test_a_project_is_made_of_the_repositorys_own_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("task", "--questions", OWN)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "questions  train 24, valid 8, test 8",
        "teachers   careful, concise",
        "git        a new repository, with all of it committed",
    ]
    assert git(here / "task", "status", "--porcelain") == ""
    committed = set(git(here / "task", "ls-files").splitlines())
    own = [name for name in template_files(ROOT) if name not in ("dvc.yaml", "params.yaml")]
    assert {"stages/train.py", ".dvc/config", ".gitignore", "data/rationales/.gitkeep"} <= set(own)
    assert all((here / "task" / name).read_bytes() == (ROOT / name).read_bytes() for name in own)
    assert (here / "task/dvc.yaml").read_text("utf-8") == project_pipeline((ROOT / "dvc.yaml").read_text("utf-8"))
    questions = {f"questions/{path.relative_to(OWN).as_posix()}" for path in Path(OWN).rglob("*.jsonl")}
    rest = {"dvc.yaml", "params.yaml", "tinyllm.version", "metrics/exam/.gitkeep"}
    assert committed == {*own, *questions, *rest}
    assert os.listdir(here) == ["task"]


def test_the_data_stages_run_in_a_project_and_check_passes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    init("task", "--questions", OWN, "--teacher", "concise")
    monkeypatch.chdir(here / "task")
    main(["check"])
    for stage in ("download", "query concise", "exam concise", "assemble"):
        name, *rest = stage.split()
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *rest])
        runpy.run_path(f"stages/{name}.py", run_name="__main__")
    said = capsys.readouterr().out
    assert (
        "rationales of concise 32" in said
        and len(Path("data/corpus/train.jsonl").read_text("utf-8").splitlines()) == 24
    )
    assert git(here / "task", "status", "--porcelain", "--", "data", "questions", "stages") == ""


@pytest.mark.parametrize("place", ["task", "task/file", "."])
def test_a_place_that_is_taken_is_refused_and_nothing_changes(here: Path, place: str) -> None:
    (here / "task").mkdir()
    (here / "task/file").write_text("mine", encoding="utf-8")
    before = [(path, path.stat().st_mtime_ns) for path in sorted(here.rglob("*"))]
    assert refuse(place, "--questions", OWN).startswith(f"error: {place}: is ")
    assert [(path, path.stat().st_mtime_ns) for path in sorted(here.rglob("*"))] == before


def test_an_empty_folder_is_filled(here: Path) -> None:
    (here / "task").mkdir()
    init("task", "--questions", OWN)
    assert (here / "task/dvc.yaml").is_file() and os.listdir(here) == ["task"]


def test_inside_of_a_repository_there_is_no_second_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(here, "init", "-q")
    init("task", "--questions", OWN)
    assert not (here / "task/.git").exists()
    assert "inside of a repository that is there; commit the new folder" in capsys.readouterr().out
    assert git(here, "status", "--porcelain") == "?? task/"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task"], "tinyllm init FOLDER --questions PATH: --questions PATH is missing"),
        (["--questions", OWN], "tinyllm init FOLDER --questions PATH: FOLDER is missing"),
        (["--upgrade"], "tinyllm.version: no such file; run it in the folder of a project"),
        (["task", "--upgrade"], "--upgrade: takes nothing else"),
        (["task", "--questions", "gone.jsonl"], "gone.jsonl: no such file"),
        (["no/task", "--questions", OWN], "no: no such folder; make it first"),
        (["task", "--questions", OWN, "--teacher", "an"], "--teacher an: is unknown; allowed are NAME of params.yaml"),
        (["task", "--questions", OWN, "--teacher", "flan_t5_xl"], "--teacher flan_t5_xl: is recorded, but"),
        (["task", "--questions", OWN, "--teacher", "signs"], "corpus.teachers: signs "),
        (
            ["task", "--questions", OWN, "--teacher", "endpoint=local,m"],
            "--teacher endpoint=local,m: there is a teacher",
        ),
        (["task", "--questions", OWN, *["--teacher", "concise"] * 2], "--teacher concise: concise is given twice"),
    ],
)
def test_a_mistake_ends_in_one_line_and_makes_nothing(here: Path, arguments: list[str], said: str) -> None:
    told = refuse(*arguments)
    assert told.startswith(f"error: {said}") and "\n" not in told
    assert os.listdir(here) == []


def test_control_c_leaves_no_half_project(here: Path) -> None:
    commands = here / "bin"
    commands.mkdir()
    (commands / "git").write_text("#!/bin/sh\ntouch asked\nsleep 30\n", encoding="utf-8")
    (commands / "git").chmod(0o755)
    (here / "in").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyllm", "init", "task", "--questions", OWN],
        cwd=here / "in",
        env=os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 60
    while not list((here / "in").glob(".task.*.partial/asked")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert os.listdir(here / "in") == []


# --- upgrade ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def older(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that another version has made: other code, another stage, a key less."""
    init("task", "--questions", OWN)
    project = here / "task"
    monkeypatch.chdir(project)
    version = project / "tinyllm.version"
    text = version.read_text("utf-8")
    assert f"\ntinyllm-dvc {package_version()}\ncode {code_digest()}\n" in text
    version.write_text(text.replace(package_version(), "0.0.1").replace(code_digest(), "0" * 16), encoding="utf-8")
    (project / "stages/score.py").write_text("# older\n", encoding="utf-8")
    params = (project / "params.yaml").read_text("utf-8")
    (line,) = [line for line in params.splitlines(keepends=True) if line.startswith("  control:")]
    (project / "params.yaml").write_text(params.replace(line, "").replace("epochs: 24", "epochs: 7"), encoding="utf-8")
    git(project, "commit", "-q", "-a", "-m", "older")
    return project


def test_another_version_stops_a_stage_and_check_in_one_line(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"tinyllm.version: the project is of tinyllm-dvc 0.0.1, and the code that is installed ({package_version()})"
    with pytest.raises(SystemExit) as stop:
        main(["check"])
    assert str(stop.value.code).startswith(f"error: {said}") and "\n" not in str(stop.value.code)
    monkeypatch.setattr(sys, "argv", ["download.py"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path("stages/download.py", run_name="__main__")
    assert str(stop.value.code).startswith(f"error: {said}")
    assert not Path("data/questions").exists()


def test_an_upgrade_takes_the_installed_version_over(older: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    init("--upgrade")
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "written: params.yaml, stages/score.py, tinyllm.version",
        "new in params.yaml: corpus.control",
    ]
    assert (older / "stages/score.py").read_bytes() == (ROOT / "stages/score.py").read_bytes()
    assert "epochs: 7" in (older / "params.yaml").read_text("utf-8") and version_fault(older) == ""
    changed = git(older, "diff", "--name-only", "HEAD").splitlines()
    assert changed == ["params.yaml", "stages/score.py", "tinyllm.version"]
    main(["check"])
    git(older, "commit", "-q", "-a", "-m", "newer")
    capsys.readouterr()
    init("--upgrade")
    assert capsys.readouterr().out == "nothing to do: the project is of the installed version\n"


def test_an_upgrade_overwrites_nothing_that_no_commit_has(older: Path) -> None:
    (older / "stages/score.py").write_text("# mine\n", encoding="utf-8")
    told = refuse("--upgrade")
    assert told == "error: stages/score.py: changed and not committed, and would be written anew; commit it first"
    assert (older / "stages/score.py").read_text("utf-8") == "# mine\n" and version_fault(older)


# --- the package that pip installs -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_built_package_makes_the_same_project_as_a_clone(here: Path) -> None:
    """What pip puts into an environment is `build_lib`: all of it is looked at, and the command is run from it."""
    built = here / "built"
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(here / "base"), "--build-lib", str(built)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(built) == ["tinyllm"], "no second package, such as stages"
    assert code_digest(built / "tinyllm") == code_digest(), "no file of a room is missing in the package"
    command = [sys.executable, "-m", "tinyllm", "init", "packed", "--questions", OWN]
    subprocess.run(command, cwd=here, env=os.environ | {"PYTHONPATH": str(built)}, check=True, capture_output=True)
    init("cloned", "--questions", OWN)
    names = git(here / "cloned", "ls-files").splitlines()
    assert git(here / "packed", "ls-files").splitlines() == names
    names.remove("tinyllm.version")  # pip does not know what was built and not installed
    assert all((here / "packed" / name).read_bytes() == (here / "cloned" / name).read_bytes() for name in names)
    assert version_fault(here / "packed") == ""
