"""What is seen of a training while it runs: the curves' files, what trackers are told, the time left, and no other student."""

from __future__ import annotations

import csv
import json
import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerState

from tests.toys import toy_params, toy_questions, toy_rows
from tinyllm.params.trackers import check_trackers
from tinyllm.params.value_types import TRACKERS
from tinyllm.training import loss_curve as curve_module
from tinyllm.training import train as train_module
from tinyllm.training.live import trackers
from tinyllm.training.live.bar import looks_left
from tinyllm.training.live.curve_files import write_curves
from tinyllm.training.live.pace import Pace
from tinyllm.training.live.trackers import Tracker
from tinyllm.training.loss_curve import LossCurve
from tinyllm.training.resume import last_checkpoint
from tinyllm.training.train import Trained, train_student
from tinyllm.training.validation import Look

TRAIN, VALID = toy_questions(16, seed=1, split="train"), toy_questions(8, seed=2, split="valid")
ROWS = toy_rows(TRAIN, "ann", "bob")
LONG = {"train__epochs": 3, "train__schedule": "linear", "runtime__checkpoint_steps": 5}  # 12 steps, looks at 4, 8, 12


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def run(folder: Path, *report_to: str, show: Any = lambda rows, looks: None, **changes: Any) -> Trained:
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    params = toy_params(**LONG | changes, runtime__report_to=report_to)
    return train_student(params, 1, ROWS, VALID, work, cache=folder, show=show)


def weights(trained: Trained) -> dict[str, bytes]:
    return {name: weight.numpy().tobytes() for name, weight in trained.model.plain.state_dict().items()}


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training that reports to nobody."""
    return run(tmp_path_factory.mktemp("silent"))


def losses(trained: Trained) -> dict[str, list[tuple[int, float]]]:
    """The points of the loss curve by the name that a tracker is told; of so short a run each step is one."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in trained.curve:
        points.setdefault(f"loss/{row['task']}", []).append((row["step"], row["loss"]))
    return points


def check(told: dict[str, list[tuple[int, float]]], trained: Trained) -> None:
    """A tracker was told the curve, the rate of every step, the accuracy of every look, and the speed."""
    expected = losses(trained) | {
        "learning_rate": [(step, 0.01 * (13 - step) / 12) for step in range(1, 13)],
        "valid_accuracy": [(look.step, look.accuracy) for look in trained.looks],
    }
    assert [look.step for look in trained.looks] == [4, 8, 12]
    for name, points in expected.items():
        assert [step for step, _ in told[name]] == [step for step, _ in points], name
        assert [value for _, value in told[name]] == pytest.approx([value for _, value in points], rel=1e-5), name
    assert [step for step, _ in told["tokens_per_second"]] == list(range(1, 13))
    assert all(speed > 0 for _, speed in told["tokens_per_second"][1:])
    assert told.keys() == expected.keys() | {"tokens_per_second"}


@pytest.mark.slow
def test_dvclives_files_hold_the_run_and_the_student_is_the_same(tmp_path: Path, silent: Trained) -> None:
    pytest.importorskip("dvclive")
    trained = run(tmp_path, "dvclive")
    assert weights(trained) == weights(silent) and trained.curve == silent.curve
    folder = tmp_path / "live/dvclive/workspace/1"
    told = {}
    for path in (folder / "plots/metrics").rglob("*.tsv"):
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        name = path.relative_to(folder / "plots/metrics").with_suffix("").as_posix()
        told[name] = [(int(row["step"]), float(row[path.stem])) for row in rows]
    check(told, trained)
    assert json.loads((folder / "metrics.json").read_text())["valid_accuracy"] == trained.looks[-1].accuracy


@pytest.mark.slow
def test_tensorboards_file_holds_the_run_and_the_student_is_the_same(tmp_path: Path, silent: Trained) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained = run(tmp_path, "tensorboard")
    assert weights(trained) == weights(silent) and trained.curve == silent.curve
    events = EventAccumulator(str(tmp_path / "live/tensorboard/workspace/1"))
    events.Reload()
    check({name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}, trained)


@pytest.mark.slow
def test_trackios_database_holds_the_run_and_the_student_is_the_same(
    tmp_path: Path, silent: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", "")
    monkeypatch.delenv("TRACKIO_DIR")  # what the run sets is taken back
    if find_spec("trackio") is None:  # to import it here would fix its folder before the run does
        pytest.skip("trackio is not installed")
    trained = run(tmp_path, "trackio")
    assert weights(trained) == weights(silent) and trained.curve == silent.curve
    (path,) = (tmp_path / "live/trackio").glob("tinyllm.db")
    told: dict[str, list[tuple[int, float]]] = {}
    with closing(sqlite3.connect(path)) as database:
        for name, step, values in database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step, id"):
            assert name == "workspace-1"
            for key, value in json.loads(values).items():
                told.setdefault(key, []).append((step, value))
    check(told, trained)


class Recorder:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.runs: list[Any] = []
        self.closed = 0

    def open(self, run: Any) -> Tracker:
        self.runs.append(run)
        return Tracker(lambda step, values: self.told.append((step, dict(values))), self._close)

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(trackers.OPENED, "dvclive", recorder.open)
    return recorder


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_training_that_goes_on_goes_on_telling_and_loses_nothing_of_its_curves(
    tmp_path: Path, silent: Trained, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files: list[str] = []

    def show(rows: Sequence[dict], looks: Sequence[Look]) -> None:
        write_curves("1", rows, looks)
        files.append(Path("metrics/loss/1.tsv").read_text(encoding="utf-8"))
        if len(files) == 2:  # the look after step 8; the last checkpoint is that of step 5
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, "dvclive", show=show)
    assert last_checkpoint(tmp_path / "work") and not recorder.closed
    before = list(recorder.told)
    trained = run(tmp_path, "dvclive", show=show)
    assert weights(trained) == weights(silent) and trained.curve == silent.curve and trained.looks == silent.looks
    assert [(r.goes_on, r.name) for r in recorder.runs] == [(False, "workspace-1"), (True, "workspace-1")]
    assert recorder.closed == 1
    rows = [(step, values) for step, values in recorder.told if "learning_rate" in values]
    assert [step for step, _ in rows] == [*range(1, 9), *range(6, 13)]  # 6 to 8 were not in the checkpoint
    told = {step: {name: v for name, v in values.items() if name.startswith("loss/")} for step, values in rows}
    by_step: dict[int, dict[str, float]] = {}
    for name, points in losses(silent).items():
        for step, loss in points:
            by_step.setdefault(step, {})[name] = loss
    assert told == by_step
    again = [values | {"tokens_per_second": 0} for step, values in before if step in (6, 7, 8)]
    assert [v | {"tokens_per_second": 0} for s, v in recorder.told[len(before) :] if s in (6, 7, 8)][
        : len(again)
    ] == again
    lines = [text.splitlines()[1:] for text in files]  # after step 4, 8; from the checkpoint, after 8, and 12
    assert [text[-1].split("\t")[0] for text in lines] == ["4", "8", "5", "8", "12"]
    assert all(text == lines[-1][: len(text)] for text in lines)
    assert len(lines[-1]) == len(silent.curve)
    looks = "".join(f"{step}\t{accuracy:.4f}\n" for step, accuracy, *_ in silent.looks)
    assert Path("metrics/valid/1.tsv").read_text(encoding="utf-8") == f"step\taccuracy\n{looks}"


def test_a_long_run_is_told_once_a_point_of_its_curve(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_module, "CURVE_POINTS", 3)
    trained = run(tmp_path, "dvclive")
    told = [(step, values) for step, values in recorder.told if "learning_rate" in values]
    assert [step for step, _ in told] == [4, 8, 12]
    curve = {step: {f"loss/{r['task']}": r["loss"] for r in trained.curve if r["step"] == step} for step in (4, 8, 12)}
    assert {step: {n: v for n, v in values.items() if n.startswith("loss/")} for step, values in told} == curve


def test_a_run_has_the_name_of_its_experiment_and_its_params(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "weak")
    run(tmp_path, "dvclive", train__epochs=1)
    (opened,) = recorder.runs
    assert (opened.name, opened.folder) == ("weak-1", tmp_path / "live")
    shown = {"corpus.teachers": "ann, bob", "loss.alpha": 0.5, "train.epochs": 1, "student.scratch.width": 16}
    assert shown.items() <= opened.settings.items()
    assert all(isinstance(value, str | int | float | None) for value in opened.settings.values())


def test_what_an_earlier_training_has_left_is_none_of_the_next(tmp_path: Path) -> None:
    run_of = trackers.LiveRun(tmp_path, "workspace", 1, {}, goes_on=False)
    (run_of.place("tensorboard") / "old").touch()
    (tmp_path / "tensorboard/workspace/2").mkdir()
    goes_on = trackers.LiveRun(tmp_path, "workspace", 1, {}, goes_on=True)
    assert [path.name for path in goes_on.place("tensorboard").iterdir()] == ["old"]
    assert not list(run_of.place("tensorboard").iterdir()) and (tmp_path / "tensorboard/workspace/2").is_dir()


# --- the time left --------------------------------------------------------------------------------------------------


def test_steps_and_looks_are_timed_apart() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.seconds_left(10, 2) is None
    for _ in range(4):
        pace.begin()
        now[0] += 0.5
        pace.step(300)
    assert pace.seconds_left(10, 2) == 5.0  # no look is timed yet
    assert pace.tokens_per_second() == 600.0
    with pace.look():
        now[0] += 30.0
    now[0] += 1.0
    pace.step(300)
    assert pace.tokens_per_second() == 300.0
    assert pace.seconds_left(10, 2) == pytest.approx(10 * 3 / 5 + 2 * 30)
    assert pace.seconds_left(0, 0) == 0.0


@pytest.mark.parametrize(
    ("step", "most", "every", "left"),
    [
        (0, 12, 4, 3),
        (3, 12, 4, 3),
        (4, 12, 4, 2),
        (12, 12, 4, 0),
        (0, 13, 4, 4),
        (12, 13, 4, 1),
        (13, 13, 4, 0),
        (0, 3, 3, 1),
    ],
)
def test_a_look_is_every_so_many_steps_and_at_the_last(step: int, most: int, every: int, left: int) -> None:
    assert looks_left(TrainerState(global_step=step, max_steps=most, eval_steps=every)) == left


def test_the_plain_line_counts_looks_in_once_one_was_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class Slow(Pace):
        """Of steps that take a second, and looks that take a minute."""

        def __init__(self) -> None:
            super().__init__(lambda: now[0])

        def step(self, tokens: int) -> None:
            now[0] += 1
            super().step(tokens)

        @contextmanager
        def look(self) -> Iterator[None]:
            with super().look():
                yield
                now[0] += 60

    monkeypatch.setattr(train_module, "Pace", Slow)
    monkeypatch.setattr("tinyllm.console.EVERY", -1.0)
    run(tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert said[3] == "train: 3 of 12 steps (time left is without looks at valid), about 9 s left"
    assert said[5] == "train: 5 of 12 steps, about 127 s left"  # 7 steps and 2 looks
    assert said[-1] == "train: 12 of 12 steps, about 0 s left"


# --- the loss of the latest steps ----------------------------------------------------------------------------------


def test_the_mean_of_the_latest_steps_is_by_token_and_leaves_out_what_was_not_learnt() -> None:
    curve = LossCurve(["answer", "ann"])
    for step, sums, counts in [(1, [9.0, 4.0], [3.0, 4.0]), (2, [1.0, 0.0], [1.0, 0.0]), (3, [8.0, 0.0], [2.0, 0.0])]:
        curve.add(step, torch.tensor(sums), torch.tensor(counts))
    assert curve.mean(1) == {"answer": 3.0}
    assert curve.mean(0) == {"answer": 3.0, "ann": 1.0}
    assert curve.mean(2) == {"answer": 4.0}


# --- a package that is not there ------------------------------------------------------------------------------------


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.params.trackers.find_spec", lambda name: None if name == "wandb" else name)
    check_trackers(("dvclive", "trackio"))
    with pytest.raises(ValueError) as error:
        check_trackers(("dvclive", "wandb"))
    remedy = 'pip install -e ".[wandb]", or leave it out'
    assert str(error.value) == f"runtime.report_to: wandb, but that package is not installed; {remedy}"


def test_a_tracker_that_cannot_be_opened_ends_the_training_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: Any) -> Tracker:
        raise RuntimeError("no key.\nLog in")

    monkeypatch.setitem(trackers.OPENED, "wandb", refuse)
    with pytest.raises(ValueError) as error:
        run(tmp_path, "wandb")
    remedy = "see to that, or set it to none"
    assert str(error.value) == f"runtime.report_to: wandb cannot be opened (no key. Log in); {remedy}"


def test_every_tracker_is_an_extra() -> None:
    root = Path(__file__).resolve().parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name: extras[name][0].partition(">=")[0] for name in TRACKERS} == {name: name for name in TRACKERS}
    assert trackers.OPENED.keys() == {*TRACKERS}
