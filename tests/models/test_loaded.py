"""What a loaded model says of itself: its kinds, its padding, and where it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.checkpoint_toys import byte_tokenizer
from tests.toys import toy_causal, toy_model, toy_params, toy_tokenizer
from tinyllm.models.loaded import filled, loaded_model, move, pad
from tinyllm.student.tuning import tune


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.mark.parametrize(("tuning", "length"), [("full", 0), ("lora", 0), ("prompt", 20)])
@pytest.mark.parametrize(("build", "causal"), [(toy_model, False), (toy_causal, True)])
def test_a_model_is_looked_into_once(tokenizer: Any, build: Any, causal: bool, tuning: str, length: int) -> None:
    plain = build(tokenizer)
    wrapped = tune(plain, toy_params(student__tuning=tuning, student__model="some/model").student)
    model = loaded_model(wrapped, tokenizer)
    assert model.wrapped is wrapped and model.plain is plain and model.tokenizer is tokenizer
    assert (model.causal, model.soft_tokens, model.pad_id) == (causal, length, 0)
    if model.soft_prompt:
        assert model.soft_prompt.vectors(3).shape == (3, 20, 16)


def test_a_model_without_a_padding_token_pads_with_the_one_that_ends_a_text() -> None:
    tokenizer = byte_tokenizer()
    plain = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1, eos_token_id=1))
    assert plain.config.pad_token_id is None and tokenizer.pad_token_id is None
    model = loaded_model(plain, tokenizer)
    assert (model.pad_id, plain.config.pad_token_id, tokenizer.pad_token) == (1, 1, "</s>")


def test_a_model_is_where_it_was_moved_to(tokenizer: Any) -> None:
    model = loaded_model(toy_model(tokenizer), tokenizer)
    assert model.device == torch.device("cpu")
    move(model, "meta")
    assert model.device == torch.device("meta")


def test_arrays_are_padded_at_the_right_and_the_mask_says_where() -> None:
    arrays = [torch.tensor(values, dtype=torch.int32).numpy() for values in ([5], [6, 7, 8])]
    assert pad(arrays, 9).tolist() == [[5, 9, 9], [6, 7, 8]]
    assert filled(arrays).tolist() == [[1, 0, 0], [1, 1, 1]]
