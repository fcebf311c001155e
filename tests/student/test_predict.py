"""Likelihood and generation of students of every kind against one pass a token; matching of what was generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from tests.tokenizer_toys import t5 as t5_tokenizer
from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.models.likelihood import EncodedInput, shares_prefix
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.models.plain_text import PlainText
from tinyllm.params.schema import Student
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import generate_texts, match_option
from tinyllm.student.predict import choose, encode_questions, option_scores, passes, predict
from tinyllm.student.tuning import tune

FEW = [  # options of different number and length, with context and without
    *toy_questions(2),
    Question("10", "What sits by the river?", ("a red dog", "a bird", "the white horse at home"), 2, "It was late."),
    Question("11", "Which animal?", ("dog", "the cat that sits in town"), 0),
]
QUESTIONS = [*FEW, *toy_questions(10)[2:]]


def settings(**changes: Any) -> Student:
    """The student's params; its tokenizer has no tab, which a chat template or another response would need."""
    return toy_params(student__response=" so", **{f"student__{name}": value for name, value in changes.items()}).student


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def noisy(model: Any, size: float = 1.0) -> Any:
    """Fill the weights with noise: as initialised, a toy repeats itself whatever it is asked."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, size)
    return model.train()  # whoever scores has to switch dropout off


ENDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}


def gpt2(tokenizer: Any) -> Any:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=128, n_embd=16, n_layer=2, n_head=2, **ENDS)
    )


def mistral(tokenizer: Any) -> Any:
    """Its tokens look back no further than eight, less than a question is long."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = MistralConfig(vocab_size=len(tokenizer), **sizes, num_key_value_heads=1, sliding_window=8, **ENDS)
    return MistralForCausalLM(config)


def bart(tokenizer: Any) -> Any:
    sizes = {"layers": 1, "ffn_dim": 32, "attention_heads": 2}
    sides = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes.items()}
    options = {"max_position_embeddings": 128, "decoder_start_token_id": 1, "forced_eos_token_id": None}
    return BartForConditionalGeneration(BartConfig(vocab_size=len(tokenizer), d_model=16, **sides, **options, **ENDS))


def mamba(tokenizer: Any) -> Any:
    return MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, **ENDS))


def bloom(tokenizer: Any) -> Any:
    return BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), hidden_size=16, n_layer=2, n_head=2, **ENDS))


def lfm2(tokenizer: Any) -> Any:
    """Its first layer keeps the last few tokens themselves, not their keys and values."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    layers = {"intermediate_size": 32, "layer_types": ["conv", "full_attention"]}
    return Lfm2ForCausalLM(Lfm2Config(vocab_size=len(tokenizer), **sizes, **layers, **ENDS))


KINDS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "t5": (lambda tokenizer: toy_model(tokenizer, dropout=0.5), {}),
    "t5, shared encoder": (toy_model, {"shared_encoder": True}),
    "t5, lora": (toy_model, {"tuning": "lora"}),
    "t5, soft prompt": (toy_model, {"tuning": "prompt"}),
    "t5, soft prompt and shared encoder": (toy_model, {"tuning": "prompt", "shared_encoder": True}),
    "bart": (bart, {}),
    "llama": (lambda tokenizer: toy_causal(tokenizer, dropout=0.5), {}),
    "llama, lora": (toy_causal, {"tuning": "lora"}),
    "llama, soft prompt": (toy_causal, {"tuning": "prompt"}),
    "gpt2": (gpt2, {}),
    "mistral": (mistral, {}),
    "mamba": (mamba, {}),
    "bloom": (bloom, {}),
    "lfm2": (lfm2, {}),
}
Kind = tuple[LoadedModel, InputEncoder]


OTHERS = ("bart", "gpt2", "mistral", "mamba", "bloom", "lfm2")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in OTHERS else ()) for name in KINDS]
)
def kind(request: pytest.FixtureRequest, tokenizer: Any) -> Kind:
    """A student, all of it noise, and what it reads by."""
    build, changes = KINDS[request.param]
    student = settings(**changes)
    model = build(tokenizer)
    size = 0.7 if model.config.is_encoder_decoder else 0.4  # of more noise float32 loses the last digits
    loaded = loaded_model(noisy(tune(model, student), size), tokenizer)
    return loaded, InputEncoder(student, loaded)


@pytest.fixture(scope="module")
def t5(tokenizer: Any) -> Kind:
    model = loaded_model(noisy(toy_model(tokenizer, dropout=0.5)), tokenizer)
    return model, InputEncoder(settings(), model)


@torch.no_grad()
def next_token(model: LoadedModel, reading: EncodedInput, behind: list[int]) -> torch.Tensor:
    """Log-probabilities (V,) of the token behind a reading and these tokens, by one pass of the model over all of them."""
    model.wrapped.eval()
    decoded = torch.tensor([[*reading.prompt.tolist(), *behind]])
    if not len(reading.source):
        logits = model.wrapped(input_ids=decoded, attention_mask=torch.ones_like(decoded), use_cache=False).logits
    else:
        ids = torch.tensor([reading.source.tolist()])
        logits = model.wrapped(
            input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=decoded, use_cache=False
        ).logits
    return torch.log_softmax(logits[0, -1].double(), dim=-1)


def slow_score(model: LoadedModel, reading: EncodedInput, option: np.ndarray) -> float:
    """The log-probabilities of an option's tokens added up, each by a pass of its own."""
    return sum(float(next_token(model, reading, option[:i].tolist())[option[i]]) for i in range(len(option)))


def prompt(question: Question) -> str:
    return "predict: " + (f"{question.context}\n" if question.context else "") + input_text(question)


# --- likelihood -----------------------------------------------------------------------------------------------------


def test_inputs_and_options_are_the_tokenizers_ids(t5: Kind, tokenizer: Any) -> None:
    readings, options, cuts = encode_questions(QUESTIONS, t5[1], "predict: ")
    assert cuts == TruncationCounts(0, 0, 0)
    for question, reading, rows in zip(QUESTIONS, readings, options, strict=True):
        assert reading.source.tolist() == tokenizer(prompt(question))["input_ids"] and reading.prompt.tolist() == [0]
        assert [row.tolist() for row in rows] == tokenizer(list(question.choices))["input_ids"]


def test_an_option_is_never_cut(t5: Kind, tokenizer: Any) -> None:
    question = Question("1", "Which?", ("red " * 500, "blue"), 0)
    _, options, cuts = encode_questions([question], InputEncoder(settings(max_input_tokens=16), t5[0]), "predict: ")
    assert len(options[0][0]) == 501 and cuts == TruncationCounts(inputs_over_limit=1)


def test_scores_equal_one_pass_for_every_token_of_every_option(kind: Kind) -> None:
    model, reader = kind
    readings, options, _ = encode_questions(FEW, reader, "predict: ")
    expected = [
        [slow_score(model, reading, ids) for ids in row] for reading, row in zip(readings, options, strict=True)
    ]
    assert max(max(row) - min(row) for row in expected) > 1, "a toy that finds all options alike shows nothing"
    for batch_tokens in (1, 100, 10**6):
        model.wrapped.train()
        for scores, slow in zip(option_scores(model, readings, options, batch_tokens), expected, strict=True):
            assert scores == pytest.approx(slow, abs=1e-5, rel=1e-6)


def test_a_score_by_tokens_is_the_mean_over_an_options_tokens(t5: Kind) -> None:
    readings, options, _ = encode_questions(QUESTIONS, t5[1], "predict: ")
    sums, means = (option_scores(t5[0], readings, options, 300, normalize) for normalize in ("none", "tokens"))
    for row, by_token, ids in zip(sums, means, options, strict=True):
        assert by_token == pytest.approx([s / len(tokens) for s, tokens in zip(row, ids, strict=True)], rel=1e-12)


def test_only_models_that_keep_keys_and_values_and_are_told_positions_go_on_from_a_prompt(tokenizer: Any) -> None:
    found = {
        build.__name__: shares_prefix(loaded_model(build(tokenizer), tokenizer))
        for build in (toy_model, bart, toy_causal, gpt2, mistral, mamba, bloom, lfm2)
    }
    assert [name for name, can in found.items() if not can] == ["mamba", "bloom", "lfm2"]


def test_what_stands_before_the_options_is_read_once(t5: Kind, tokenizer: Any) -> None:
    """Tokens that the encoder, and a causal model's first layer, are given: those of the questions, and of no option twice."""
    causal = loaded_model(noisy(toy_causal(tokenizer)), tokenizer)
    for model, layer in ((t5[0], t5[0].plain.encoder.block[0]), (causal, causal.plain.model.layers[0])):
        seen: list[int] = []
        hook = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[:2].numel()))  # noqa: B023
        readings, options, _ = encode_questions(QUESTIONS, InputEncoder(settings(), model), "predict: ")
        option_scores(model, readings, options, 1)
        hook.remove()
        read = sum(len(reading.source) or len(reading.prompt) for reading in readings)
        written = 0 if model is t5[0] else sum(len(ids) - 1 for row in options for ids in row)
        assert sum(seen) == read + written


def test_progress_tells_of_every_question_once(t5: Kind, tokenizer: Any) -> None:
    readings, options, _ = encode_questions(QUESTIONS, t5[1], "predict: ")
    done: list[int] = []
    option_scores(t5[0], readings, options, 200, progress=done.append)
    assert sum(done) == len(QUESTIONS) and len(done) > 1
    generate_texts(t5[0], readings, 3, 200, done.append)
    assert sum(done) == 2 * len(QUESTIONS)


# --- text -----------------------------------------------------------------------------------------------------------


def test_texts_generated_together_equal_those_generated_one_by_one(kind: Kind) -> None:
    model, reader = kind
    readings, _, _ = encode_questions(FEW, reader, "predict: ")
    expected = []
    for reading in readings:
        ids: list[int] = []
        while len(ids) < 6 and ids[-1:] != [1]:  # greedy, by hand
            ids.append(int(next_token(model, reading, ids).argmax()))
        expected.append(" ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split()))
    assert len(set(expected)) > 1, "a toy that says the same of everything shows nothing"
    for batch_tokens in (1, 100, 10**6):
        model.wrapped.train()
        assert generate_texts(model, readings, 6, batch_tokens) == expected


def test_a_text_ends_where_the_tokenizers_texts_end(tokenizer: Any) -> None:
    """Not where a checkpoint's own settings, which may be of another use of it, would end it."""
    model = loaded_model(noisy(toy_causal(tokenizer), 0.4), tokenizer)
    readings, _, _ = encode_questions(FEW, InputEncoder(settings(), model), "predict: ")
    expected = generate_texts(model, readings, 6, 300)
    model.plain.generation_config.eos_token_id = list(range(2, len(tokenizer)))
    assert generate_texts(model, readings, 6, 300) == expected
    assert all(expected)


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
        ("/s>", ("red", "</s>"), None),  # it has a smaller-than sign, so the student can write all of it
        ("</s>", ("red", "</s>"), 1),
        ("<pad>", ("</s>", "<pad>"), 1),
        ("", ("</s>", "red"), None),
        ("cafe\u0301", ("red", "caf\u00e9"), 1),  # an accent may be a character of its own
    ],
)
def test_a_generated_text_counts_as_the_option_that_it_equals(
    text: str, choices: tuple[str, ...], expected: int | None
) -> None:
    assert match_option(text, choices, PlainText(t5_tokenizer())) == expected


@pytest.mark.parametrize(
    ("scores", "expected"), [([-3.0, -1.0, -2.0], 1), ([-1.0, -2.0, -1.0], 0), ([-2.0, -1.0, -1.0], 1), ([0.5], 0)]
)
def test_the_best_score_is_chosen_and_of_equal_ones_the_first(scores: list[float], expected: int) -> None:
    assert choose(scores) == expected


def test_a_prediction_holds_scores_choice_text_and_match(t5: Kind, tokenizer: Any) -> None:
    rows = predict(t5[0], QUESTIONS, toy_params(score__max_new_tokens=4))
    readings, options, _ = encode_questions(QUESTIONS, t5[1], "predict: ")
    for question, row, reading, ids in zip(QUESTIONS, rows, readings, options, strict=True):
        assert list(row) == ["id", "gold", "choice", "scores", "text", "matched"]
        assert (row["id"], row["gold"]) == (question.id, question.answer)
        sums = [slow_score(t5[0], reading, option) for option in ids]
        assert row["scores"] == pytest.approx(sums, abs=1e-4) and row["choice"] == int(np.argmax(sums))
        assert row["matched"] == match_option(row["text"], question.choices, PlainText(tokenizer))


def test_without_texts_only_the_options_are_judged(t5: Kind, tokenizer: Any) -> None:
    done: list[int] = []
    with_texts = predict(t5[0], QUESTIONS, toy_params())
    silent = predict(t5[0], QUESTIONS, toy_params(score__texts=False), done.append)
    assert sum(done) == len(QUESTIONS) * passes(QUESTIONS, texts=False) == len(QUESTIONS)
    assert silent == [{**row, "text": None, "matched": None} for row in with_texts]


def test_in_bf16_scores_are_rounded_and_nearly_the_same(t5: Kind, tokenizer: Any) -> None:
    exact, rough = (predict(t5[0], QUESTIONS, toy_params(score__precision=p)) for p in ("fp32", "bf16"))
    exact, rough = (np.concatenate([row["scores"] for row in rows]) for rows in (exact, rough))
    apart = np.abs(rough - exact) / np.abs(exact)
    assert 1e-4 < apart.max() < 0.1  # a number of bf16 has 8 bits: up to 2**-9 off, and that layer after layer


def test_a_prediction_does_not_depend_on_the_gold_answer(t5: Kind, tokenizer: Any) -> None:
    def of(answer: int) -> list[dict]:
        questions = [Question(q.id, q.question, q.choices, answer, q.context) for q in QUESTIONS]
        rows = predict(t5[0], questions, toy_params(score__max_new_tokens=4))
        return [{key: value for key, value in row.items() if key != "gold"} for row in rows]

    assert of(0) == of(1)
