"""Voices of students of every kind against one pass a token; their samples; options behind a rationale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.student.test_predict import bart, bloom, gpt2, mamba, mistral, next_token, noisy, slow_score
from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.models import decoding
from tinyllm.models.likelihood import EncodedInput
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.models.reading_once import Draws, begin, generate_behind
from tinyllm.models.sampling import GivenTokens
from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.predict import option_scores
from tinyllm.student.tuning import tune
from tinyllm.student.voices import Sampling, Voice, agree, ask_voices, longest_ended, options_behind, voice_accuracies

TEACHERS = ("ann", "bobby")  # prefixes of different length
QUESTIONS = [
    *toy_questions(3),
    Question("11", "Which animal?", ("dog", "the cat that sits in town"), 0, "It was late."),
]
FREE = [Question(q.id, q.question, (), "red", q.context) for q in QUESTIONS]
LIMIT = 7

KINDS: dict[str, tuple[Any, float, dict[str, Any]]] = {  # how it is built, how loud its noise is, its params
    "t5": (toy_model, 1.0, {}),
    "t5, shared": (toy_model, 0.7, {"shared_encoder": True}),
    "t5, soft prompt, shared": (toy_model, 0.7, {"shared_encoder": True, "tuning": "prompt"}),
    "bart, shared": (bart, 1.0, {"shared_encoder": True}),
    "llama": (toy_causal, 0.4, {}),
    "llama, shared": (toy_causal, 0.4, {"shared_encoder": True}),
    "llama, soft prompt, shared": (toy_causal, 0.4, {"shared_encoder": True, "tuning": "prompt"}),
    "gpt2, shared": (gpt2, 0.4, {"shared_encoder": True}),
    "mistral, shared": (mistral, 0.4, {"shared_encoder": True}),
    "bloom, shared": (bloom, 0.4, {"shared_encoder": True}),  # goes on from no copy, and so reads each prompt whole
    "mamba": (mamba, 0.4, {}),
}


def params_of(target: str = "rationale_then_answer", **changes: Any) -> Params:
    student = {f"student__{name}": value for name, value in changes.items()}
    return toy_params(
        corpus__teachers=TEACHERS, student__target=target, student__response=" so", score__voices="auto", **student
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


QUICK = ("t5", "t5, shared", "llama", "llama, shared")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in KINDS]
)
def kind(request: pytest.FixtureRequest, tokenizer: Any) -> tuple[LoadedModel, Params]:
    build, size, changes = KINDS[request.param]
    params = params_of(**changes)
    return loaded_model(noisy(tune(build(tokenizer), params.student), size), tokenizer), params


def read(model: LoadedModel, params: Params, question: Question, teacher: str) -> EncodedInput:
    encoder = InputEncoder(params.student, model)
    return encoder.question(f"explain as {teacher}: ", question.context, input_text(question), TruncationCounts())


def slowly(model: LoadedModel, encoded: EncodedInput) -> list[int]:
    ids: list[int] = []
    while len(ids) < LIMIT and ids[-1:] != [1]:
        ids.append(int(next_token(model, encoded, ids).argmax()))
    return ids


# --- generation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fewest", [decoding.FEWEST, 1])
def test_voices_together_say_what_each_says_alone(
    kind: tuple[LoadedModel, Params], fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against one pass of the model for each token, without batch, padding, cache, a shared beginning or rows taken out."""
    model, params = kind
    monkeypatch.setattr(decoding, "FEWEST", fewest)
    expected = [
        {
            teacher: " ".join(model.tokenizer.decode(slowly(model, encoded), skip_special_tokens=True).split())
            for teacher in TEACHERS
            if (encoded := read(model, params, question, teacher))
        }
        for question in FREE
    ]
    assert len({text for voices in expected for text in voices.values()}) > 2, "a toy that repeats itself shows nothing"
    for batch_tokens in (1, 200, 10**6):
        asked = params.model_copy(update={"runtime": params.runtime.model_copy(update={"batch_tokens": batch_tokens})})
        voices = ask_voices(model, FREE, TEACHERS, asked, limit=LIMIT)
        assert [{name: voice.rationale for name, voice in said.items()} for said in voices] == expected
        assert all(voice.answer is None and voice.choice is None for said in voices for voice in said.values())


def test_the_tokens_of_a_text_are_counted_with_its_end(kind: tuple[LoadedModel, Params]) -> None:
    model, params = kind
    voices = ask_voices(model, FREE, TEACHERS, params, limit=LIMIT)
    expected = [
        [len(slowly(model, read(model, params, question, teacher))) for teacher in TEACHERS] for question in FREE
    ]
    assert [[said[teacher].tokens for teacher in TEACHERS] for said in voices] == expected


class EndsAfter:
    """Ends each row after so many tokens."""

    ends = (-1,)  # no token

    def __init__(self, lengths: list[int]) -> None:
        self.lengths, self.steps = lengths, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        return torch.tensor([self.steps >= length for length in self.lengths])

    def keep(self, rows: Any) -> None:
        self.lengths = [self.lengths[row] for row in rows]


def test_rows_that_have_ended_leave_the_others_as_they_would_be_alone(
    kind: tuple[LoadedModel, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, params = kind
    model.wrapped.eval()
    inputs = [read(model, params, question, teacher) for question in FREE[:3] for teacher in TEACHERS]
    begun = begin(model, inputs)
    lengths = [9, 2, 4, 12, 1, 7]
    expected = []
    for encoded, given, length in zip(inputs, begun.given, lengths, strict=True):
        ids: list[int] = []
        while len(ids) < length:
            ids.append(int(next_token(model, encoded, ids).argmax()))
        expected.append([*given, *ids][:length])
    monkeypatch.setattr(decoding, "FEWEST", 1)
    ending, given = EndsAfter(list(lengths)), GivenTokens(begun.given)
    rows = decoding.decode(model, begun.arguments, 11, ending, [given])
    assert [row.tokens for row in rows] == [tokens[:11] for tokens in expected]
    assert [row.ended for row in rows] == [length <= 11 for length in lengths]
    if "mamba" not in model.plain.config.model_type and model.plain.config.model_type != "bloom":
        assert len(ending.lengths) == 1, "all others were taken out"


@pytest.mark.parametrize("build", [toy_model, toy_causal])
def test_a_shared_question_is_read_once_for_all_voices(tokenizer: Any, build: Any) -> None:
    """Tokens that the encoder, and a causal model's first layer, are given before anything is generated."""
    params = params_of(shared_encoder=True)
    model = loaded_model(noisy(build(tokenizer), 0.4).eval(), tokenizer)
    question = QUESTIONS[0]
    inputs = [read(model, params, question, teacher) for teacher in (*TEACHERS, "carla")]
    layer = model.plain.model.layers[0] if model.causal else model.plain.encoder.block[0]
    seen: list[int] = []
    hook = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[:2].numel()))
    begun = begin(model, inputs)
    hook.remove()
    assert sum(seen) == (inputs[0].shared if model.causal else len(inputs[0].source)) > 10
    assert [len(given) for given in begun.given] == [len(e.prompt) - min(len(i.prompt) for i in inputs) for e in inputs]


def test_a_question_under_a_prefix_is_read_once_for_all_samples(tokenizer: Any) -> None:
    params = params_of()
    model = loaded_model(noisy(toy_causal(tokenizer), 0.4).eval(), tokenizer)
    encoded = read(model, params, QUESTIONS[0], "ann")
    begun = begin(model, [encoded] * 5)
    assert begun.arguments["input_ids"].shape == (5, len(encoded.prompt))
    assert begun.arguments["past_key_values"].get_seq_length() == len(encoded.prompt) - 1
    assert generate_behind(model, [encoded] * 5, LIMIT, pytest.fail) == [slowly(model, encoded)] * 5
    apart = begin(model, [encoded, read(model, params, QUESTIONS[1], "ann")])
    assert "past_key_values" not in apart.arguments


# --- options --------------------------------------------------------------------------------------------------------


def test_options_are_scored_behind_each_voices_own_rationale(kind: tuple[LoadedModel, Params]) -> None:
    """One pass of the model for each token of each option, behind prompt, rationale and LEAD."""
    model, params = kind
    encoder = InputEncoder(params.student, model)
    voices = ask_voices(model, QUESTIONS, TEACHERS, params, limit=LIMIT)
    apart = []
    for question, said in zip(QUESTIONS, voices, strict=True):
        for teacher in TEACHERS:
            encoded = read(model, params, question, teacher)
            written = model.tokenizer.decode(slowly(model, encoded), skip_special_tokens=True).strip()
            assert " ".join(written.split()) == said[teacher].rationale
            text = f"{written} The answer is"
            whole = [encoder.target(f"{text} {c}".strip(), TruncationCounts()).tolist() for c in question.choices]
            lead = encoder.target(text.strip(), TruncationCounts()).tolist()[:-1]
            assert all(ids[: len(lead)] == lead for ids in whole), "white space is where this vocabulary parts words"
            behind = EncodedInput(encoded.source, np.array([*encoded.prompt, *lead]))
            scores = [slow_score(model, behind, np.array(ids[len(lead) :])) for ids in whole]
            assert said[teacher].probabilities == pytest.approx(probabilities(scores), abs=1e-5)
            assert said[teacher].choice == int(np.argmax(scores))
            assert said[teacher].answer == question.choices[int(np.argmax(scores))]
            alone = option_scores(
                model, [encoded], [[encoder.target(c, TruncationCounts()) for c in question.choices]], 1
            )
            apart.append(np.abs(np.subtract(probabilities(alone[0]), said[teacher].probabilities)).max())
    assert max(apart) > 0.05, "a toy whose rationale changes nothing shows nothing"


def test_the_text_before_an_option_and_the_option_are_those_that_are_learnt(tokenizer: Any) -> None:
    model = loaded_model(toy_model(tokenizer), tokenizer)
    encoder = InputEncoder(params_of().student, model)
    lead, options = options_behind(encoder, "rationale_then_answer", "It is late.", ("red", "a red dog", "red"))
    assert [*lead, *options[1]] == tokenizer("It is late. The answer is a red dog")["input_ids"]
    assert tokenizer.decode(lead) == "It is late. The answer is" and options[0].tolist() == options[2].tolist()
    assert options[0].tolist() == tokenizer("red")["input_ids"] and options[0][-1] == tokenizer.eos_token_id


def test_where_the_answer_comes_first_it_ends_with_a_full_stop_and_not_the_text(tokenizer: Any) -> None:
    encoder = InputEncoder(params_of().student, loaded_model(toy_model(tokenizer), tokenizer))
    lead, options = options_behind(encoder, "answer_then_rationale", "It is late.", ("red", "a red dog"))
    assert tokenizer.decode(lead) == "The answer is"
    assert [tokenizer.decode(ids) for ids in options] == ["red.", "a red dog."]
    assert all(ids[-1] != tokenizer.eos_token_id for ids in options)


def test_a_rationales_own_conclusion_does_not_stand_before_the_options(tokenizer: Any) -> None:
    encoder = InputEncoder(params_of().student, loaded_model(toy_model(tokenizer), tokenizer))
    lead, _ = options_behind(encoder, "rationale_then_answer", "It is late. So the answer is blue.", ("red", "blue"))
    assert tokenizer.decode(lead) == "It is late. The answer is"


# --- samples --------------------------------------------------------------------------------------------------------


def test_samples_are_drawn_from_the_question_the_teacher_and_their_number_alone(
    kind: tuple[LoadedModel, Params],
) -> None:
    model, params = kind
    sampling = Sampling(3, 0.8)
    together = ask_voices(model, QUESTIONS, TEACHERS, params, limit=LIMIT, sampling=sampling)
    for i, question in enumerate(QUESTIONS):
        for teacher in TEACHERS:
            (alone,) = ask_voices(model, [question], [teacher], params, limit=LIMIT, sampling=sampling)
            assert alone[teacher].rationale == together[i][teacher].rationale
            assert alone[teacher].tokens == together[i][teacher].tokens
            assert alone[teacher].probabilities == pytest.approx(together[i][teacher].probabilities, abs=1e-5)
    other = ask_voices(model, QUESTIONS, TEACHERS, params, limit=LIMIT, sampling=Sampling(3, 5.0))
    assert other != together


def test_draws_come_as_often_as_the_model_says(tokenizer: Any) -> None:
    params = params_of(shared_encoder=True)
    model = loaded_model(noisy(toy_model(tokenizer), 0.5).eval(), tokenizer)
    encoded = read(model, params, QUESTIONS[0], "bobby")
    seeds = [str(number) for number in range(2000)]
    inputs = [encoded] * 1999 + [
        read(model, params, QUESTIONS[0], "ann")
    ]  # a shorter prompt: the others are made to wait
    rows = generate_behind(model, inputs, 1, pytest.fail, Draws(0.4, seeds))
    expected = torch.softmax(next_token(model, encoded, []) / 0.4, dim=-1).tolist()
    counts = np.bincount([row[0] for row in rows[:-1]], minlength=len(expected)) / 1999
    assert 0.05 < max(expected) < 0.9
    for found, share in zip(counts, expected, strict=True):
        assert found == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 1999) + 0.002)


def say(answer: str | None, rationale: str = "", choice: int | None = None, *sure: float) -> Voice:
    return Voice(rationale, answer, choice, list(sure), 4)


def test_samples_of_free_text_vote_by_majority_and_equal_counts_by_the_earlier() -> None:
    samples = [say("5", "a"), say("7", "b"), say(" 7.0 ", "c"), say(None, "d")]
    assert agree(samples) == say("7", "b") and agree(samples).tokens == 16
    assert agree([say("5", "a"), say("7", "b")]) == say("5", "a")
    assert agree([say(None, "a"), say("7", "b")]) == say("7", "b")
    assert agree([say(None, "a"), say(None, "b")]) == say(None, "a")


def test_samples_of_options_are_averaged() -> None:
    samples = [say("red", "a", 0, 0.5, 0.3, 0.2), say("blue", "b", 1, 0.0, 0.6, 0.4)]
    voice = agree(samples)
    assert voice.probabilities == pytest.approx([0.25, 0.45, 0.3])
    assert (voice.choice, voice.answer, voice.rationale, voice.tokens) == (1, "blue", "b", 8)


def test_an_option_that_no_sample_chose_may_be_the_voices() -> None:
    samples = [say("red", "a", 0, 0.52, 0.48, 0.0), say("green", "b", 2, 0.0, 0.48, 0.52)]
    voice = agree(samples)
    assert voice.choice == 1 and voice.rationale == "a"


# --- accuracy -------------------------------------------------------------------------------------------------------


def test_a_voices_accuracy_is_the_share_that_it_has_right(tokenizer: Any) -> None:
    plain_text = loaded_model(toy_model(tokenizer), tokenizer).plain_text
    chosen = [{"ann": say("", "", 0, 1.0), "bob": say("", "", question.answer, 1.0)} for question in QUESTIONS]
    right = [question.answer == 0 for question in QUESTIONS]
    assert 0 < sum(right) < 4
    assert voice_accuracies(chosen, QUESTIONS, plain_text) == {"ann": sum(right) / 4, "bob": 1.0}
    written = [{"ann": say(text)} for text in ("red", " Red. ", None, "blue")]
    assert voice_accuracies(written, FREE, plain_text) == {"ann": 0.5}


def test_the_longest_text_is_looked_for_among_those_that_ended(kind: tuple[LoadedModel, Params]) -> None:
    texts = [Voice("", "", None, [], tokens, ended) for tokens, ended in ((5, True), (9, False), (7, True))]
    assert longest_ended([{"ann": texts[0], "bob": texts[1]}, {"ann": texts[2]}]) == 7
    assert longest_ended([{"bob": texts[1]}]) == 0
    model, params = kind
    for limit in (1, LIMIT):
        asked = ask_voices(model, FREE, TEACHERS, params, limit=limit)
        for question, said in zip(FREE, asked, strict=True):
            for teacher in TEACHERS:
                ids = slowly(model, read(model, params, question, teacher))[:limit]
                assert said[teacher].ended == (ids[-1] == 1)
