"""What reaches the student: inputs cut at the right end, targets, parts of a step, tensors."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import toy_tokenizer
from transformers import T5Tokenizer

from tinyllm.batches import (
    Cuts,
    Example,
    Task,
    collate,
    encode_corpus,
    encode_input,
    encode_target,
    pad,
    split_step,
    target_counts,
)
from tinyllm.questions import Question, input_text
from tinyllm.release import load_questions

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
CONTEXT = "the dog sits at home. the cat sits in town. the bird sits by the river."
TEXT = "Which colour has the dog?\nAnswer Choices:\n(a) red\n(b) blue"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def words(tokenizer: Any, ids: np.ndarray) -> str:
    """The text that ids stand for, in which this tokenizer has a space for every white space."""
    return " ".join(tokenizer.decode(ids, skip_special_tokens=True).split())


# --- inputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["", CONTEXT, "The dog.\nThe cat.\n  The bird. "])
def test_an_input_that_fits_has_exactly_the_tokenizers_ids(tokenizer: Any, context: str) -> None:
    cuts = Cuts()
    whole = tokenizer("predict: " + (context + "\n" if context else "") + TEXT)["input_ids"]
    ids = encode_input(tokenizer, "predict: ", context, TEXT, len(whole), cuts)
    assert ids.dtype == np.int32 and ids.tolist() == whole
    assert cuts == Cuts(0, 0, 0)


@pytest.mark.parametrize("excess", [1, 2, 7, 12])
def test_what_is_too_long_comes_off_the_head_of_the_context_alone(tokenizer: Any, excess: int) -> None:
    cuts = Cuts()
    prefix, context, text = (
        tokenizer(part, add_special_tokens=False)["input_ids"] for part in ("predict: ", CONTEXT, TEXT)
    )
    limit = len(prefix) + len(context) + len(text) + 1 - excess
    ids = encode_input(tokenizer, "predict: ", CONTEXT, TEXT, limit, cuts)
    assert ids.tolist() == [*prefix, *context[excess:], *text, tokenizer.eos_token_id]
    assert len(ids) == limit
    assert cuts == Cuts(inputs_cut=1)


def test_a_cut_input_still_reads_from_prefix_to_last_option(tokenizer: Any) -> None:
    tail = "the bird sits by the river."
    kept = len(tokenizer(f"predict: {tail}\n{TEXT}")["input_ids"])
    ids = encode_input(tokenizer, "predict: ", CONTEXT, TEXT, kept, Cuts())
    assert words(tokenizer, ids) == f"predict: {tail} {' '.join(TEXT.split())}"


def test_a_context_that_repeats_the_question_loses_its_own_words_only(tokenizer: Any) -> None:
    cuts = Cuts()
    short = tokenizer(f"predict: {TEXT}")["input_ids"]
    ids = encode_input(tokenizer, "predict: ", TEXT, TEXT, len(short), cuts)
    assert ids.tolist() == short
    assert cuts == Cuts(inputs_cut=1)


@pytest.mark.parametrize(("context", "cut"), [("", 0), (CONTEXT, 1)])
def test_question_and_options_longer_than_the_limit_stay_whole_and_are_counted(
    tokenizer: Any, context: str, cut: int
) -> None:
    cuts = Cuts()
    ids = encode_input(tokenizer, "predict: ", context, TEXT, 8, cuts)
    assert ids.tolist() == tokenizer(f"predict: {TEXT}")["input_ids"]
    assert cuts == Cuts(inputs_cut=cut, inputs_over_limit=1)


def test_a_context_of_characters_the_vocabulary_lacks_is_cut_too(tokenizer: Any) -> None:
    short = tokenizer(f"predict: {TEXT}")["input_ids"]
    ids = encode_input(tokenizer, "predict: ", "漢字 7%\t§ " * 20, TEXT, len(short), Cuts())
    assert ids.tolist() == short


# --- the real tokenizer and the real questions ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def flan_t5(tmp_path_factory: pytest.TempPathFactory) -> Any:
    model = Path(os.environ.get("TINYLLM_TEST_TOKENIZER") or SHARED / "tokenizers/flan-t5.spiece.model")
    if not model.is_file():
        pytest.skip("no FLAN-T5 vocabulary; name its spiece.model in TINYLLM_TEST_TOKENIZER")
    folder = tmp_path_factory.mktemp("flan-t5")
    shutil.copy(model, folder / "spiece.model")
    return T5Tokenizer.from_pretrained(folder)


@pytest.fixture
def longest(flan_t5: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a split of a released set, the question with the longest input, and that input's tokens, prefix included."""
    folder = Path(os.environ.get("TINYLLM_TEST_RELEASE") or SHARED / "tinyllm-release")
    if not folder.is_dir():
        pytest.skip("no copy of the release; name one in TINYLLM_TEST_RELEASE")
    monkeypatch.setenv("TINYLLM_MIRROR", folder.resolve().as_uri())
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))

    def find(name: str, split: str) -> tuple[Question, int]:
        questions = load_questions(name, split)
        texts = [f"predict: {question.context}\n{input_text(question)}" for question in questions]
        lengths = [len(ids) for ids in flan_t5(texts)["input_ids"]]
        return questions[int(np.argmax(lengths))], max(lengths)

    return find


def ends_with_question_and_options(tokenizer: Any, ids: np.ndarray, question: Question) -> bool:
    lines = [question.question, "Answer Choices:", *(f"({'abcde'[i]}) {c}" for i, c in enumerate(question.choices))]
    expected = [token for line in lines for token in tokenizer(line, add_special_tokens=False)["input_ids"]]
    return ids.tolist()[-len(expected) - 1 :] == [*expected, tokenizer.eos_token_id]


@pytest.mark.parametrize(("name", "split", "tokens"), [("obqa", "train", 129), ("pubmedqa", "train", 729)])
def test_the_longest_released_questions_reach_flan_t5_whole_at_1024_tokens(
    flan_t5: Any, longest: Any, name: str, split: str, tokens: int
) -> None:
    question, found = longest(name, split)
    cuts = Cuts()
    ids = encode_input(flan_t5, "predict: ", question.context, input_text(question), 1024, cuts)
    assert found == tokens
    assert words(flan_t5, ids[:2]) == "predict:" and len(ids) == tokens
    assert cuts == Cuts(0, 0, 0)
    assert ends_with_question_and_options(flan_t5, ids, question)


def test_at_512_tokens_a_long_pubmedqa_input_keeps_question_and_options(flan_t5: Any, longest: Any) -> None:
    question, _ = longest("pubmedqa", "train")
    cuts = Cuts()
    ids = encode_input(flan_t5, "predict: ", question.context, input_text(question), 512, cuts)
    assert words(flan_t5, ids[:2]) == "predict:" and len(ids) == 512
    assert cuts == Cuts(inputs_cut=1)
    assert ends_with_question_and_options(flan_t5, ids, question)


# --- targets and rows -----------------------------------------------------------------------------------------------


def test_a_target_ends_in_the_end_of_sequence_unless_it_is_cut(tokenizer: Any) -> None:
    cuts = Cuts()
    whole = tokenizer("red dog at home")["input_ids"]
    assert whole[-1] == tokenizer.eos_token_id
    assert encode_target(tokenizer, "red dog at home", len(whole), cuts).tolist() == whole
    assert cuts.targets_cut == 0
    assert encode_target(tokenizer, "red dog at home", 3, cuts).tolist() == whole[:3]
    assert cuts == Cuts(targets_cut=1)


ROWS = [
    {"id": "1", "context": "", "input": "red?", "targets": {"answer": "red", "ann": "red dog", "bob": "red cat"}},
    {"id": "2", "context": "", "input": "blue?", "targets": {"answer": "blue", "bob": "blue cat"}},
]


def encoded(tokenizer: Any, *weights: float) -> list[list[tuple[int, str, str]]]:
    names = ("answer", "ann", "bob")
    tasks = [Task(name, f"{name}: ", weight) for name, weight in zip(names, weights, strict=True)]
    questions, _ = encode_corpus(ROWS, tasks, tokenizer, 64, 64)
    return [[(e.task, words(tokenizer, e.input_ids), words(tokenizer, e.labels)) for e in row] for row in questions]


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
    _, cuts = encode_corpus(rows, tasks, tokenizer, 12, 2)
    assert cuts == Cuts(inputs_cut=4, inputs_over_limit=0, targets_cut=2)


# --- parts of a step ------------------------------------------------------------------------------------------------


def example(task: int, inputs: int, labels: int) -> Example:
    return Example(task, np.full(inputs, 7, dtype=np.int32), np.full(labels, 8, dtype=np.int32))


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


def test_arrays_are_filled_up_at_the_right() -> None:
    assert pad([np.array([4]), np.array([5, 6, 7])], -1).tolist() == [[4, -1, -1], [5, 6, 7]]


def test_a_batch_has_masked_inputs_and_ignored_labels() -> None:
    first = Example(0, np.array([5, 6, 0], dtype=np.int32), np.array([9], dtype=np.int32))  # a real token may equal pad
    second = Example(2, np.array([7], dtype=np.int32), np.array([3, 1], dtype=np.int32))
    batch = collate([first, second], pad_id=0)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 0], [7, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[9, -100], [3, 1]],
        "tasks": [0, 2],
    }
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_target_tokens_are_counted_by_task() -> None:
    assert target_counts([example(0, 5, 2), example(2, 5, 30), example(0, 9, 1)], 4).tolist() == [3.0, 0.0, 30.0, 0.0]
