"""How likely a local teacher finds each option: against every option's text by itself in double precision, and the cache."""

from __future__ import annotations

import copy
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from tests.checkpoint_toys import byte_tokenizer, runtime, save_llama, settings
from tests.toys import toy_questions
from tinyllm.params.schema import Prompting
from tinyllm.records.questions import Question
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.cache.transfer import export_answers, read_entries
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.local.option_scores import OptionScores
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

QUESTIONS = toy_questions(6)  # of three and four options
TRAIN = [
    Question("t1", "Which is gathered by bees?", ("red nectar", "sand"), 0),
    Question("t2", "What rusts in rain at night?", ("gold", "iron"), 1),
]
PROMPTING = Prompting(
    instruction="", examples=1, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)
TEMPLATE = "<s>{% for m in messages %}{{ m.role }} says {{ m.content }} {% endfor %}assistant says"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    save_llama(folder, tokenizer)
    return folder


def save(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Positions that are learnt, one by one: a token at a wrong one shows."""
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=400, n_embd=16, n_layer=2, n_head=2, n_positions=512, initializer_range=0.6)
    return save(tmp_path_factory.mktemp("gpt2"), GPT2LMHeadModel(config))


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It keeps a state that grows with no token: options cannot share what was read of the prompt."""
    torch.manual_seed(1)
    config = MambaConfig(vocab_size=400, hidden_size=16, num_hidden_layers=1, state_size=4)
    model = MambaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0.0, 0.4)
    return save(tmp_path_factory.mktemp("mamba"), model)


def live(folder: Path, cache: Path, prompting: Prompting = PROMPTING, **changes: Any) -> CachedTeacher:
    backend = Local(settings(folder, **changes), runtime())
    return CachedTeacher("toy", backend, cache / "answers.sqlite", prompting, TRAIN, None, None, OptionScores(backend))


def model_of(teacher: CachedTeacher) -> Any:
    assert isinstance(teacher.backend, Local)
    return teacher.backend.load().plain


def outcomes(local: Local, *prompts: Scored) -> list[Generation | Failure]:
    return [outcome for _, outcome in OptionScores(local).generate(prompts, lambda index: True)]


def slowly(teacher: CachedTeacher, question: Question, model: Any, wording: str) -> list[float]:
    """The softmax over the options: each behind the prompt by itself, no cache and no padding.

    Of a causal model the prompt's own likelihood counts too; it is the same for all options, and so changes nothing.
    """
    (fitted,) = teacher.build_prompts([question], forced=False, generate=teacher.generate)
    assert fitted.prompt is not None and isinstance(teacher.backend, Local)
    tokenizer, totals = teacher.backend.tokenizer, []
    for option in question.choices:
        if model.config.is_encoder_decoder:
            target = tokenizer(option)["input_ids"]
            source = torch.tensor([tokenizer(fitted.prompt.text)["input_ids"]])
            arguments = {"input_ids": source, "decoder_input_ids": torch.tensor([[0, *target[:-1]]])}
        else:
            first, *target = tokenizer(wording.format(fitted.prompt.text) + option)["input_ids"]
            arguments = {"input_ids": torch.tensor([[first, *target[:-1]]])}
        with torch.no_grad():
            told = torch.log_softmax(model(**arguments).logits[0], dim=-1)
        totals.append(sum(told[place, token] for place, token in enumerate(target)))
    return torch.softmax(torch.stack(totals), dim=0).tolist()


# --- what is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "chat", "wording"),
    [
        ("t5", False, ""),
        ("llama", False, "{} "),
        ("llama", True, "user says {} assistant says "),  # the tokenizer itself puts <s> before it
        ("gpt2", False, "{} "),
        ("mamba", False, "{} "),
    ],
)
def test_probabilities_equal_every_options_text_by_itself_in_double_precision(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, chat: bool, wording: str
) -> None:
    teacher = live(request.getfixturevalue(kind), tmp_path, chat=chat)
    found = teacher.option_probabilities(QUESTIONS)
    exact = copy.deepcopy(model_of(teacher)).double()
    for question, probabilities in zip(QUESTIONS, found, strict=True):
        assert probabilities == pytest.approx(slowly(teacher, question, exact, wording), abs=1e-5)
        assert sum(probabilities or []) == pytest.approx(1.0, abs=1e-12)
    flat = [share for probabilities in found for share in probabilities or []]
    assert max(flat) - min(flat) > 0.3 and len({round(share, 3) for share in flat}) > 10  # not alike, whatever was read


def test_an_option_that_joins_the_prompts_end_in_one_token_is_compared_with_the_others_rightly(tmp_path: Path) -> None:
    pieces = {piece: place for place, piece in enumerate(["<s>", "</s>", *"We mtardogblu", " r"])}
    spanning = Tokenizer(models.BPE(vocab=pieces, merges=[(" ", "r")]))
    save_llama(tmp_path, PreTrainedTokenizerFast(tokenizer_object=spanning, bos_token="<s>", eos_token="</s>"))
    local, texts = Local(settings(tmp_path), runtime()), ("red", "dog", "blue")
    assert [len(local.encode(Prompt("", "We met a "), text)) for text in ("", "red", "dog")] == [9, 11, 12]
    (found,) = outcomes(local, Scored("", "We met a ", texts))
    assert isinstance(found, Generation)
    exact, totals = copy.deepcopy(local.load().plain).double(), []
    for text in texts:
        ids = torch.tensor(local.tokenizer(f"We met a {text}")["input_ids"])
        with torch.no_grad():
            told = torch.log_softmax(exact(ids[None]).logits[0, :-1], dim=-1)
        totals.append(float(told.gather(1, ids[1:, None]).sum()))
    scores = json.loads(found.text)
    assert [score - scores[0] for score in scores] == pytest.approx([total - totals[0] for total in totals], abs=1e-4)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "<s>tell me green"),
        (TEMPLATE, "<s>user says tell me assistant says green"),
        ("<s>[{{ messages[0].content }}]{{ '\\n' }}", "<s>[tell me]\ngreen"),
    ],
)
def test_an_option_stands_behind_the_prompt_with_white_space_between(
    llama: Path, template: str | None, expected: str
) -> None:
    local = Local(settings(llama, chat=template is not None), runtime())
    local.tokenizer.chat_template = template
    assert local.tokenizer.decode(local.encode(Prompt("", "tell me"), "green")) == expected


def test_the_gold_answer_is_not_shown_whatever_the_params_say(tmp_path: Path, llama: Path) -> None:
    others = [replace(question, answer=(question.answer + 1) % len(question.choices)) for question in QUESTIONS]
    first = live(llama, tmp_path)
    told = first.option_probabilities(QUESTIONS)
    assert first.prompting.teacher_forcing and first.counts.answered == 6
    second = live(llama, tmp_path)
    assert second.option_probabilities(others) == told
    assert second.counts.answered == 0  # the very same prompts


def test_a_question_is_told_to_the_last_digit_what_it_is_told_in_company(tmp_path: Path, llama: Path) -> None:
    together = live(llama, tmp_path / "one").option_probabilities(QUESTIONS)
    backwards = live(llama, tmp_path / "two").option_probabilities(QUESTIONS[::-1])
    alone = live(llama, tmp_path / "three").option_probabilities(QUESTIONS[3:4])
    assert together == backwards[::-1] and together[3:4] == alone


# --- the cache ------------------------------------------------------------------------------------------------------


def test_a_second_call_computes_nothing_and_changed_decoding_does_neither(tmp_path: Path, llama: Path) -> None:
    told = live(llama, tmp_path).option_probabilities(QUESTIONS)
    for changes in ({}, {"temperature": 0.7, "seed": 5}, {"max_new_tokens": 9}):
        again = live(llama, tmp_path, **changes)
        assert again.option_probabilities(QUESTIONS) == told
        assert isinstance(again.backend, Local) and again.backend.model is None
        assert (again.counts.cached, again.counts.answered) == (6, 0)


@pytest.mark.parametrize(
    "change", [{"chat": True}, {"instruction": "Be brief."}, {"examples": 0}], ids=lambda change: next(iter(change))
)
def test_what_shapes_the_prompt_asks_anew(tmp_path: Path, llama: Path, change: dict) -> None:
    live(llama, tmp_path).option_probabilities(QUESTIONS)
    chat = {key: value for key, value in change.items() if key == "chat"}
    prompting = PROMPTING.model_copy(update={key: value for key, value in change.items() if key != "chat"})
    other = live(llama, tmp_path, prompting, **chat)
    other.option_probabilities(QUESTIONS)
    assert (other.counts.cached, other.counts.answered) == (0, 6)


def test_the_scores_are_kept_beside_the_rationales_and_under_their_own_name(tmp_path: Path, llama: Path) -> None:
    teacher = live(llama, tmp_path)
    teacher.examine(QUESTIONS)
    answered = teacher.counts.answered
    assert 0 < answered == 6 - teacher.counts.failures["empty"]  # a random model may have nothing to say
    teacher.option_probabilities(QUESTIONS)  # the same prompts, of which the cache has answers
    assert teacher.scorer is not None and teacher.counts.answered == 6
    folder_hash = teacher.backend.identity["model"]
    assert teacher.scorer.identity == {
        "backend": "local",
        "model": folder_hash,
        "gguf_file": None,
        "chat": False,
        "precision": "fp32",
        "asked": "log-likelihood of each option",
    }
    with ResponseCache(tmp_path / "answers.sqlite") as cache:
        assert sorted((one.identity["model"], one.answers) for one in cache.totals()) == [
            (folder_hash, answered),
            (folder_hash, 6),
        ]
        kept = [entry.answer for entry in cache.entries() if "asked" in entry.identity]
    scores = [json.loads(answer.text) for answer in kept]
    assert sorted(map(len, scores)) == sorted(len(question.choices) for question in QUESTIONS)
    assert all(score < 0 for row in scores for score in row)


def test_exported_scores_serve_another_cache(tmp_path: Path, llama: Path) -> None:
    told = live(llama, tmp_path / "one").option_probabilities(QUESTIONS)
    with ResponseCache(tmp_path / "one/answers.sqlite") as cache:
        assert export_answers(cache, tmp_path / "answers.jsonl") == 6
    with ResponseCache(tmp_path / "two/answers.sqlite") as cache:
        assert cache.merge(read_entries(tmp_path / "answers.jsonl").entries) == (6, 0, 0)
    again = live(llama, tmp_path / "two")
    assert again.option_probabilities(QUESTIONS) == told and again.counts.answered == 0


def test_ctrl_c_keeps_what_is_scored_and_the_rest_is_scored_later(tmp_path: Path, llama: Path) -> None:
    undisturbed = live(llama, tmp_path / "undisturbed").option_probabilities(QUESTIONS)
    stopped = live(llama, tmp_path)
    calls: list[int] = []

    def press(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    model_of(stopped).register_forward_pre_hook(press)  # once a question: its options are a token each
    with pytest.raises(KeyboardInterrupt):
        stopped.option_probabilities(QUESTIONS)
    assert len(calls) == 3
    rest = live(llama, tmp_path)
    assert rest.option_probabilities(QUESTIONS) == undisturbed
    assert (rest.counts.cached, rest.counts.answered) == (3, 3)


# --- what fails -----------------------------------------------------------------------------------------------------


def test_an_option_too_long_for_the_window_fails_alone_and_is_not_admitted(tmp_path: Path) -> None:
    save_llama(tmp_path, byte_tokenizer(), window=32)
    local = Local(settings(tmp_path, max_new_tokens=4), runtime())
    asked: list[int] = []
    prompts = [Scored("", "red", ("dog", "x" * letters)) for letters in (20, 40)]
    found = dict(OptionScores(local).generate(prompts, lambda index: not asked.append(index)))
    assert isinstance(found[0], Generation)
    tokens = len(local.encode(prompts[1], "x" * 40))
    assert found[1] == Failure("too_long", f"{tokens} tokens with the longest option; the model holds 32")
    assert asked == [0]


def test_a_question_that_failed_has_no_probabilities_and_is_scored_again(
    tmp_path: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, calls = live(llama, tmp_path), []

    def exceed(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model_of(teacher).register_forward_pre_hook(exceed)
    found = teacher.option_probabilities(QUESTIONS)
    assert [place for place, probabilities in enumerate(found) if probabilities is None] == [1]
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "toy, option probabilities: 0 answers from the cache, 5 new; failed: out_of_memory 1"
    again = live(llama, tmp_path)
    assert None not in again.option_probabilities(QUESTIONS)
    assert (again.counts.cached, again.counts.answered) == (5, 1)


def test_likelihoods_that_are_no_numbers_are_a_failure(llama: Path) -> None:
    local = Local(settings(llama), runtime())
    local.load().plain.lm_head.weight.data[3] = torch.nan
    (found,) = outcomes(local, Scored("", "We met a dog", ("red", "blue")))
    assert found == Failure("not_finite", "the model's likelihoods are no finite numbers; its weights may be damaged")


def test_an_option_of_which_the_tokenizer_leaves_nothing_is_a_failure(tmp_path: Path) -> None:
    pieces = {piece: place for place, piece in enumerate(["<s>", "</s>", *"We mtardogblu"])}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=[]))
    save_llama(tmp_path, PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"))
    local = Local(settings(tmp_path), runtime())
    none, some = outcomes(local, Scored("", "We met a\n", ("dog", "XX")), Scored("", "We met a\n", ("dog", "red")))
    assert none == Failure("empty_option", "the tokenizer leaves nothing of an option")
    assert isinstance(some, Generation)


def test_a_live_teacher_without_scores_refuses(tmp_path: Path, llama: Path) -> None:
    backend = Local(settings(llama), runtime())
    teacher = CachedTeacher("endpoint", backend, tmp_path / "answers.sqlite", PROMPTING, TRAIN, None, None)
    message = (
        "^teacher endpoint: its backend cannot tell how likely it finds an option; "
        "set corpus.option_probabilities to false$"
    )
    with pytest.raises(ValueError, match=message):
        teacher.option_probabilities(QUESTIONS)
