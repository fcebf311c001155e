"""Several rationales of a teacher: which of them an epoch learns, in any order, in every process, and after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests import trained
from tests.toys import toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model
from tinyllm.records.jsonl import write_jsonl
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import save_student
from tinyllm.training.examples import Example, Task, UnknownTokens, encode_corpus, targets_of
from tinyllm.training.loss_curve import LossCurve
from tinyllm.training.samples.alternatives import DrawnSamples, draw
from tinyllm.training.samples.sample_file import SampleFile, write_samples
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.train import Trained, train_student, vocabulary_texts

TRAIN, VALID = toy_questions(12, seed=1, split="train"), toy_questions(10, seed=2, split="valid")


def rows_with_alternatives(number: int = 2) -> list[dict]:
    """Ann has `number` further rationales of each question, bob one of every other."""
    rows = toy_rows(TRAIN, "ann", "bob")
    for i, row in enumerate(rows):
        gold = row["targets"]["answer"]
        further = {"ann": [f"A {gold} one sits there" + ", it is." * k for k in range(1, number + 1)]}
        if "bob" in row["targets"] and i % 2:
            further["bob"] = [f"Late it was, and {gold}."]
        row["alternatives"] = further
    return rows


ROWS = rows_with_alternatives()


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A checkpoint to start from, so that two trainings have the same vocabulary."""
    folder = tmp_path_factory.mktemp("start")
    tokenizer = toy_tokenizer(folder / "vocabulary")
    save_student(loaded_model(toy_model(tokenizer), tokenizer), folder / "student", max_new_tokens=4)
    return {"student__origin": "local", "student__model": str(folder / "student")}


def run(folder: Path, rows: list[dict] = ROWS, seed: int = 1, **changes: Any) -> Trained:
    folder.mkdir(exist_ok=True)
    return train_student(toy_params(**changes), seed, rows, VALID, folder)


def same_weights(first: Trained, second: Trained) -> bool:
    left, right = first.model.plain.state_dict(), second.model.plain.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# --- the draw -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "seed", "id_", "task", "drawn"),
    [
        (3, 1, "q-1", "ann", [2, 1, 0, 1, 0, 2]),
        (3, 1, "q-1", "bob", [2, 1, 0, 0, 1, 2]),
        (3, 1, "q-2", "ann", [1, 0, 2, 2, 1, 0]),
        (3, 2, "q-1", "ann", [1, 2, 0, 2, 1, 0]),
        (2, 1, "q-3", "bob", [0, 1, 1, 0]),
        (1, 1, "q-1", "ann", [0, 0, 0]),
    ],
)
def test_the_draws_are_the_ones_written_out(count: int, seed: int, id_: str, task: str, drawn: list[int]) -> None:
    assert [draw(count, seed, epoch, id_, task) for epoch in range(len(drawn))] == drawn


def test_every_rationale_comes_up_once_before_any_comes_up_again() -> None:
    first = [0, 0, 0, 0]
    for question in range(400):
        drawn = [draw(4, 1, epoch, f"q{question}", "ann") for epoch in range(8)]
        assert sorted(drawn[:4]) == sorted(drawn[4:]) == [0, 1, 2, 3]
        first[drawn[0]] += 1
    assert min(first) > 70  # about a hundred each: the target is no likelier than another


def learnt(seed: int, epoch: int, order: list[int], file: SampleFile) -> dict[str, list[list[int]]]:
    drawn = DrawnSamples(file, ["answer", "ann"], seed, lambda: epoch)
    return {drawn[i].id: [example.labels.tolist() for example in drawn[i].examples] for i in order}


def test_two_epochs_learn_what_was_drawn_for_them_in_any_order(tmp_path: Path) -> None:
    def ids(*values: int) -> np.ndarray:
        return np.array(values, dtype=np.int32)

    samples = [
        TrainingSample(
            f"q-{i}",
            [
                Example(0, ids(5, i), ids(0), ids(9, 1)),
                Example(1, ids(6, i), ids(0), ids(10, 1), 0.5, 0, (ids(11), ids(12, 12, 1))),
            ],
        )
        for i in (1, 2)
    ]
    write_samples(tmp_path / "samples.arrow", [samples], alternatives=True)
    file = SampleFile(tmp_path / "samples.arrow")
    # of ann's three texts, q-1 draws the numbers 2 and 1, and q-2 draws 1 and 0, as above
    assert learnt(1, 0, [0, 1], file) == {"q-1": [[9, 1], [12, 12, 1]], "q-2": [[9, 1], [11]]}
    assert learnt(1, 1, [1, 0], file) == {"q-1": [[9, 1], [11]], "q-2": [[9, 1], [10, 1]]}
    (answer, rationale) = DrawnSamples(file, ["answer", "ann"], 1, lambda: 0)[0].examples
    assert (rationale.task, rationale.weight, rationale.alternatives) == (1, 0.5, ())
    assert (rationale.source.tolist(), rationale.prompt.tolist()) == ([6, 1], [0])
    assert len(DrawnSamples(file, ["answer", "ann"], 1, lambda: 0)) == 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    tokenizer = toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))
    return loaded_model(toy_model(tokenizer), tokenizer)


TASKS = [Task("answer", "predict: ", 1.0), Task("ann", "explain as ann: ", 0.5), Task("bob", "explain as bob: ", 2.0)]


def test_two_processes_learn_together_what_one_learns(model: LoadedModel, tmp_path: Path) -> None:
    examples, _ = encode_corpus(ROWS, TASKS, InputEncoder(toy_params().student, model), None)
    whole = [TrainingSample(row["id"], learnt) for row, learnt in zip(ROWS, examples, strict=True)]
    write_samples(tmp_path / "samples.arrow", [whole], alternatives=True)
    file = SampleFile(tmp_path / "samples.arrow")

    def labels(epoch: int, rank: int, world: int) -> list[tuple[int, ...]]:
        drawn = DrawnSamples(file, [task.name for task in TASKS], 3, lambda: epoch)
        step = StepCollator(model, len(TASKS), 4096, rank, world)([drawn[i] for i in range(len(drawn))])
        rows = [row for part in step.parts for row in part["labels"].tolist()]  # type: ignore[index]  # no packed batch
        return sorted(tuple(label for label in row if label != IGNORED) for row in rows)

    for epoch in (0, 1, 2):
        assert sorted([*labels(epoch, 0, 2), *labels(epoch, 1, 2)]) == labels(epoch, 0, 1)
    assert labels(0, 0, 1) != labels(1, 0, 1)


# --- what is encoded ------------------------------------------------------------------------------------------------


def test_of_a_rows_rationales_the_target_comes_first_and_then_as_many_as_asked_for() -> None:
    row = {"targets": {"answer": "red", "ann": "a", "bob": "x"}, "alternatives": {"ann": ["b", "c", "b"]}}
    assert [targets_of(row, "ann", most) for most in (1, 2, 4, 9, None)] == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c", "b"],
        ["a", "b", "c", "b"],
        ["a", "b", "c", "b"],
    ]
    assert targets_of(row, "bob", None) == ["x"] and targets_of(row, "answer", 2) == ["red"]


def test_alternatives_have_the_ids_that_they_have_as_targets(model: LoadedModel) -> None:
    reader = InputEncoder(toy_params(student__max_target_tokens=9).student, model)
    examples, cuts = encode_corpus(ROWS, TASKS, reader, 2)
    alone = {}
    for place in (0, 1):
        several = [{name: targets_of(row, name, 2) for name in row["targets"] if name != "answer"} for row in ROWS]
        alone[place] = encode_corpus(
            [
                row | {"targets": {name: each[place] for name, each in texts.items() if place < len(each)}}
                for row, texts in zip(ROWS, several, strict=True)
            ],
            TASKS,
            reader,
        )
    for question, first, second in zip(examples, alone[0][0], alone[1][0], strict=True):
        rationales = [example for example in question if example.task]
        assert [example.labels.tolist() for example in rationales] == [example.labels.tolist() for example in first]
        others = [example.alternatives[0].tolist() for example in rationales if example.alternatives]
        assert others == [example.labels.tolist() for example in second]
    assert cuts.targets_cut == alone[0][1].targets_cut + alone[1][1].targets_cut > 0


def test_a_vocabulary_is_learnt_from_as_many_rationales_as_are_learnt() -> None:
    row = {"context": "", "input": "red?", "targets": {"answer": "red", "ann": "zebra"}}
    row["alternatives"] = {"ann": ["yak", "gnu"]}
    tasks = [Task("answer", "predict: ", 1.0), Task("ann", "as ann: ", 0.5)]
    for most, words in ((1, "zebra"), (2, "zebra\nyak"), (None, "zebra\nyak\ngnu")):
        assert vocabulary_texts([row], tasks, most=most) == [f"\nred?\nred\n{words}", "predict: ", "as ann: "]


def test_unknown_tokens_of_alternatives_count() -> None:
    unknown = UnknownTokens(7)
    ids = np.array([7, 1], dtype=np.int32)
    unknown.add([Example(1, ids[1:], ids[1:], ids, alternatives=(ids, ids[1:]))])
    assert unknown.shares() == {"inputs_unknown": 0.0, "targets_unknown": 0.4}


# --- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["multitask", "answer_then_rationale", "rationale_then_answer"])
def test_an_epoch_with_alternatives_is_one_on_the_texts_that_it_draws(
    start: dict[str, Any], tmp_path: Path, target: str
) -> None:
    start = start | {"student__target": target}
    several = run(tmp_path / "several", corpus__samples="all", train__epochs=1, **start)
    drawn = []
    for row in ROWS:
        texts = {name: targets_of(row, name, None) for name in row["targets"]}
        chosen = {name: each[draw(len(each), 1, 0, row["id"], name)] for name, each in texts.items()}
        drawn.append(row | {"targets": chosen, "alternatives": {}})
    alone = run(tmp_path / "alone", rows=drawn, train__epochs=1, **start)
    assert same_weights(several, alone)
    assert [row["targets"] for row in drawn] != [row["targets"] for row in ROWS]
    # 12 questions: ann has 3 of each; bob has one of 9, and of 6 of these another
    assert several.metrics == alone.metrics | {"rationales": 36 + 9 + 6}


def test_with_one_sample_alternatives_change_nothing(start: dict[str, Any], tmp_path: Path) -> None:
    without = [{name: value for name, value in row.items() if name != "alternatives"} for row in ROWS]
    one, other = run(tmp_path / "one", **start), run(tmp_path / "other", rows=without, **start)
    assert same_weights(one, other) and (one.metrics, one.curve) == (other.metrics, other.curve)
    assert (tmp_path / "one/samples-0.arrow").read_bytes() == (tmp_path / "other/samples-0.arrow").read_bytes()
    assert not same_weights(one, run(tmp_path / "two", corpus__samples=2, **start))


class Stopped(Exception):
    pass


def stop_at(step: int) -> Callable[..., None]:
    add = LossCurve.add

    def add_or_stop(curve: LossCurve, number: int, *sums: torch.Tensor) -> None:
        if number == step:
            raise Stopped
        add(curve, number, *sums)

    return add_or_stop


def test_a_training_that_goes_on_draws_what_it_would_have_drawn(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"corpus__samples": 3, "train__epochs": 3, "runtime__checkpoint_steps": 1, **start}
    calm = run(tmp_path / "calm", **changes)
    with monkeypatch.context() as patch:
        patch.setattr(LossCurve, "add", stop_at(6))  # within the second of three epochs of three steps
        with pytest.raises(Stopped):
            run(tmp_path / "stopped", **changes)
    again = run(tmp_path / "stopped", **changes)
    assert "going on after step 5," in capsys.readouterr().out
    assert same_weights(again, calm) and (again.metrics, again.curve) == (calm.metrics, calm.curve)


@pytest.mark.nightly
def test_two_processes_end_as_one_with_alternatives(tmp_path: Path) -> None:
    weights = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        changes = {"corpus__samples": 2, "train__epochs": 3, "train__dropout": 0.0, "runtime__processes": processes}
        trained.set_up(folder, 24, **changes)
        rows = toy_rows(toy_questions(24, 1, "train"), "signs", "care")
        write_jsonl(
            folder / "data/corpus/train.jsonl",
            [row | {"alternatives": {"signs": [f"It was {row['targets']['answer']}, and late."]}} for row in rows],
        )
        trained.finish(folder)
        weights.append(load_file(folder / "models/student/3/model.safetensors"))
    for name, first in weights[0].items():
        torch.testing.assert_close(first, weights[1][name], rtol=2e-3, atol=2e-4)
