"""How long a control trains that is to match another training: steps and tokens by hand, and whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toys import toy_params, toy_questions, toy_rows
from tinyllm.params.schema import Loss
from tinyllm.training.arguments import training_arguments
from tinyllm.training.examples import Example
from tinyllm.training.samples.match import Match, every_rationale, left_out, tokens_read
from tinyllm.training.train import Trained, tasks_of, train_student

TRAIN, VALID = toy_questions(10, seed=1, split="train"), toy_questions(10, seed=2, split="valid")


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def ids(count: int, first: int = 1) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int32)


def example(task: int, source: int, target: int, *alternatives: int, prompt: int = 1, shared: int = 0) -> Example:
    """An example of so many tokens; under each task the source begins with another one."""
    others = tuple(ids(count) for count in alternatives)
    return Example(task, ids(source, 10 * task), ids(prompt), ids(target), 1.0, shared, others)


def test_the_tokens_of_a_question_are_those_of_its_inputs_and_targets() -> None:
    assert tokens_read([]) == 0
    assert tokens_read([example(0, 7, 2)]) == 9
    assert tokens_read([example(0, 7, 2), example(1, 8, 20)]) == 9 + 28
    assert tokens_read([example(1, 8, 20, 10, 6)]) == 8 + 12  # of several rationales the mean
    # a shared encoder reads the question once; a decoder reads the prefix of 3 tokens behind the start
    source = ids(7)
    shared = [Example(task, source.copy(), ids(4), ids(labels)) for task, labels in ((0, 2), (1, 20))]
    assert tokens_read(shared) == 7 + (3 + 2) + (3 + 20)
    # a causal student's last token is only foretold: 9 + 2 - 1
    assert tokens_read([example(0, 0, 2, prompt=9)]) == 10
    assert tokens_read([example(0, 0, 2, prompt=9), example(1, 0, 20, prompt=10)]) == 10 + 29
    # of 7 tokens that all tasks share, and prefixes of 2 and 3
    trees = [example(0, 0, 2, prompt=9, shared=7), example(1, 0, 20, prompt=10, shared=7)]
    assert tokens_read(trees) == 7 + (2 + 2 - 1) + (3 + 20 - 1)


def test_a_task_that_weighs_nothing_is_left_out_here_and_counts_there() -> None:
    loss = Loss(answer=2.0, alpha=0.0, teacher_alpha={"bob": 0.5}, kd=0.0)
    tasks, arm = (tasks_of(("ann", "bob"), each, "a: ", "as {teacher}: ") for each in (loss, every_rationale(loss)))
    assert [task.weight for task in tasks] == [2.0, 0.0, 0.5] and [task.weight for task in arm] == [2.0, 1.0, 1.0]
    assert [(task.name, task.prefix, task.weight) for task in left_out(tasks, arm)] == [
        ("answer", "a: ", 0.0),
        ("ann", "as ann: ", 1.0),
        ("bob", "as bob: ", 0.0),
    ]
    # a task that weighs nothing in either counts in neither
    assert [task.weight for task in left_out([replace(tasks[0], weight=0.0)], [replace(arm[0], weight=0.0)])] == [0.0]


def matching(own: list[int], others: list[int], epochs: int = 2, batch_size: int = 2) -> Match:
    """Questions of so many tokens in their answer's task, and so many more in a rationale's."""
    match = Match(epochs, batch_size, seed=1)
    match.add(
        [[example(0, tokens - 1, 1)] if tokens else [] for tokens in own],
        [[example(1, tokens - 1, 1)] if tokens else [] for tokens in others],
    )
    return match


def test_a_control_of_equal_questions_goes_on_until_it_has_read_as_much() -> None:
    match = matching([3, 3, 3, 3, 3], [5, 5, 5, 5, 5])
    # 2 epochs of 40 tokens are 80; 5 epochs of 15 are 75 in 15 steps of 2, 2 and 1 questions, and the next step reads 6
    assert (match.steps("tokens"), match.tokens(15), match.tokens(16), match.tokens(17)) == (16, 75, 81, 87)
    assert match.steps("steps") == 2 * 3


def test_what_fits_exactly_takes_no_step_more() -> None:
    assert matching([4, 4, 4, 4], [8, 8, 8, 8]).steps("tokens") == 2 * 3 * 2  # three times as many
    assert matching([4, 4, 4, 4], [0, 0, 0, 0]).steps("tokens") == 2 * 2
    third = Match(2, 2, 1)
    third.add([[example(0, 0, 2, 1, 1, prompt=1)]] * 3, [[]] * 3)  # 4/3 tokens each, which add up to no whole number
    assert third.steps("tokens") == 4


def slow_steps(own: list[int], wanted: int, batch_size: int, seed: int) -> tuple[int, int]:
    """Step by step, in the order in which questions come."""
    read = steps = epoch = 0
    while True:
        order = torch.randperm(len(own), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        for start in range(0, len(own), batch_size):
            read += sum(own[i] for i in order[start : start + batch_size])
            steps += 1
            if read >= wanted:
                return steps, read
        epoch += 1


@pytest.mark.parametrize("batch_size", [1, 3, 4, 11, 20])
def test_of_unequal_questions_those_that_come_first_count(batch_size: int) -> None:
    own, others = [2, 30, 4, 11, 6, 7, 25, 3, 9, 10, 13], [40, 0, 17, 8, 0, 21, 33, 2, 5, 60, 1]
    match = matching(own, others, epochs=3, batch_size=batch_size)
    steps, read = slow_steps(own, 3 * (sum(own) + sum(others)), batch_size, seed=1)
    assert (match.steps("tokens"), match.tokens(steps)) == (steps, read)


def test_steps_are_those_of_the_questions_that_the_other_training_has() -> None:
    # a question without any target teaches nothing there, and counts in no step
    assert matching([3, 3, 3, 3, 0], [5, 5, 5, 5, 0]).steps("steps") == 2 * 2
    fewer = matching([3, 3, 3, 0, 0], [5, 5, 5, 5, 5])
    # 68 tokens are 7 epochs of 9, in 2 steps each, and 5 of the next step's 6
    assert (fewer.steps("steps"), fewer.steps("tokens"), fewer.tokens(15)) == (2 * 3, 15, 69)


def test_warm_up_and_schedule_span_the_steps_that_are_taken(tmp_path: Path) -> None:
    params = toy_params(train__epochs=2, train__warmup=0.25, train__eval_every=3, train__schedule="cosine")
    arguments = training_arguments(params, 1, tmp_path, 10, steps=16)
    assert (arguments.max_steps, arguments.warmup_steps) == (16, 4)
    assert arguments.eval_steps == 9  # three epochs of three steps
    short = training_arguments(params, 1, tmp_path, 10, steps=7)
    assert short.eval_steps == 7  # a run shorter than the way to the first look is looked at in its end
    plain = training_arguments(params, 1, tmp_path, 10)
    assert (plain.max_steps, plain.warmup_steps, plain.eval_steps) == (-1, 1, 6)


# --- whole runs -----------------------------------------------------------------------------------------------------

ROWS = toy_rows(TRAIN, "ann", "bob")


def run(folder: Path, rows: list[dict] = ROWS, **changes: Any) -> Trained:
    folder.mkdir(exist_ok=True)
    return train_student(toy_params(**changes), 1, rows, VALID, folder)


def same_weights(first: Trained, second: Trained) -> bool:
    left, right = first.model.plain.state_dict(), second.model.plain.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def tokens_of(tokenizer: Any, row: dict, *names: str) -> int:
    prefixes = {"answer": "predict: ", "ann": "explain as ann: ", "bob": "explain as bob: "}
    text = (f"{row['context']}\n" if row["context"] else "") + row["input"]
    read = [part for name in names if name in row["targets"] for part in (prefixes[name] + text, row["targets"][name])]
    return sum(len(tokenizer(part)["input_ids"]) for part in read)


def test_a_control_reads_as_many_tokens_as_the_run_with_rationales(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"train__match": "tokens", "train__epochs": 1, "train__eval_every": 2}
    arm = run(tmp_path / "arm", **changes)
    capsys.readouterr()
    control = run(tmp_path / "control", loss__alpha=0.0, **changes)
    tokenizer = control.model.tokenizer
    assert tokenizer.get_vocab() == arm.model.tokenizer.get_vocab()  # so that a token is the same for both
    own = [tokens_of(tokenizer, row, "answer") for row in ROWS]
    wanted = sum(tokens_of(tokenizer, row, "answer", "ann", "bob") for row in ROWS)
    steps, read = slow_steps(own, wanted, 4, seed=1)
    assert (arm.metrics["tokens"], arm.metrics["steps"], arm.metrics["epochs"]) == (wanted, 3, 1)
    assert (control.metrics["tokens"], control.metrics["steps"]) == (read, steps) and 6 < steps < 15 and steps % 3
    assert control.metrics["epochs"] == round(steps / 3)
    looked = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert looked == [*map(str, range(2, steps // 3 + 1, 2)), str(round(steps / 3))]  # the last at the end
    assert {row["task"] for row in control.curve} == {"answer"} and control.curve[-1]["step"] == steps


def test_a_teacher_that_alone_weighs_nothing_counts_too(tmp_path: Path) -> None:
    changes = {"train__match": "tokens", "train__epochs": 1, "loss__teacher_alpha": {"bob": 0.0}}
    trained = run(tmp_path, **changes)
    own = [tokens_of(trained.model.tokenizer, row, "answer", "ann") for row in ROWS]
    wanted = sum(tokens_of(trained.model.tokenizer, row, "answer", "ann", "bob") for row in ROWS)
    assert (trained.metrics["steps"], trained.metrics["tokens"]) == slow_steps(own, wanted, 4, seed=1)
    assert trained.metrics["steps"] > 3


@pytest.mark.parametrize(
    ("match", "target"),
    [("steps", "multitask"), ("tokens", "answer_then_rationale"), ("tokens", "rationale_then_answer")],
)
def test_where_every_rationale_weighs_something_a_match_changes_nothing(
    tmp_path: Path, match: str, target: str
) -> None:
    rows = [ROWS[0] | {"targets": {"answer": ROWS[0]["targets"]["answer"]}}, *ROWS[1:]]  # behind no rationale no answer
    changes = {"student__target": target, "train__epochs": 1}
    plain, matched = (
        run(tmp_path / "plain", rows, **changes),
        run(tmp_path / "matched", rows, train__match=match, **changes),
    )
    assert same_weights(plain, matched) and plain.curve == matched.curve
    assert matched.metrics == plain.metrics | {"tokens": matched.metrics["tokens"]}


def test_steps_of_a_control_that_has_all_questions_are_those_it_had(tmp_path: Path) -> None:
    control = run(tmp_path, loss__alpha=0.0, train__match="steps")
    own = sum(tokens_of(control.model.tokenizer, row, "answer") for row in ROWS)
    assert (control.metrics["steps"], control.metrics["tokens"]) == (6, 2 * own)
