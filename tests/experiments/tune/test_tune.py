"""`tinyllm tune`: its rounds on results that are there, the table that it writes, what it refuses, and a run that is killed."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.dvc_project import git
from tests.processes import hear_interrupts
from tinyllm.cli.experiments.tune import add_parser
from tinyllm.experiments.grid import Cell, read_table
from tinyllm.experiments.results.found import find_all
from tinyllm.experiments.results.kept import digest_of, path_of, used_values, write_kept
from tinyllm.experiments.tune.plan import Arm, Plan, distinct, read_plan
from tinyllm.experiments.tune.tuned_file import at_an_edge

ROOT = Path(__file__).resolve().parents[3]
FILE = Path("toy.yaml")
TABLE = """\
# A toy.
title: A toy
overrides: {runtime.device: cpu, train.seeds: [1, 2]}
columns_are: fixed
columns:
  world: {data.seed: 5}
control: answers
rows:
  answers: {loss.alpha: 0.0}  # none of a teacher's
  both:
    # of two teachers
    corpus.selection: best
tune:
  candidates:
    train.learning_rate: [5.0e-4, 1.0e-3]
    loss.alpha: [1.0, 2.0]
  seeds: [101, 102, 103, 104]
  take: {data.take.train: 50}
  rows:
    answers:
      train.learning_rate: [5.0e-4, 1.0e-3]
"""
# What is right on valid of 40 questions: by learning rate, by loss.alpha, by seed
RATES, ALPHAS, SEEDS = (
    {0.0005: 10, 0.001: 14, 0.002: 12},
    {0.0: 0, 1.0: 6, 2.0: 3, 6.0: 1},
    {101: 0, 102: 2, 103: 1, 104: 3},
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("DVC_ROOT", "TINYLLM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    FILE.write_text(TABLE, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Start")
    return folder


def tuned(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["tune", "toy.yaml", *options])
    given.run(given)
    return capsys.readouterr().out.splitlines()


def refusal(text: str, *options: str) -> list[str]:
    FILE.write_text(text, encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["tune", "toy.yaml", *options])
    with pytest.raises(ValueError) as caught:
        given.run(given)
    return str(caught.value).splitlines()


def accuracy_of(cell: Cell) -> float:
    params = cell.params
    (seed,) = params.train.seeds
    return (RATES[params.train.learning_rate] + ALPHAS[params.loss.alpha] + SEEDS[seed]) / 40


def train(cell: Cell) -> None:
    """Leave the result of a training, as another machine's run would."""
    (seed,) = cell.params.train.seeds
    values = used_values(cell)
    write_kept(
        path_of(cell, FILE),
        {
            "experiment": cell.name,
            "cell": cell.title,
            "target": "train",
            "commit": git(Path(), "rev-parse", "HEAD"),
            "overrides": dict(cell.overrides),
            "params": {"digest": digest_of(values), "values": values},
            "metrics": {},
            "valid": {str(seed): {"accuracy": accuracy_of(cell), "best_epoch": 3}},
            "test": None,
            "seconds": None,
        },
    )


def wanted(plan: Plan) -> dict[str, list[Cell]]:
    """The trainings that the rounds of each row lack now."""
    results, _ = find_all(plan.cells, FILE)
    found = {}
    for arm in plan.arms:
        trials = arm.state(plan.budget, plan.halving, results).missing
        cells = distinct(cell for trial in trials for cell in arm.cells[trial])
        found[arm.row] = [cell for cell in cells if cell.digest not in results]
    return found


def spend(plan: Plan) -> dict[str, list[list[Cell]]]:
    """Train all that is wanted, round by round; return each row's rounds."""
    rounds: dict[str, list[list[Cell]]] = {arm.row: [] for arm in plan.arms}
    while any(now := wanted(plan).values()):
        for row, cells in zip(rounds, now, strict=True):
            rounds[row] += [cells] if cells else []
            for cell in cells:
                train(cell)
    return rounds


def settings(cell: Cell) -> tuple[float, float, int]:
    return cell.params.train.learning_rate, cell.params.loss.alpha, cell.params.train.seeds[0]


# --- choosing -------------------------------------------------------------------------------------------------------


def test_every_row_is_trained_as_often_on_candidates_of_its_own(project: Path) -> None:
    plan = read_plan(FILE)
    assert (plan.budget, plan.columns) == (6, 1)
    rounds = spend(plan)
    assert [[settings(cell) for cell in cells] for cells in rounds["both"]] == [
        [(0.0005, 1.0, 101), (0.0005, 2.0, 101), (0.001, 1.0, 101), (0.001, 2.0, 101)],
        [(0.001, 1.0, 102), (0.001, 2.0, 102)],
    ]
    assert [
        [settings(cell) for cell in cells] for cells in rounds["answers"]
    ] == [  # two candidates: three seeds a round
        [(0.0005, 0.0, seed) if rate == 0 else (0.001, 0.0, seed) for seed in (101, 102, 103) for rate in (0, 1)]
    ]
    assert [sum(map(len, rounds[row])) for row in ("answers", "both")] == [6, 6]
    every = [cell for row in rounds.values() for cells in row for cell in cells]
    assert {cell.target for cell in every} == {"train"} and {cell.params.data.take.train for cell in every} == {50}
    assert {cell.params.corpus.selection for cells in rounds["both"] for cell in cells} == {"best"}


def test_several_columns_are_one_choice_by_their_mean(project: Path) -> None:
    text = TABLE.replace("  world: {data.seed: 5}\n", "  world: {data.seed: 5}\n  other: {data.seed: 6}\n")
    FILE.write_text(text, encoding="utf-8")
    plan = read_plan(FILE)
    assert plan.columns == 2
    first = wanted(plan)["both"]
    assert len(first) == 8  # four candidates in two columns
    for cell in first[:-1]:
        train(cell)
    assert [cell.title for cell in wanted(plan)["both"]] == [first[-1].title]
    train(first[-1])
    assert {cell.params.data.seed for cell in wanted(plan)["both"]} == {5, 6}


def test_the_state_says_what_comes_next_and_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tuned(capsys) == [
        "answers: round 1, 0 of 6 trainings are there",
        "both: round 1, 0 of 4 trainings are there",
        "10 trainings come next; `tinyllm tune toy.yaml --run` runs them, and those after them",
    ]
    for cell in wanted(read_plan(FILE))["both"][:3]:
        train(cell)
    assert tuned(capsys)[1] == "both: round 1, 3 of 4 trainings are there"
    spend(read_plan(FILE))
    # 14 + 0, + 2 and + 1 of 40 are a mean of 37.5; 14 + 6, and + 2, of 52.5
    assert tuned(capsys) == [
        "answers: train.learning_rate 0.001: 37.5% on valid (seeds 101, 102, 103), the best of 2 candidates by 6 trainings; "
        "fewer candidates than another row's 4, so more seeds each",
        "both: train.learning_rate 0.001, loss.alpha 1.0: 52.5% on valid (seeds 101, 102), the best of 4 candidates by "
        "6 trainings",
        "all is chosen; `tinyllm tune toy.yaml --run` writes the table",
    ]
    assert not Path("toy.tuned.yaml").exists()


@pytest.mark.parametrize(
    ("tried", "chosen", "told"),
    [
        ([0.001, 0.002, 0.004], 0, "; train.learning_rate 0.001 is the least that was tried"),
        ([0.004, 0.001, 0.002], 0, "; train.learning_rate 0.004 is the most that was tried"),
        ([0.001, 0.002, 0.004], 1, ""),
        ([0.001, 0.002], 0, ""),  # of two, each is at an edge
        ([False, True, None], 0, ""),
        ([["signs"], ["care"], []], 2, ""),
    ],
)
def test_a_choice_at_the_edge_of_what_was_tried_is_told(tried: list[object], chosen: int, told: str) -> None:
    candidates = tuple({"train.learning_rate": value, "loss.alpha": 1.0} for value in tried)
    assert at_an_edge(Arm("a row", candidates, {}), chosen) == told


# --- the table ------------------------------------------------------------------------------------------------------

TUNED = """\
# Written by `tinyllm tune toy.yaml`, which chose the settings of every row on valid; test was not looked at.
# Budget: 6 trainings of each row, by successive halving (1 in 2).
# A toy.
title: A toy
overrides: {runtime.device: cpu, train.seeds: [1, 2]}
columns_are: fixed
columns:
  world: {data.seed: 5}
control: answers
rows:
  # 37.5% on valid (seeds 101, 102, 103), the best of 2 candidates by 6 trainings: train.learning_rate 0.001
  answers: {loss.alpha: 0.0, train.learning_rate: 1.0e-3} # none of a teacher's
  # 52.5% on valid (seeds 101, 102), the best of 4 candidates by 6 trainings: train.learning_rate 0.001, loss.alpha 1.0
  both:
    # of two teachers
    corpus.selection: best
    train.learning_rate: 1.0e-3
    loss.alpha: 1.0
"""


def test_the_table_has_what_was_chosen_and_a_sweep_reads_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spend(read_plan(FILE))
    said = tuned(capsys, "--run")
    assert said[-1] == "toy.tuned.yaml is written; `tinyllm sweep toy.tuned.yaml --run` runs it"
    path = Path("toy.tuned.yaml")
    assert path.read_text(encoding="utf-8") == TUNED
    cells = read_table(path).cells
    assert cells["", "both", "world"].overrides == {
        "corpus.selection": "best",
        "data.seed": 5,
        "loss.alpha": 1.0,
        "runtime.device": "cpu",
        "train.learning_rate": 0.001,
        "train.seeds": [1, 2],
    }
    assert cells["", "answers", "world"].params.data.take.train is None
    assert tuned(capsys, "--run")[-1] == "toy.tuned.yaml is as it was"


def test_another_choice_is_not_overwritten_without_force(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spend(read_plan(FILE))
    path = Path("toy.tuned.yaml")
    edited = TUNED.replace("# of two teachers", "# as in the paper")
    path.write_text(edited, encoding="utf-8")
    assert tuned(capsys, "--run")[-1] == (
        "toy.tuned.yaml has the same choice and other text, and stays as it is; --force writes it anew"
    )
    assert path.read_text(encoding="utf-8") == edited
    other = TUNED.replace("loss.alpha: 1.0\n", "loss.alpha: 2.0\n")
    path.write_text(other, encoding="utf-8")
    told = "toy.tuned.yaml: has another choice: both has 2.0 for loss.alpha, and 1.0 is chosen now"
    assert refusal(TABLE, "--run") == [f"{told}; --force writes it anew, else move it away"]
    assert path.read_text(encoding="utf-8") == other
    tuned(capsys, "--run", "--force")
    assert path.read_text(encoding="utf-8") == TUNED


def test_a_row_that_shares_its_overrides_gets_settings_of_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TABLE.replace(
        "  both:\n    # of two teachers\n    corpus.selection: best\n", "  both: &both {}\n  more: *both\n"
    )
    own = "    answers: {}\n    more: {train.epochs: [1, 2]}\n"
    FILE.write_text(text.partition("    answers:")[0] + own, encoding="utf-8")
    spend(read_plan(FILE))
    assert (
        tuned(capsys, "--run")[0] == "answers: as it is: one candidate, so nothing was chosen and nothing was trained"
    )
    cells = read_table(Path("toy.tuned.yaml")).cells
    assert cells["", "both", "world"].params.loss.alpha == 1.0
    assert "loss.alpha" not in cells["", "more", "world"].overrides
    assert cells["", "more", "world"].overrides["train.epochs"] == 1  # a count, although 1.0 is among the numbers
    assert "\n    train.epochs: 1\n" in Path("toy.tuned.yaml").read_text(encoding="utf-8")
    assert cells["", "answers", "world"].overrides["loss.alpha"] == 0.0


# --- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    answers:\n      train.learning_rate: [5.0e-4, 1.0e-3]\n",
            "    both: {}\n",
            "toy.yaml:9: rows.answers.loss.alpha: is set here, and tune would choose it; leave it out, or give answers "
            "candidates of its own under tune.rows without it",
        ),
        (
            "corpus.selection: best",
            "corpus.teachers: []",
            "toy.yaml:10: rows.both: has no teachers, and loss.alpha makes no difference; give both candidates of its own "
            "under tune.rows without it",
        ),
        (
            "    answers:\n      ",
            "    anwsers:\n      ",
            "toy.yaml:20: tune.rows.anwsers: is no row of the table; the rows",
        ),
        (
            "[101, 102",
            "[2, 102",
            "toy.yaml:17: tune.seeds: 2 is of the table, too; what a seed has chosen must not be ",
        ),
        ("[101, 102", "[102, 102", "toy.yaml:17: tune.seeds: a seed stands twice; seeds must differ"),
        ("[101, 102, 103, 104]", "[]", "toy.yaml:17: tune.seeds: found []; allowed is a list of at least 1 item"),
        (
            "[1.0, 2.0]",
            "[1.0, 1.0]",
            "toy.yaml:16: tune.candidates.loss.alpha: 1.0 stands 2 times; candidates must differ",
        ),
        (
            "[1.0, 2.0]",
            "[1.0, -2.0]",
            "toy.yaml:16: tune.candidates.loss.alpha: found -2.0; allowed is greater than or ",
        ),
        ("[1.0, 2.0]", "2.0", "toy.yaml:16: tune.candidates.loss.alpha: found 2.0; allowed is a valid list"),
        ("loss.alpha: [1", "loss.alpa: [1", "toy.yaml:16: tune.candidates.loss.alpa: unknown key; did you mean alpha?"),
        (
            "data.take.train",
            "data.take.test",
            "toy.yaml:18: tune.take.data.take.test: found 50; allowed are data.take.",
        ),
        (
            "  seeds:",
            "  halving: 1\n  seeds:",
            "toy.yaml:17: tune.halving: found 1; allowed is greater than or equal to 2",
        ),
        ("  candidates:", "  candidate:", "toy.yaml:14: tune.candidate: unknown key; did you mean candidates?"),
        (
            "  seeds:",
            "  budget: 3\n  seeds:",
            "toy.yaml: budget 3, but both has 4 candidates, each of which is trained at",
        ),
        (
            "[101, 102, 103, 104]",
            "[101, 102]",
            "toy.yaml: tune.seeds has 2, but answers spends its budget of 6 trainings on 2 candidates with 3 seeds; name as "
            "many, and write budget: 6 there so that it stays",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(project: Path, old: str, new: str, told: str) -> None:
    assert TABLE.count(old) == 1
    found = refusal(TABLE.replace(old, new))
    assert [line for line in found if line.startswith(told)], found


def test_a_table_without_candidates_is_told_what_it_lacks(project: Path) -> None:
    (line,) = refusal(TABLE.partition("tune:")[0])
    assert line == "toy.yaml: has no section tune, which names the candidates; see docs/experiments.md"


def test_the_command_lines_budget_goes_before_the_files(project: Path) -> None:
    assert read_plan(FILE, 8).budget == 8
    assert refusal(TABLE, "--budget", "3")[0].startswith("toy.yaml: budget 3, but both has 4 candidates")


def test_what_training_needs_never_reads_test() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    stages = {name: stage.get("do", stage) for name, stage in stages.items()}
    made = {name: {out if isinstance(out, str) else next(iter(out)) for out in stages[name]["outs"]} for name in stages}
    needed, waiting = set(), ["train"]
    while waiting:
        needed.add(name := waiting.pop())
        for other in stages.keys() - needed:
            outs = {out.split("${")[0].rstrip("/") for out in made[other]}
            if any(
                dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")
                for dep in stages[name]["deps"]
                for out in outs
            ):
                waiting.append(other)
    assert needed == {"download", "query", "assemble", "train"}
    assert not [dep for name in needed for dep in stages[name]["deps"] if "test" in dep or "exam" in dep]


# --- through DVC ----------------------------------------------------------------------------------------------------

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
    - data/corpus
  train:
    foreach: ${train.seeds}
    do:
      cmd: python make.py train ${item}
      deps:
      - data/corpus
      params:
      - train.learning_rate
      - loss.alpha
      outs:
      - models/student/${item}
      metrics:
      - metrics/train/${item}.json:
          cache: false
  score:
    cmd: python make.py score
    deps:
    - data/questions/test.jsonl
    - models/student
    outs:
    - data/predictions.jsonl
    metrics:
    - metrics/score.json:
        cache: false
"""
MAKE = """\
import json, os, pathlib, re, subprocess, sys
diary = pathlib.Path(os.environ["TOY_DIARY"])
text = pathlib.Path("params.yaml").read_text()
def number(section, key):
    return float(re.search(rf"\\n  {key}: (\\S+)", text.partition(f"\\n{section}:")[2])[1])
def note(line):
    with open(diary, "a") as file:
        print(line, file=file)
stage, item = sys.argv[1], (sys.argv[2:] or [""])[0]
if stage == "download":
    for name in ("data/questions", "data/corpus"):
        pathlib.Path(name).mkdir(parents=True, exist_ok=True)
    pathlib.Path("data/questions/test.jsonl").write_text("{}\\n")
    pathlib.Path("data/corpus/train.jsonl").write_text("{}\\n")
elif stage == "train":
    rate, alpha = number("train", "learning_rate"), number("loss", "alpha")
    if item == "102" and not diary.with_name("go").exists():
        note(f"sleeping {os.getpid()}")
        os.execvp("sleep", ["sleep", "300"])
    note(f"train {rate} {alpha} {item}")
    right = {0.0005: 10, 0.001: 14}[rate] + {0.0: 0, 1.0: 6, 2.0: 3}[alpha] + {"101": 0, "102": 2}[item]
    for name in (f"models/student/{item}", "metrics/train"):
        pathlib.Path(name).mkdir(parents=True, exist_ok=True)
    pathlib.Path(f"models/student/{item}/model.safetensors").write_text(f"weights of {rate} {alpha} {item}")
    pathlib.Path(f"models/student/{item}/config.json").write_text("{}")
    metrics = {"valid_accuracy": right / 40, "best_epoch": 3}
    pathlib.Path(f"metrics/train/{item}.json").write_text(json.dumps(metrics))
else:
    note("score")
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from tinyllm.cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=hear_interrupts,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped_and_no_stage_behind_training_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = tmp_path / "diary"
    monkeypatch.setenv("TOY_DIARY", str(diary))
    (project / ".dvc").mkdir()
    stale = {"metrics/score.json": '{"accuracy": 0.99}\n', "metrics/train/1.json": '{"valid_accuracy": 0.99}\n'}
    files = {
        ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n",
        ".gitignore": "/data\n/models\n/.cache\n/.dvc/tmp\n/.dvc/cache\n/.dvc/config.local\n",
        ".dvcignore": ".cache/\n",
        "dvc.yaml": PIPELINE,
        "make.py": MAKE,
        "toy.yaml": TABLE.partition("  both:")[0]
        + TABLE.partition("corpus.selection: best\n")[2].replace("103, 104", "103"),
    }
    for name, text in (files | stale).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "A pipeline")
    options = ("tune", "toy.yaml", "--run", "--jobs", "2", "--budget", "4")
    process = start(*options)
    deadline = time.monotonic() + 240
    while not diary.exists() or "sleeping" not in diary.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert not Path("toy.tuned.yaml").exists()
    before = sorted(Path("experiments/results/toy").iterdir())
    assert 1 <= len(before) <= 2
    (tmp_path / "go").touch()
    process = start(*options)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    notes = diary.read_text(encoding="utf-8").splitlines()
    trained = sorted(line for line in notes if line.startswith("train"))
    assert trained == [f"train {rate} 0.0 {seed}" for rate in (0.0005, 0.001) for seed in (101, 102)]
    assert "score" not in notes
    kept = [path.read_text(encoding="utf-8") for path in Path(".dvc/cache/files").rglob("*") if path.is_file()]
    assert "{}" in kept and not [text for text in kept if text.startswith("weights")]  # a student of 500 MB each
    assert (
        "answers: train.learning_rate 0.001: 37.5% on valid (seeds 101, 102), the best of 2 candidates by 4" in output
    )
    results = [json.loads(path.read_text(encoding="utf-8")) for path in Path("experiments/results/toy").iterdir()]
    assert sorted(next(iter(result["valid"].values()))["accuracy"] for result in results) == [0.25, 0.3, 0.35, 0.4]
    assert {(result["target"], result["test"], json.dumps(result["metrics"])) for result in results} == {
        ("train", None, "{}")
    }
    assert all(re.search("-[0-9a-f]{8}$", path.stem) for path in before)
    # nothing of it is taken for a run that was scored: each experiment had the score that was committed before
    assert not git(project, "for-each-ref", "refs/exps")
    table = start("sweep", "toy.yaml").communicate(timeout=60)[0]
    assert table.splitlines()[0] == "missing  answers, world", table
    assert "train.learning_rate: 1.0e-3" in Path("toy.tuned.yaml").read_text(encoding="utf-8")
