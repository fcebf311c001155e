"""A real step against the slow objective, whole runs against each other, and what a run reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from tests.tokenizer_toys import t5
from tests.toys import SIZES, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.params.schema import Loss
from tinyllm.records.jsonl import write_jsonl
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import save_student
from tinyllm.student.predict import predict
from tinyllm.training import loss_curve as curve_module
from tinyllm.training import train as train_module
from tinyllm.training.examples import CorpusFile, Task, encode_corpus
from tinyllm.training.loss_curve import LossCurve
from tinyllm.training.objective import Objective
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.train import Trained, tasks_of, train_student, vocabulary_texts
from tinyllm.training.trainer import DistillationTrainer
from tinyllm.training.validation import Judgement

TRAIN, VALID = toy_questions(16, seed=1, split="train"), toy_questions(30, seed=2, split="valid")
ROWS = toy_rows(TRAIN, "ann", "bob")


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def run(folder: Path, seed: int = 1, rows: Iterable[dict] = ROWS, **changes: Any) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    return train_student(toy_params(**changes), seed, rows, VALID, folder)


def same_weights(first: Trained, second: Trained) -> bool:
    left, right = first.model.plain.state_dict(), second.model.plain.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# --- the objective --------------------------------------------------------------------------------------------------


def test_the_answers_task_comes_first_and_then_one_for_every_teacher() -> None:
    loss = Loss(answer=2.0, alpha=0.5, teacher_alpha={"bob": 0.0, "elsewhere": 9.0}, kd=0.0)
    assert tasks_of(("bob", "ann"), loss, "predict: ", "explain as {teacher}: ") == [
        Task("answer", "predict: ", 2.0),
        Task("bob", "explain as bob: ", 0.0),
        Task("ann", "explain as ann: ", 0.5),
    ]


def test_braces_in_a_prefix_that_are_not_the_teachers_stay() -> None:
    tasks = tasks_of(
        ("ann",), Loss(answer=1.0, alpha=1.0, teacher_alpha={}, kd=0.0), "predict: ", "{x} as {teacher} {: "
    )
    assert tasks[1].prefix == "{x} as ann {: "


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


TASKS = [Task("answer", "predict: ", 1.0), Task("ann", "explain as ann: ", 0.5), Task("bob", "explain as bob: ", 2.0)]


def slow_objective(model: Any, tokenizer: Any) -> torch.Tensor:
    """One batch a task, padded by the tokenizer; the model's own loss is the mean over the batch's target tokens."""
    total = torch.tensor(0.0)
    for task in TASKS:
        rows = [row for row in ROWS if task.name in row["targets"]]
        texts = [task.prefix + (f"{row['context']}\n" if row["context"] else "") + row["input"] for row in rows]
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        targets = tokenizer([row["targets"][task.name] for row in rows], padding=True, return_tensors="pt")
        labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, -100)
        total = total + task.weight * model(**inputs, labels=labels).loss
    return total


def samples(model: LoadedModel) -> list[TrainingSample]:
    examples, _ = encode_corpus(ROWS, TASKS, InputEncoder(toy_params().student, model))
    return [TrainingSample(row["id"], learnt) for row, learnt in zip(ROWS, examples, strict=True)]


def steps(model: LoadedModel, batch_tokens: int) -> StepCollator:
    return StepCollator(model, len(TASKS), batch_tokens)


def trainer(model: LoadedModel, folder: Path) -> DistillationTrainer:
    return DistillationTrainer(
        objective=Objective(model, torch.tensor([task.weight for task in TASKS])),
        args=TrainingArguments(output_dir=str(folder), use_cpu=True, report_to="none"),
        samples=[],
        steps=steps(model, 1),
        judge=lambda model: Judgement(0.0, {}),
        curve=LossCurve([task.name for task in TASKS]),
        patience=1,
        batch_size=16,
    )


@pytest.mark.parametrize(("batch_tokens", "parts"), [(10**6, 1), (1000, None), (200, None), (1, 44)])
def test_a_steps_gradient_is_that_of_the_objective_however_it_is_split(
    tokenizer: Any, tmp_path: Path, batch_tokens: int, parts: int | None
) -> None:
    model = toy_model(tokenizer)
    slow = slow_objective(model, tokenizer)
    slow.backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()

    student = loaded_model(model, tokenizer)
    step = steps(student, batch_tokens)(samples(student))
    assert len(step.parts) == parts or parts is None and 1 < len(step.parts) < 44
    loss = trainer(student, tmp_path).training_step(Objective(student, torch.tensor([1.0, 0.5, 2.0])), {"step": step})

    assert loss.item() == pytest.approx(slow.item(), abs=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 0.1  # so that 1e-5 says something


# --- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_seed_gives_the_same_student_twice_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert same_weights(first, again)
    assert (first.metrics, first.curve) == (again.metrics, again.curve)
    assert first.model.tokenizer.get_vocab() == again.model.tokenizer.get_vocab() == other.model.tokenizer.get_vocab()
    assert not same_weights(first, other)


@pytest.mark.slow
def test_seeds_of_one_checkpoint_differ_in_the_order_of_the_questions(tokenizer: Any, tmp_path: Path) -> None:
    save_student(loaded_model(toy_model(tokenizer), tokenizer), tmp_path / "start", max_new_tokens=4)
    start = {"student__origin": "local", "student__model": str(tmp_path / "start"), "train__dropout": 0.0}
    first, again, other = (run(tmp_path / name, seed, **start) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert same_weights(first, again) and not same_weights(first, other)


def test_the_first_step_of_a_checkpoint_has_its_dropout(tokenizer: Any, tmp_path: Path) -> None:
    save_student(loaded_model(toy_model(tokenizer), tokenizer), tmp_path / "start", max_new_tokens=4)
    start = {"student__origin": "local", "student__model": str(tmp_path / "start"), "train__epochs": 1}
    first = [run(tmp_path / str(p), train__dropout=p, **start).curve[0] for p in (0.0, 0.5)]
    assert [row["step"] for row in first] == [1, 1] and first[0]["loss"] != first[1]["loss"]


@pytest.mark.slow
def test_alpha_zero_is_training_without_teachers(tmp_path: Path) -> None:
    silent = run(tmp_path / "a", loss__alpha=0.0)
    absent = run(tmp_path / "b", rows=toy_rows(TRAIN), corpus__teachers=())
    assert silent.model.tokenizer.get_vocab() == absent.model.tokenizer.get_vocab()
    assert same_weights(silent, absent)
    assert (silent.metrics, silent.curve) == (absent.metrics, absent.curve)
    assert {row["task"] for row in silent.curve} == {"answer"}
    assert not same_weights(silent, run(tmp_path / "c"))


@pytest.mark.slow
def test_the_batch_budget_changes_no_result_beyond_rounding(tmp_path: Path) -> None:
    whole, split = (run(tmp_path / str(n), runtime__batch_tokens=n, train__dropout=0.0) for n in (10**6, 300))
    assert whole.metrics == split.metrics
    for left, right in zip(whole.model.plain.parameters(), split.model.plain.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-2, atol=1e-3)


def looks(output: str) -> list[float]:
    """The accuracies a run prints, one a look at valid."""
    return [
        float(accuracy) for accuracy in re.findall(r"^epoch +\d+  valid accuracy (\d\.\d{4})$", output, re.MULTILINE)
    ]


def accuracy(trained: Trained, params: Any) -> float:
    rows = predict(trained.model, VALID, params)
    return sum(row["choice"] == row["gold"] for row in rows) / len(rows)


@pytest.mark.slow
def test_the_student_is_the_one_of_the_best_look_at_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"train__epochs": 6, "train__learning_rate": 0.05, "score__max_new_tokens": 1}
    for seed in range(1, 9):  # until a run whose last look is not its best, as most are at this learning rate
        trained = run(tmp_path / str(seed), seed, **changes)
        history = looks(capsys.readouterr().out)
        if history[-1] < max(history):
            break
    assert len(history) == 6 and history[-1] < max(history)
    assert round(accuracy(trained, toy_params(**changes)), 4) == max(history) == trained.metrics["valid_accuracy"]
    assert trained.metrics["best_epoch"] == history.index(max(history)) + 1  # of equal looks the first


@pytest.mark.slow
def test_looks_are_as_far_apart_as_asked_for_and_the_last_is_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, train__epochs=5, train__eval_every=2)
    assert re.findall(r"^epoch +(\d+)", capsys.readouterr().out, re.MULTILINE) == ["2", "4", "5"]


def test_a_run_shorter_than_the_way_to_the_first_look_is_looked_at_in_its_end(tmp_path: Path) -> None:
    metrics = run(tmp_path, train__epochs=2, train__eval_every=5).metrics
    assert (metrics["best_epoch"], metrics["epochs"]) == (2, 2)


def test_training_stops_when_patience_is_at_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = run(tmp_path, train__epochs=9, train__learning_rate=1e-12, train__patience=2)  # learns nothing
    assert len(set(looks(capsys.readouterr().out))) == 1
    assert {name: trained.metrics[name] for name in ("best_epoch", "epochs", "steps")} == {
        "best_epoch": 1,
        "epochs": 3,  # the best look and two that were no better
        "steps": 12,
    }


def test_the_metrics_are_the_ones_written_out(tmp_path: Path) -> None:
    trained = run(tmp_path, train__epochs=2, student__max_target_tokens=9)
    accuracy_, parameters = trained.metrics.pop("valid_accuracy"), trained.metrics.pop("parameters")
    assert 0 <= accuracy_ <= 1 and parameters == sum(weight.numel() for weight in trained.model.wrapped.parameters())
    assert trained.metrics.pop("best_epoch") in (1, 2)
    long = [
        row for row in ROWS for text in row["targets"].values() if len(trained.model.tokenizer(text)["input_ids"]) > 9
    ]
    assert trained.metrics == {
        "epochs": 2,
        "steps": 8,
        "questions": 16,
        "inputs_cut": 0,
        "inputs_over_limit": 0,
        "targets_cut": len(long),
        "inputs_unknown": 0.0,
        "targets_unknown": 0.0,
    }
    assert len(long) > 0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        run(tmp_path, train__learning_rate=1e38)
    line = r"step [2-8] \(questions train-\d+(, train-\d+){3}\): the loss is not finite; lower train\.learning_rate"
    assert re.fullmatch(line, str(error.value))


def test_a_part_that_does_not_fit_into_memory_ends_in_one_line(tokenizer: Any, tmp_path: Path) -> None:
    class Huge(Objective):
        def forward(self, part: Any, counts: torch.Tensor) -> Any:
            return torch.empty(10**15), counts

    model = loaded_model(toy_model(tokenizer), tokenizer)
    step = steps(model, 10**6)(samples(model)[:9])
    with pytest.raises(ValueError) as error:
        trainer(model, tmp_path).training_step(Huge(model, torch.ones(3)), {"step": step})
    questions = ", ".join(f"train-{i}" for i in range(8))
    remedy = "lower runtime.batch_tokens, then student.max_input_tokens"
    assert str(error.value) == f"step 1 (questions {questions}, ...): out of memory; {remedy}"


# --- the vocabulary -------------------------------------------------------------------------------------------------


def test_a_scratch_students_vocabulary_knows_the_prefixes_in_use_whole(tmp_path: Path) -> None:
    tokenizer = run(tmp_path, student__rationale_prefix="erklaere wie {teacher}: ", train__epochs=1).model.tokenizer
    assert tokenizer.tokenize("predict: red") == ["▁predict", ":", "▁red"]
    for teacher in ("ann", "bob"):
        assert tokenizer.tokenize(f"erklaere wie {teacher}: red") == ["▁erklaere", "▁wie", f"▁{teacher}", ":", "▁red"]


def test_a_vocabulary_is_learnt_from_all_that_is_learnt_and_from_no_other_rationale() -> None:
    rows = [{"context": "so", "input": "red?", "targets": {"answer": "red", "ann": "zebra", "bob": "yak"}}]
    tasks = [Task("answer", "predict: ", 1.0), Task("ann", "as ann: ", 0.5), Task("bob", "as bob: ", 0.0)]
    assert vocabulary_texts(rows * 2, tasks) == [*["so\nred?\nred\nzebra"] * 2, *["predict: ", "as ann: "] * 2]


RUSSIAN = "Знак §: лист жёлтый, а стебель сух — значит, это {жара}."


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
def test_a_scratch_student_knows_every_character_of_its_rationales(tmp_path: Path, architecture: str) -> None:
    rows = [row | {"targets": row["targets"] | {"bob": RUSSIAN}} for row in ROWS]
    sizes = SIZES.model_copy(update={"architecture": architecture})
    trained = run(tmp_path, rows=rows, train__epochs=0, student__scratch=sizes.model_dump())
    assert (trained.metrics["inputs_unknown"], trained.metrics["targets_unknown"]) == (0.0, 0.0)
    (ids,) = trained.model.plain_text.ids([RUSSIAN])
    assert max(ids) < len(trained.model.tokenizer) - 256  # not spelt in bytes either


def test_tokens_that_a_students_tokenizer_does_not_know_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = t5()
    save_student(loaded_model(toy_model(tokenizer), tokenizer), tmp_path / "start", max_new_tokens=4)
    start = {"student__origin": "local", "student__model": str(tmp_path / "start"), "train__epochs": 0}
    rows = [{"id": "1", "context": "", "input": "red?", "targets": {"answer": "{red}", "ann": "{} red red red"}}]
    trained = run(tmp_path / "run", rows=rows, **start)
    # `predict: red?` and `explain as ann: red?` are known; ▁ { r e d } </s>, and ▁ {} red red red </s>
    assert trained.metrics["inputs_unknown"] == 0.0 and trained.metrics["targets_unknown"] == round(3 / 13, 4)
    told = "note: 23.1% of the tokens of targets are unknown to the student's tokenizer, which takes them all for one"
    assert capsys.readouterr().out.splitlines()[0] == f"{told}; use another student.model"


def test_above_a_number_of_rows_a_vocabulary_is_learnt_from_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "VOCABULARY_ROWS", 4)
    rows = [{"context": "", "input": f"{i}?", "targets": {"answer": str(i)}} for i in range(17)]
    rows[1]["targets"]["ann"] = "zebra"  # in use, though this row is not among them
    tasks = [Task("answer", "predict: ", 1.0), Task("ann", "as ann: ", 0.5)]
    for count, taken in ((4, [0, 1, 2, 3]), (5, [0, 2, 4]), (9, [0, 4, 8]), (16, [0, 4, 8, 12]), (17, [0, 8, 16])):
        expected = [
            *(f"\n{i}?\n{i}{chr(10) + 'zebra' if i == 1 else ''}" for i in taken),
            *["predict: ", "as ann: "] * len(taken),
        ]
        assert vocabulary_texts(rows[:count], tasks) == expected


def test_a_training_on_a_corpus_file_is_that_on_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "BLOCK_ROWS", 5)  # 16 rows are three blocks and one row
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    changes = {"student__max_target_tokens": 9, "train__epochs": 1}
    in_blocks = run(tmp_path / "blocks", rows=CorpusFile(str(tmp_path / "train.jsonl")), **changes)
    monkeypatch.undo()
    at_once = run(tmp_path / "once", **changes)
    assert same_weights(in_blocks, at_once)
    assert (in_blocks.metrics, in_blocks.curve) == (at_once.metrics, at_once.curve)


def test_a_training_that_starts_anew_writes_its_samples_anew(tmp_path: Path) -> None:
    run(tmp_path, rows=[*ROWS, *ROWS], train__epochs=0)
    assert run(tmp_path, train__epochs=0).metrics["questions"] == len(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["samples-0.arrow"]


# --- the loss curve -------------------------------------------------------------------------------------------------


def curve(steps: int) -> LossCurve:
    """Step s has 2 answer tokens with a loss of s each and, if s is even, 4 of ann's with a loss of 1 each."""
    out = LossCurve(["answer", "ann"])
    for step in range(1, steps + 1):
        even = 1 - step % 2
        out.add(step, torch.tensor([2.0 * step, 4.0 * even]), torch.tensor([2.0, 4.0 * even]))
    return out


def test_a_short_run_has_a_row_for_every_step_and_task() -> None:
    assert curve(3).rows(3) == [
        {"step": 1, "task": "answer", "loss": 1.0},
        {"step": 2, "task": "answer", "loss": 2.0},
        {"step": 2, "task": "ann", "loss": 1.0},
        {"step": 3, "task": "answer", "loss": 3.0},
    ]


def test_a_long_run_is_averaged_over_stretches_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_module, "CURVE_POINTS", 2)
    assert curve(5).rows(5) == [
        {"step": 3, "task": "answer", "loss": 2.0},
        {"step": 3, "task": "ann", "loss": 1.0},
        {"step": 5, "task": "answer", "loss": 4.5},
        {"step": 5, "task": "ann", "loss": 1.0},
    ]


def test_a_run_of_any_length_has_at_most_sixty_points() -> None:
    for steps in (1, 59, 60, 61, 120, 1000):
        points = [row["step"] for row in curve(steps).rows(steps) if row["task"] == "answer"]
        assert len(points) <= 60 and points[-1] == steps


@pytest.mark.slow
def test_the_curve_of_a_run_starts_near_that_of_guessing_and_falls(tmp_path: Path) -> None:
    trained = run(tmp_path, train__epochs=6)
    by_task: dict[str, list[float]] = {}
    for row in trained.curve:
        by_task.setdefault(row["task"], []).append(row["loss"])
    assert list(by_task) == ["answer", "ann", "bob"] and {len(losses) for losses in by_task.values()} == {24}
    for losses in by_task.values():
        assert losses[0] > losses[-1] > 0
