"""Weights and logits that are no numbers: found, and told in a few words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.models.finite import FiniteLogits, broken_weights
from tinyllm.models.loaded import loaded_model
from tinyllm.student.build import load_checkpoint
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import generate_texts
from tinyllm.student.predict import InputEncoder, encode_questions, option_scores, predict

NUMBERS = [math.nan, math.inf, -math.inf]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def broken(model: Any, value: float) -> Any:
    with torch.no_grad():
        model.get_input_embeddings().weight[5, 3] = value
    return model


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("build", [toy_model, toy_causal])
def test_a_folder_with_a_weight_that_is_no_number_is_refused(
    tokenizer: Any, tmp_path: Path, build: Any, value: float
) -> None:
    model = broken(build(tokenizer), value)
    save_student(loaded_model(model, tokenizer), tmp_path / "student", 8)
    name = "shared.weight" if build is toy_model else "model.embed_tokens.weight"
    fault = f"damaged (nan or infinite numbers in 1 of its weights, {name})"
    with pytest.raises(ValueError) as error:
        load_student(tmp_path / "student")
    assert str(error.value) == f"{tmp_path / 'student'}: {fault}; delete it and run dvc repro train"
    start = toy_params(student__origin="local", student__model=str(tmp_path / "student"), student__scratch=None).student
    with pytest.raises(ValueError) as error:
        load_checkpoint(start, 0.0)
    told = f"student.model: {tmp_path / 'student'} is {fault.replace('(', '(', 1)}; use another copy"
    assert str(error.value) == told


def test_numbers_whose_sum_overflows_are_numbers(tokenizer: Any) -> None:
    model = toy_model(tokenizer)
    with torch.no_grad():
        model.shared.weight[:] = 3e38
    assert broken_weights(model) is None and broken_weights(broken(model, math.nan)) is not None


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[1.0, 2.0], [0.0, -math.inf]], []),  # a token may be impossible
        ([[1.0, math.nan], [0.0, 1.0], [math.nan, math.nan]], [0, 2]),
        ([[0.0, 1.0], [math.inf, 1.0]], [1]),
        ([[-math.inf, -math.inf], [0.0, 1.0]], [0]),
    ],
)
def test_a_row_without_a_most_likely_token_is_told_and_the_others_stay(
    rows: list[list[float]], told: list[int]
) -> None:
    seen: list[int] = []
    scores = torch.tensor(rows)
    out = FiniteLogits(seen.append, len(rows))(torch.zeros(len(rows), 1), scores)
    assert seen == told
    for row, (before, after) in enumerate(zip(rows, out.tolist(), strict=True)):
        assert after == ([0.0, 0.0] if row in told else before)


REMEDY = "which is no finite number; set score.precision to fp32, or train it with a lower train.learning_rate"


@pytest.mark.parametrize("build", [toy_model, toy_causal])
def test_a_student_whose_numbers_overflow_chooses_nothing_and_writes_nothing(tokenizer: Any, build: Any) -> None:
    """Weights that are numbers, of which products are not."""
    model = build(tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_()
        norm = model.decoder.final_layer_norm if build is toy_model else model.model.norm
        norm.weight.fill_(3e38)
    student = loaded_model(model, tokenizer, "models/student/3")
    encoder = InputEncoder(toy_params().student, student)
    inputs, options, _ = encode_questions(toy_questions(2), encoder, "predict: ")
    with pytest.raises(
        ValueError, match=rf"^models/student/3: the student scores its options (nan|-inf)(, (nan|-inf))+, {REMEDY}$"
    ):
        option_scores(student, inputs, options, 100)
    said = f"^models/student/3: the student finds its next token as likely as nan or infinity, {REMEDY}$"
    with pytest.raises(ValueError, match=said):
        generate_texts(student, inputs, 4, 100)


@pytest.mark.parametrize("value", NUMBERS)
def test_one_option_whose_score_is_no_number_is_enough(tokenizer: Any, value: float) -> None:
    model = toy_model(tokenizer)
    token = tokenizer("blue")["input_ids"][0]

    def spoil(module: Any, given: Any, out: Any) -> Any:
        out.logits[:, :, token] = value
        return out

    student = loaded_model(model, tokenizer, "elsewhere")
    model.register_forward_hook(spoil)
    with pytest.raises(ValueError, match=rf"^elsewhere: the student scores its options .*(nan|inf).*, {REMEDY}$"):
        predict(student, [q for q in toy_questions(9) if "blue" in q.choices], toy_params(score__texts=False))
