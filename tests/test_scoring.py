"""Likelihood and generation against one question, one option at a time; matching of what was generated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from toys import toy_model, toy_params, toy_questions, toy_tokenizer

from tinyllm.batches import Cuts
from tinyllm.questions import Question, input_text
from tinyllm.scoring import choose, encode_questions, generate_texts, match_option, option_scores, predict

QUESTIONS = [  # options of different number and length, with context and without
    *toy_questions(10),
    Question("10", "What sits by the river?", ("a red dog", "a bird", "the white horse at home"), 2, "It was late."),
    Question("11", "Which animal?", ("dog", "the cat that sits in town"), 0),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    model = toy_model(tokenizer, dropout=0.5).train()  # whoever scores has to switch dropout off
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_()  # as initialised, a T5 repeats its start token whatever it is asked
    return model


@pytest.fixture(scope="module")
def encoded(tokenizer: Any) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    inputs, options, cuts = encode_questions(QUESTIONS, tokenizer, "predict: ", 200)
    assert cuts == Cuts(0, 0, 0)
    return inputs, options


def prompt(question: Question) -> str:
    return "predict: " + (f"{question.context}\n" if question.context else "") + input_text(question)


@torch.no_grad()
def slow_scores(model: Any, tokenizer: Any, question: Question) -> tuple[list[float], list[int]]:
    """One forward pass for every option: its tokens' log-probabilities added up, and how many they are."""
    model.eval()
    sums, counts = [], []
    for choice in question.choices:
        target = tokenizer(choice, return_tensors="pt")["input_ids"]
        start = torch.cat([torch.tensor([[0]]), target[:, :-1]], dim=1)
        logits = model(**tokenizer(prompt(question), return_tensors="pt"), decoder_input_ids=start).logits[0]
        logs = torch.log_softmax(logits.double(), dim=-1)
        sums.append(sum(float(logs[i, token]) for i, token in enumerate(target[0])))
        counts.append(target.shape[1])
    return sums, counts


def test_inputs_and_options_are_the_tokenizers_ids(tokenizer: Any, encoded: tuple) -> None:
    inputs, options = encoded
    for question, ids, rows in zip(QUESTIONS, inputs, options, strict=True):
        assert ids.tolist() == tokenizer(prompt(question))["input_ids"]
        assert [row.tolist() for row in rows] == tokenizer(list(question.choices))["input_ids"]


def test_an_option_is_never_cut(tokenizer: Any) -> None:
    question = Question("1", "Which?", ("red " * 500, "blue"), 0)
    _, options, cuts = encode_questions([question], tokenizer, "predict: ", 16)
    assert len(options[0][0]) == 501 and cuts == Cuts(inputs_over_limit=1)


@pytest.mark.parametrize("batch_tokens", [1, 300, 10**6])
@pytest.mark.parametrize("normalize", ["none", "tokens"])
def test_scores_equal_one_pass_for_every_option(
    model: Any, tokenizer: Any, encoded: tuple, batch_tokens: int, normalize: str
) -> None:
    scores = option_scores(model.train(), *encoded, batch_tokens, normalize)
    for question, row in zip(QUESTIONS, scores, strict=True):
        sums, counts = slow_scores(model, tokenizer, question)
        expected = [s / n for s, n in zip(sums, counts, strict=True)] if normalize == "tokens" else sums
        assert row == pytest.approx(expected, abs=1e-5)


def test_progress_tells_of_every_question_once(model: Any, tokenizer: Any, encoded: tuple) -> None:
    done: list[int] = []
    option_scores(model, *encoded, 300, progress=done.append)
    assert sum(done) == len(QUESTIONS) and len(done) > 1
    generate_texts(model, tokenizer, encoded[0], 3, 200, done.append)
    assert sum(done) == 2 * len(QUESTIONS)


@pytest.mark.parametrize("batch_tokens", [1, 200, 10**6])
def test_texts_generated_together_equal_those_generated_one_by_one(
    model: Any, tokenizer: Any, encoded: tuple, batch_tokens: int
) -> None:
    expected = []
    for question in QUESTIONS:
        encoding = tokenizer(prompt(question), return_tensors="pt")
        ids = [0]
        while len(ids) < 10 and ids[-1] != 1:  # greedy, by hand
            with torch.no_grad():
                ids.append(int(model.eval()(**encoding, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(" ".join(tokenizer.decode(ids, skip_special_tokens=True).split()))
    assert generate_texts(model.train(), tokenizer, encoded[0], 9, batch_tokens) == expected
    assert len(set(expected)) > 1, "a toy that says the same of everything shows nothing"


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("red", ("blue", "red"), 1),
        ("  red\n dog ", ("blue", "red dog"), 1),
        ("Red", ("blue", "red"), None),
        ("red dog", ("blue", "red"), None),
        ("red", ("blue", "red dog"), None),
        ("", ("blue", "red"), None),
        ("dog", ("cat", "{dog}"), 1),  # the vocabulary has no curly bracket, so the student cannot write one
        ("dog", ("{dog}", "dog"), 1),  # written out in full beats a likeness
        ("dog", ("{dog", "dog}"), None),  # either may be meant
        ("", ("{}", "red"), 0),
    ],
)
def test_a_generated_text_counts_as_the_option_that_it_equals(
    tokenizer: Any, text: str, choices: tuple[str, ...], expected: int | None
) -> None:
    assert match_option(text, choices, tokenizer) == expected


@pytest.mark.parametrize(
    ("scores", "expected"), [([-3.0, -1.0, -2.0], 1), ([-1.0, -2.0, -1.0], 0), ([-2.0, -1.0, -1.0], 1), ([0.5], 0)]
)
def test_the_best_score_is_chosen_and_of_equal_ones_the_first(scores: list[float], expected: int) -> None:
    assert choose(scores) == expected


def test_a_prediction_holds_scores_choice_text_and_match(model: Any, tokenizer: Any) -> None:
    rows = predict(model, tokenizer, QUESTIONS, toy_params(score__max_new_tokens=4))
    for question, row in zip(QUESTIONS, rows, strict=True):
        assert list(row) == ["id", "gold", "choice", "scores", "text", "matched"]
        assert (row["id"], row["gold"]) == (question.id, question.answer)
        sums, _ = slow_scores(model, tokenizer, question)
        assert row["scores"] == pytest.approx(sums, abs=1e-4) and row["choice"] == int(np.argmax(sums))
        assert row["matched"] == match_option(row["text"], question.choices, tokenizer)


def test_a_prediction_does_not_depend_on_the_gold_answer(model: Any, tokenizer: Any) -> None:
    def of(answer: int) -> list[dict]:
        questions = [Question(q.id, q.question, q.choices, answer, q.context) for q in QUESTIONS]
        rows = predict(model, tokenizer, questions, toy_params(score__max_new_tokens=4))
        return [{key: value for key, value in row.items() if key != "gold"} for row in rows]

    assert of(0) == of(1)
