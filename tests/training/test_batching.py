"""From rows to tensors: examples, the parts of a step, padded and end to end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import toy_params, toy_tokenizer
from tinyllm.models.loaded import pad
from tinyllm.models.plain_text import PlainText
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.training.batching import collate, pack_examples, split_packed, split_step
from tinyllm.training.examples import Example, Task, encode_corpus, target_counts

CONTEXT = "the dog sits at home. the cat sits in town. the bird sits by the river."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def words(tokenizer: Any, ids: np.ndarray) -> str:
    """The text that ids stand for, in which this tokenizer has a space for every white space."""
    return " ".join(tokenizer.decode(ids, skip_special_tokens=True).split())


ROWS = [
    {"id": "1", "context": "", "input": "red?", "targets": {"answer": "red", "ann": "red dog", "bob": "red cat"}},
    {"id": "2", "context": "", "input": "blue?", "targets": {"answer": "blue", "bob": "blue cat"}},
]


def reader(tokenizer: Any, **changes: Any) -> InputEncoder:
    plain = SimpleNamespace(config=SimpleNamespace(decoder_start_token_id=0))
    params = toy_params(**{f"student__{name}": value for name, value in changes.items()})
    return InputEncoder(
        params.student, SimpleNamespace(tokenizer=tokenizer, plain_text=PlainText(tokenizer), causal=False, plain=plain)
    )


def encoded(tokenizer: Any, *weights: float) -> list[list[tuple[int, str, str]]]:
    names = ("answer", "ann", "bob")
    tasks = [Task(name, f"{name}: ", weight) for name, weight in zip(names, weights, strict=True)]
    questions, _ = encode_corpus(ROWS, tasks, reader(tokenizer))
    return [[(e.task, words(tokenizer, e.source), words(tokenizer, e.labels)) for e in row] for row in questions]


def test_a_row_becomes_one_example_for_each_task_it_has_a_target_for(tokenizer: Any) -> None:
    assert encoded(tokenizer, 1.0, 0.5, 0.5) == [
        [(0, "answer: red?", "red"), (1, "ann: red?", "red dog"), (2, "bob: red?", "red cat")],
        [(0, "answer: blue?", "blue"), (2, "bob: blue?", "blue cat")],
    ]


def test_a_task_of_weight_zero_is_left_out(tokenizer: Any) -> None:
    assert encoded(tokenizer, 1.0, 0.5, 0.0) == [
        [(0, "answer: red?", "red"), (1, "ann: red?", "red dog")],
        [(0, "answer: blue?", "blue")],
    ]


def test_cuts_are_counted_over_all_rows_and_tasks(tokenizer: Any) -> None:
    tasks = [Task("answer", "predict: ", 1.0), Task("bob", "explain: ", 1.0)]
    rows = [{**row, "context": CONTEXT} for row in ROWS]
    _, cuts = encode_corpus(rows, tasks, reader(tokenizer, max_input_tokens=12, max_target_tokens=2))
    assert cuts == TruncationCounts(inputs_cut=4, inputs_over_limit=0, targets_cut=2)


# --- parts of a step ------------------------------------------------------------------------------------------------


def example(task: int, inputs: int, labels: int) -> Example:
    ids = (np.full(count, value, dtype=np.int32) for count, value in ((inputs, 7), (1, 0), (labels, 8)))
    return Example(task, *ids)


shapes = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(shapes=shapes, limit=st.integers(1, 400))
def test_no_part_is_over_the_limit_and_every_example_is_in_one(shapes: list, limit: int) -> None:
    examples = [example(*shape) for shape in shapes]
    parts = split_step(examples, limit)
    assert sorted(id(e) for part in parts for e in part) == sorted(id(e) for e in examples)
    for part in parts:
        tensors = collate(part, pad_id=0)
        assert tensors["input_ids"].numel() + tensors["labels"].numel() <= limit or len(part) == 1


def test_a_long_input_and_a_long_target_do_not_share_a_part_that_fits_neither() -> None:
    parts = split_step([example(1, 10, 90), example(1, 90, 10)], 200)  # together padded to 2 x (90 + 90)
    assert [len(part) for part in parts] == [1, 1]


def test_answers_go_apart_from_long_rationales_and_teachers_together() -> None:
    parts = split_step([example(2, 5, 200), *[example(0, 5, 2)] * 8, example(1, 5, 200)], 10_000)
    assert [[e.task for e in part] for part in parts] == [[0] * 8, [2, 1]]  # together: 10 x 205, apart: 8 x 7 + 2 x 205


def test_a_part_whose_padding_costs_less_than_a_pass_is_joined_to_the_one_before() -> None:
    short, long = [example(0, 50, 2)] * 5, [example(1, 50, 102)] * 5  # together 5 x 100 tokens of padding: PASS_TOKENS
    assert [len(part) for part in split_step([*short, *long], 10_000)] == [10]
    assert [len(part) for part in split_step([*short, *long, example(0, 50, 2)], 10_000)] == [6, 5]
    assert [len(part) for part in split_step([*short, *long], 1519)] == [5, 5]  # joined, they are 10 x 152


def test_examples_of_one_shape_need_one_pass_whatever_their_task() -> None:
    assert len(split_step([example(task, 20, 20) for task in (0, 1, 2)] * 16, 10**6)) == 1


# --- tensors --------------------------------------------------------------------------------------------------------


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_arrays_are_filled_up_at_the_right() -> None:
    assert pad([np.array([4]), np.array([5, 6, 7])], -1).tolist() == [[4, -1, -1], [5, 6, 7]]


def test_a_batch_has_masked_inputs_and_ignored_labels() -> None:
    first = Example(0, ids(5, 6, 0), ids(2), ids(9))  # a real token may equal pad
    second = Example(2, ids(7), ids(2), ids(3, 1), weight=0.5)
    batch = collate([first, second], pad_id=0)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 0], [7, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "decoder_input_ids": [[2, 0], [2, 3]],
        "labels": [[9, -100], [3, 1]],
        "tasks": [0, 2],
        "weights": [1.0, 0.5],
    }
    assert {tensor.dtype for name, tensor in batch.items() if name != "weights"} == {torch.int64}


def test_within_a_decoders_prompt_nothing_is_foretold_and_a_shared_source_stands_once() -> None:
    source = ids(5, 6)
    examples = [Example(0, source, ids(2, 4, 4), ids(9, 1)), Example(1, source, ids(2, 3), ids(8))]
    batch = collate([*examples, Example(0, ids(5, 6), ids(2), ids(1))], pad_id=0)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6], [5, 6]],  # equal, yet another question's
        "attention_mask": [[1, 1], [1, 1]],
        "sources": [0, 0, 1],
        "decoder_input_ids": [[2, 4, 4, 9], [2, 3, 0, 0], [2, 0, 0, 0]],
        "labels": [[-100, -100, 9, 1], [-100, 8, -100, -100], [1, -100, -100, -100]],
        "tasks": [0, 1, 0],
        "weights": [1.0, 1.0, 1.0],
    }


def test_a_causal_students_row_is_question_and_target_in_one() -> None:
    batch = collate([Example(1, ids(), ids(5, 6, 7), ids(8, 1)), Example(0, ids(), ids(5), ids(1))], pad_id=0)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7, 8], [5, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 0, 0, 0]],
        "labels": [[-100, -100, 8, 1], [1, -100, -100, -100]],
        "tasks": [1, 0],
        "weights": [1.0, 1.0],
    }


def test_end_to_end_every_label_is_where_its_sequence_lies() -> None:
    source = ids(5, 6, 7)
    examples = [Example(2, source, ids(2, 4), ids(9, 8, 1)), Example(0, ids(5), ids(2), ids(3, 1), weight=0.5)]
    part = pack_examples([*examples, Example(1, source, ids(2), ids(1))])
    assert part.source_ids.tolist() == [5, 0, 0, 5, 6, 7]  # a shared source once, and one group of so few
    assert part.target_layout.order == [2, 1, 0]
    assert part.target_ids.tolist() == [2, 0, 0, 0, 2, 3, 0, 0, 2, 4, 9, 8]
    assert (part.labelled.tolist(), part.labels.tolist()) == ([0, 4, 5, 9, 10, 11], [1, 3, 1, 9, 8, 1])
    assert part.sources.places.tolist() == [3, 4, 5, 0, 0, 0, 3, 4, 5]
    assert part.tasks.tolist() == [1, 0, 0, 2, 2, 2]
    assert part.weights.tolist() == [1.0, 0.5, 0.5, 1.0, 1.0, 1.0]


def test_questions_stay_whole_where_a_step_without_padding_is_split() -> None:
    questions = [[example(0, 5, 5), example(1, 5, 15)], [example(0, 10, 10)], [], [example(0, 40, 40)]]
    assert [len(part) for part in split_packed(questions, 50)] == [3, 1]  # 30 + 20, then 80: over the limit, but one
    assert [len(part) for part in split_packed(questions, 49)] == [2, 1, 1]


def test_target_tokens_are_counted_by_task() -> None:
    assert target_counts([example(0, 5, 2), example(2, 5, 30), example(0, 9, 1)], 4).tolist() == [3.0, 0.0, 30.0, 0.0]
