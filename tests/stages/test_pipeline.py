"""The whole pipeline as its users run it: DVC in a clone of this repository, with a small world and a tiny student.

The tests share one clone and its results. What a test changes there it takes back.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clones import (
    RELEASE,
    ROOT,
    SMALL,
    Clone,
    copy_of_this,
    name,
    options,
    parsed,
    set_params,
    stages_run,
)
from tests.endpoint import running

pytestmark = pytest.mark.slow

STAGES = [
    "download",
    "query@signs",
    "query@care",
    "exam@signs",
    "exam@care",
    "assemble",
    "train@1",
    "train@2",
    "score",
    "report",
]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, str]:
    """A clone after `dvc repro`, its results committed, and what DVC printed."""
    clone = copy_of_this(tmp_path_factory.mktemp("clone"), SMALL)
    output = clone.dvc("repro")
    clone.commit("Results")
    return clone, output


@pytest.fixture
def clone(first_run: tuple[Clone, str]) -> Iterator[Clone]:
    yield first_run[0]
    first_run[0].take_back()


def test_repro_runs_every_stage_once_and_then_none(first_run: tuple[Clone, str]) -> None:
    clone, output = first_run
    assert sorted(stages_run(output)) == sorted(STAGES)
    assert not clone.git("status", "--porcelain")
    again = clone.dvc("repro")
    assert not stages_run(again) and "Data and pipelines are up to date." in again
    assert not clone.git("status", "--porcelain")


def test_what_has_run_before_comes_from_the_run_cache(clone: Clone) -> None:
    (clone.folder / "dvc.lock").unlink()
    output = clone.dvc("repro", "score")
    assert not stages_run(output)
    assert sorted(re.findall(r"Stage '(\S+)' is cached", output)) == sorted(set(STAGES) - {"report"})
    assert clone.git("status", "--porcelain", "--", "metrics") == ""


def test_dvc_draws_the_curves_and_none_of_the_counts(clone: Clone) -> None:
    clone.dvc("plots", "show")
    page = (clone.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    drawn = {f"metrics/{kind}/{seed}.tsv" for kind in ("loss", "valid") for seed in (1, 2)}
    assert set(re.findall(r"metrics/[\w/]+\.\w+", page)) == drawn


PAGE = "from tinyllm.cli.main import main; main(['page'])"


def test_the_page_is_made_anew_and_changes_nothing_that_is_kept(first_run: tuple[Clone, str]) -> None:
    clone, _ = first_run
    page, kept = clone.folder / "report/index.html", clone.folder / "report/page.json"
    before = kept.read_bytes()
    page.write_text("of another day", encoding="utf-8")
    assert "Data and pipelines are up to date." in clone.dvc("status")
    assert "without a control" in clone.run(sys.executable, "-c", PAGE)
    head = clone.git("rev-parse", "--short", "HEAD").strip()
    assert f"commit {head}</p>" in page.read_text(encoding="utf-8") and kept.read_bytes() == before
    assert "Data and pipelines are up to date." in clone.dvc("status") and not clone.git("status", "--porcelain")


def test_the_results_are_what_the_readme_says_they_are(first_run: tuple[Clone, str]) -> None:
    clone, _ = first_run
    score = clone.json("metrics/score.json")
    assert (score["questions"], score["seeds"], score["chance"]) == (32, 2, 0.25)
    assert 0 <= score["accuracy_low"] <= score["accuracy"] <= score["accuracy_high"] <= 1
    predictions = (clone.folder / "data/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in predictions]
    assert [row["seed"] for row in rows] == [1] * 32 + [2] * 32
    assert round(sum(row["choice"] == row["gold"] for row in rows) / 64, 4) == score["accuracy"]
    looks = (clone.folder / "metrics/valid/2.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[0] for row in looks] == ["step", "6", "12"]
    best = [clone.json(f"metrics/train/{seed}.json")["valid_accuracy"] for seed in (1, 2)]
    assert best[1] == max(float(row.split("\t")[1]) for row in looks[1:])
    assert score["valid_accuracy"] == round(sum(best) / 2, 4)
    curve = (clone.folder / "metrics/loss/2.tsv").read_text(encoding="utf-8").splitlines()
    assert curve[0] == "step\ttask\tloss" and {row.split("\t")[1] for row in curve[1:]} == {"answer", "signs", "care"}


def fresh_clone(of: Clone, folder: Path) -> Clone:
    """A clone that has what is committed, and nothing of the other's cache."""
    of.git("clone", "--quiet", str(of.folder), str(folder))
    fresh = Clone(folder)
    name(fresh)
    return fresh


def test_a_fresh_clone_prepares_the_same_bytes(first_run: tuple[Clone, str], tmp_path: Path) -> None:
    fresh = fresh_clone(first_run[0], tmp_path / "fresh")
    output = fresh.dvc("repro", "assemble")
    assert sorted(stages_run(output)) == ["assemble", "download", "query@care", "query@signs"]
    assert not fresh.git("status", "--porcelain")  # metrics, and the hashes in dvc.lock


@pytest.mark.nightly
def test_a_fresh_clone_gives_the_same_bytes(first_run: tuple[Clone, str], tmp_path: Path) -> None:
    clone, fresh = first_run[0], fresh_clone(first_run[0], tmp_path / "fresh")
    assert sorted(stages_run(fresh.dvc("repro"))) == sorted(STAGES)  # nothing came from the other clone's cache
    assert not fresh.git("status", "--porcelain")  # metrics, loss curves and the hashes of everything in dvc.lock
    for seed in (1, 2):
        weights = f"models/student/{seed}/model.safetensors"
        assert (fresh.folder / weights).read_bytes() == (clone.folder / weights).read_bytes()


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("loss.alpha=0.1", ["train@1", "train@2", "score", "report"]),
        # download is in the plan, for it fetches what named teachers recorded; this plan forces all that follows from it
        (
            "corpus.teachers=[signs]",
            ["download", "query@signs", "exam@signs", "assemble", "train@1", "train@2", "score", "report"],
        ),
        ("train.seeds=[1,3]", ["train@3", "score", "report"]),
        ("prompt.seed=2", ["query@signs", "query@care", "exam@signs", "exam@care", "assemble", *STAGES[-4:]]),
    ],
)
def test_a_change_runs_what_depends_on_it_and_no_more(clone: Clone, override: str, stages: list[str]) -> None:
    set_params(clone.folder, parsed([override]))
    plan = clone.dvc("repro", "--dry", "--force-downstream")
    assert sorted(stages_run(plan)) == sorted(stages)


@pytest.mark.nightly
def test_another_alpha_trains_and_scores_and_asks_no_teacher(clone: Clone) -> None:
    output = clone.dvc("exp", "run", "-S", "loss.alpha=0.1")
    assert stages_run(output) == ["train@1", "train@2", "score", "report"]
    assert_accuracy_is_compared(clone)


@pytest.mark.nightly
def test_dropping_a_teacher_asks_none(clone: Clone) -> None:
    output = clone.dvc("exp", "run", "-S", "corpus.teachers=[signs]")
    assert stages_run(output) == ["download", "assemble", "train@1", "train@2", "score", "report"]
    assert list(clone.json("metrics/corpus.json")["teachers"]) == ["signs"]
    assert_accuracy_is_compared(clone)


def test_an_experiment_with_one_teacher_and_seed_is_compared_with_the_run(clone: Clone) -> None:
    output = clone.dvc("exp", "run", *options(["corpus.teachers=[signs]", "train.seeds=[1]"]), "score")
    assert stages_run(output) == ["download", "assemble", "train@1", "score"]
    assert list(clone.json("metrics/corpus.json")["teachers"]) == ["signs"]
    assert_accuracy_is_compared(clone)
    assert_the_tables_fit_a_screen(clone)


TABLE = "dvc exp show --only-changed --drop '.*/' --keep accuracy"  # as docs/experiments.md has it


def assert_the_tables_fit_a_screen(clone: Clone) -> None:
    """The command of the docs shows what two runs differ in, and each run's accuracy; not the 300 values that are the same."""
    assert TABLE in (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    table = csv.DictReader(clone.dvc(*shlex.split(TABLE)[1:], "--csv").splitlines())
    columns = set(table.fieldnames or ())
    assert {"Experiment", "accuracy", "corpus.teachers", "train.seeds"} <= columns and len(columns) < 40, columns
    assert not [name for name in columns if "/" in name or name.startswith("teachers.")]
    assert list(json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]) == ["metrics/score.json"]


def test_the_student_is_an_artifact_that_gto_registers_and_dvc_gets(
    first_run: tuple[Clone, str], tmp_path: Path
) -> None:
    clone, _ = first_run
    clone.run("gto", "register", "student", "--version", "v0.1.0")
    try:
        got = tmp_path / "got"
        clone.dvc("artifacts", "get", str(clone.folder), "student", "--rev", "v0.1.0", "--out", str(got))
    finally:
        clone.git("tag", "--delete", "student@v0.1.0")
    student = clone.folder / "models/student/1"
    assert {path.name: path.read_bytes() for path in got.iterdir()} == {
        path.name: path.read_bytes() for path in student.iterdir()
    }
    assert (got / "model.safetensors").is_file()


def assert_accuracy_is_compared(clone: Clone) -> None:
    table = clone.dvc("metrics", "diff", "--all", "--md")  # all: that of so small a student may well be the same
    assert re.search(r"^\| metrics/score.json\s+\| accuracy\s+\|", table, re.MULTILINE), table


@pytest.mark.nightly
def test_queued_experiments_run_the_same_stages(clone: Clone) -> None:
    """Each runs in a temporary folder that holds what is committed and cached, and nothing else."""
    expected = {
        "weight": ("loss.alpha=0.2", ["train@1", "score", "report"]),
        "none": ("corpus.teachers=[]", ["download", "assemble", "train@1", "score", "report"]),
    }
    for experiment, (change, _) in expected.items():
        clone.dvc("exp", "run", "--queue", "--name", experiment, "-S", change, "-S", "train.seeds=[1]")
    clone.dvc("queue", "start")
    try:
        deadline = time.monotonic() + 300
        while re.search(r"\b(Queued|Running)\b", status := clone.dvc("queue", "status")):
            assert time.monotonic() < deadline, status
            time.sleep(2)
    finally:
        clone.dvc("queue", "stop", "--kill")
    for experiment, (_, stages) in expected.items():
        log = clone.dvc("queue", "logs", experiment)
        assert re.search(rf"\b{experiment}\b.*\bSuccess\b", status), f"{status}\n{log}"
        assert stages_run(log) == stages
    assert not clone.git("status", "--porcelain")


@pytest.mark.parametrize("target", ["assemble", pytest.param("report", marks=pytest.mark.nightly)])
def test_a_fresh_clone_runs_without_any_teacher(first_run: tuple[Clone, str], tmp_path: Path, target: str) -> None:
    fresh = fresh_clone(first_run[0], tmp_path / "fresh")
    output = fresh.dvc("exp", "run", *options(["corpus.teachers=[]", "train.seeds=[1]"]), target)
    whole = ["download", "assemble", "train@1", "score", "report"]
    assert stages_run(output) == whole[: whole.index(target) + 1]
    assert fresh.json("metrics/corpus.json")["rows"] == {"train": 48, "valid": 16}
    if target == "report":
        assert fresh.json("metrics/score.json")["seeds"] == 1


@pytest.mark.nightly
def test_the_example_of_an_own_set_runs_to_its_page(clone: Clone) -> None:
    change = ["data.dataset=jsonl", "corpus.teachers=[concise,careful]", "train.seeds=[1]"]
    output = clone.dvc("exp", "run", *options(change))
    asked = [f"{stage}@{teacher}" for stage in ("query", "exam") for teacher in ("concise", "careful")]
    whole = {"download", *asked, "assemble", "train@1", "score", "report"}
    assert set(stages_run(output)) == whole
    assert clone.json("metrics/questions.json")["train_whole"] == 24
    assert list(clone.json("metrics/corpus.json")["teachers"]) == ["concise", "careful"]
    assert clone.json("metrics/score.json")["questions"] == 8
    assert clone.json("metrics/exam/concise.json") == {"examined": False}  # it was only ever asked for rationales


ENDPOINT = ["data.dataset=jsonl", "corpus.teachers=[endpoint]", "train.seeds=[1]", "teachers.endpoint.model=toy"]


@pytest.mark.nightly
def test_a_killed_experiment_in_a_temporary_folder_pays_for_no_answer_twice(clone: Clone, tmp_path: Path) -> None:
    """Killed while it asks a server; the cache lies in the original folder, so the next try, wherever it runs, finds it."""
    with running("--latency", "0.3") as server:
        overrides = options([*ENDPOINT, f"teachers.endpoint.url={server.url}", "runtime.concurrency=2"])
        command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", *overrides, "query@endpoint"]
        killed = subprocess.Popen(command, cwd=clone.folder, env=clone.environment, start_new_session=True)
        try:
            deadline = time.monotonic() + 120
            while len(server.get("count")["seen"]) < 10:
                assert killed.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait()
        before = server.get("count")["seen"]
        for lock in (clone.folder / ".dvc/tmp").rglob("*lock"):  # of the killed DVC
            lock.unlink()
        clone.dvc("exp", "run", *overrides, "query@endpoint")
        after = server.get("count")["seen"]
        assert sum(after[prompt] - times for prompt, times in before.items()) <= 2  # those under way
        assert set(after.values()) <= {1, 2}
        assert clone.json("metrics/query/endpoint.json")["ok"] == 32
        clone.dvc("exp", "run", "--temp", "--force", *overrides, "query@endpoint")
        assert server.get("count")["seen"] == after  # every answer came from the cache


@pytest.mark.nightly
@pytest.mark.skipif(
    not RELEASE.is_dir(), reason="the authors' release is not here; TINYLLM_TEST_RELEASE names its folder"
)
def test_openbookqa_with_both_recorded_teachers_runs_to_its_score(clone: Clone, tmp_path: Path) -> None:
    change = [
        "data.dataset=obqa",
        "corpus.teachers=[flan_t5_xl,llama2_chat_7b]",
        "data.take={train:64,valid:50,test:100}",
        "train.seeds=[1]",
        "train.epochs=1",
    ]
    place = {"TINYLLM_MIRROR": RELEASE.resolve().as_uri(), "TINYLLM_DATA_CACHE": str(tmp_path)}
    output = clone.dvc("exp", "run", *options(change), "score", **place)
    assert "OpenBookQA: Apache-2.0" in output
    assert "train@1" in stages_run(output) and "score" in stages_run(output)
    counts = clone.json("metrics/questions.json")
    assert {name: counts[name] for name in ("train", "valid", "test")} == {"train": 64, "valid": 50, "test": 100}
    assert {name: counts[f"{name}_whole"] for name in ("train", "valid", "test")} == {
        "train": 4957,
        "valid": 500,
        "test": 500,
    }
    assert counts["test_in_train"] == 23
    assert clone.json("metrics/train/1.json")["questions"] == 64
    assert clone.json("metrics/score.json")["questions"] == 100
