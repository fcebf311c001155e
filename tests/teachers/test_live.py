"""Asking a live teacher: what is sent, kept, counted and refused, with a backend that answers from memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.estimate import estimate
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.metrics import summarise_query
from tinyllm.teachers.open import rationale_rows
from tinyllm.teachers.protocol import Failure, Generation, Prompt

PLAIN = Prompting(
    instruction="", examples=0, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)
NAMES = ("otter", "badger", "heron", "newt", "vole", "lynx", "moth", "carp")
QUESTIONS = [
    Question(f"q{i}", f"Where does the {name} sleep at noon?", ("burrow", "nest"), 0) for i, name in enumerate(NAMES)
]
TRAIN = [
    Question("t1", "What do bees gather from clover?", ("nectar", "sand"), 0),
    Question("t2", "Which metal rusts in rain?", ("gold", "iron"), 1),
    Question("t3", "How many legs has a spider?", ("eight", "six"), 0),
]


class Memory:
    """A backend that answers every prompt with its number of words, one after the other, and notes what it was asked."""

    context_tokens: int | None = None
    max_new_tokens = 10

    def __init__(self, outcome: Callable[[Prompt], Generation | Failure] | None = None) -> None:
        self.identity = {"backend": "memory"}
        self.asked: list[str] = []
        self.samples: list[int] = []
        self.outcome = outcome or (
            lambda prompt: Generation(f"It has {len(prompt.text.split())} words.", "stop", 30, 5)
        )

    def count_tokens(self, prompt: Prompt) -> int:
        return len(prompt.text.split())

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Iterator[tuple[int, Generation | Failure]]:
        for index, prompt in enumerate(prompts):
            if not reserve(index):
                return
            self.asked.append(prompt.text)
            self.samples.append(prompt.sample)
            yield index, self.outcome(prompt)


def live(
    tmp_path: Path,
    backend: Memory,
    *,
    price: Price | None = None,
    max_cost: float | None = None,
    samples: int = 1,
    **prompting: object,
) -> CachedTeacher:
    settings, cache = PLAIN.model_copy(update=prompting), tmp_path / "answers.sqlite"
    return CachedTeacher("memory", backend, cache, settings, TRAIN, price, max_cost, samples=samples)


def test_a_second_call_asks_nothing_and_says_the_same(tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    said = live(tmp_path, first).complete(QUESTIONS)
    assert live(tmp_path, second).complete(QUESTIONS[::-1]) == said[::-1]
    assert (len(first.asked), second.asked) == (8, [])
    assert said[0].text == "It has 21 words."  # counted by hand in the layout of the prompt
    assert said[0].extra is not None and said[0].extra["prompt_tokens"] == 30


def test_a_node_of_a_cluster_takes_what_is_known_and_asks_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(tmp_path, Memory()).complete(QUESTIONS[:5])
    monkeypatch.setenv("TINYLLM_ASK_SERVERS", "no")
    backend = Memory()
    assert len(live(tmp_path, backend).complete(QUESTIONS[:5])) == 5
    with pytest.raises(ValueError, match="^memory: the answer cache lacks 3 answers, and a node of a cluster asks no"):
        live(tmp_path, backend).complete(QUESTIONS)
    assert backend.asked == []
    backend.identity = {"backend": "local"}
    live(tmp_path, backend).complete(QUESTIONS)
    assert len(backend.asked) == 8, "what computes on the node costs no money"


def test_a_failure_is_asked_again_and_what_was_answered_is_not(tmp_path: Path) -> None:
    def fail_on_the_heron(prompt: Prompt) -> Generation | Failure:
        return Failure("refused", "no birds") if "heron" in prompt.text else Generation("It sleeps.", "stop", 1, 1)

    said = live(tmp_path, Memory(fail_on_the_heron)).complete(QUESTIONS)
    assert [output.status for output in said] == ["ok", "ok", "failed", "ok", "ok", "ok", "ok", "ok"]
    assert said[2] == TeacherOutput(None, "failed", {"reason": "refused", "detail": "no birds"})
    again = Memory()
    live(tmp_path, again).complete(QUESTIONS)
    assert [("heron" in text) for text in again.asked] == [True]


def test_equal_prompts_are_asked_once(tmp_path: Path) -> None:
    twins = [Question(f"twin-{i}", "Is it noon?", ("yes", "no"), 0) for i in range(3)]
    backend = Memory()
    said = live(tmp_path, backend).complete(twins)
    assert len(backend.asked) == 1
    assert len({output.text for output in said}) == 1


def test_an_empty_answer_is_none_and_is_asked_for_again(tmp_path: Path) -> None:
    broken = live(tmp_path, Memory(lambda prompt: Generation(" \n", "stop", 4, 1)))
    said = broken.complete(QUESTIONS[:2])
    assert [(output.text, output.status, (output.extra or {})["reason"]) for output in said] == [
        (None, "failed", "empty")
    ] * 2
    repaired = Memory()
    assert [output.status for output in live(tmp_path, repaired).complete(QUESTIONS[:2])] == ["ok", "ok"]
    assert len(repaired.asked) == 2
    again = Memory()
    live(tmp_path, again).complete(QUESTIONS[:2])
    assert again.asked == []


def test_an_exam_never_shows_the_gold_answer_whatever_the_params_say(tmp_path: Path) -> None:
    unlike = [Question("x", "Which word is gold?", ("zyzzyva", "quokka"), answer) for answer in (0, 1)]
    backend = Memory()
    live(tmp_path, backend, teacher_forcing=True).examine(unlike)
    assert len(backend.asked) == 1  # the gold option makes no difference to the prompt
    live(tmp_path, backend, teacher_forcing=True).complete(unlike)
    assert len(backend.asked) == 3


def test_bootstrapped_examples_carry_the_teachers_own_rationales_asked_once(tmp_path: Path) -> None:
    def speak(prompt: Prompt) -> Generation:
        return Generation("Insects visit flowers for it, so it is sweet.", "stop", 9, 9)

    backend = Memory(speak)
    live(tmp_path, backend, examples=2, example_rationales="bootstrap").complete(QUESTIONS)
    zero_shot = [text for text in backend.asked if text.count("Question:") == 1]
    assert 2 <= len(zero_shot) <= 3  # of the three questions of train, each at most once
    rest = [text for text in backend.asked if text.count("Question:") == 3]
    assert len(rest) == 8
    assert all(text.count("Insects visit flowers for it, so it is sweet.") == 2 for text in rest)


def test_an_example_whose_rationale_states_a_wrong_option_is_shown_without_it(tmp_path: Path) -> None:
    backend = Memory(lambda prompt: Generation("Thus, the answer is (b).", "stop", 9, 9))  # wrong but for t2
    live(tmp_path, backend, examples=3, example_rationales="bootstrap").complete(QUESTIONS[:1])
    assert backend.asked[-1].count("Thus, the answer is (b).") == 1


def test_a_question_that_does_not_fit_fails_without_being_asked(tmp_path: Path) -> None:
    backend = Memory()
    backend.context_tokens = 15  # 5 for the prompt
    said = live(tmp_path, backend).complete(QUESTIONS[:1])
    assert (said[0].status, said[0].extra and said[0].extra["reason"], backend.asked) == ("failed", "too_long", [])


def test_the_bill_stops_before_the_limit_and_keeps_what_was_answered(tmp_path: Path) -> None:
    # A prompt of 21 words and an answer of at most 10 tokens cost at most 21 + 2 * 10 = 41; the one that comes 30 + 2 * 5 = 40.
    price = Price(prompt=1e6, completion=2e6)
    backend = Memory()
    with pytest.raises(ValueError, match=r"runtime.max_cost: 125.0, of which 120 is spent.*holds 3 of 8 answers"):
        live(tmp_path, backend, price=price, max_cost=125.0).complete(QUESTIONS)
    assert len(backend.asked) == 3
    rest = Memory()
    live(tmp_path, rest, price=price, max_cost=321.0).complete(QUESTIONS)  # the last is admitted at 280 + 41
    assert len(rest.asked) == 5


def test_ctrl_c_finishes_what_is_under_way_and_keeps_it(tmp_path: Path) -> None:
    def interrupt(prompt: Prompt) -> Generation:
        if "heron" in prompt.text:
            os.kill(os.getpid(), signal.SIGINT)
        return Generation("It sleeps.", "stop", 1, 1)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        live(tmp_path, Memory(interrupt)).complete(QUESTIONS)
    assert signal.getsignal(signal.SIGINT) is before
    with ResponseCache(tmp_path / "answers.sqlite") as answers:
        assert sum(teacher.answers for teacher in answers.totals()) == 3


def test_an_estimate_is_what_is_then_asked(tmp_path: Path) -> None:
    price = Price(prompt=1e6, completion=2e6)
    estimated = estimate(live(tmp_path, Memory(), price=price), QUESTIONS, forced=True)
    assert (estimated.calls, estimated.cached, estimated.completion_tokens) == (8, 0, 80)
    assert (estimated.prompt_tokens, estimated.cost) == (8 * 21, 8 * 21 + 2 * 80)
    asked = Memory()
    live(tmp_path, asked).complete(QUESTIONS[:5])
    assert len(asked.asked) == 5
    estimated = estimate(live(tmp_path, Memory()), QUESTIONS, forced=True)
    assert (estimated.calls, estimated.cached, estimated.cost) == (3, 5, 0.0)


def test_an_estimate_counts_example_rationales_at_their_longest_until_they_are_known(tmp_path: Path) -> None:
    prompting = {"examples": 3, "example_rationales": "bootstrap"}
    backend = Memory(lambda prompt: Generation("Rust is red.", "stop", 9, 3))
    unknown = estimate(live(tmp_path, backend, **prompting), QUESTIONS, forced=True)
    assert unknown.calls == 3 + 8
    live(tmp_path, backend, **prompting).complete(QUESTIONS[:1])
    known = estimate(live(tmp_path, backend, **prompting), QUESTIONS, forced=True)
    assert (known.calls, known.cached) == (7, 4)
    assert known.prompt_tokens / 7 < unknown.prompt_tokens / 8
    assert len(backend.asked) == 4  # estimates asked nothing


def test_each_sample_of_a_question_is_asked_and_kept_by_itself(tmp_path: Path) -> None:
    def count(prompt: Prompt) -> Generation:
        return Generation(f"Sample {prompt.sample} of a question.", "stop", 1, 1)

    one = Memory(count)
    live(tmp_path, one).complete(QUESTIONS[:2])
    three = Memory(count)
    outputs = live(tmp_path, three, samples=3).complete(QUESTIONS[:2])
    assert [[sample.text for sample in output.samples] for output in outputs] == [
        ["Sample 0 of a question.", "Sample 1 of a question.", "Sample 2 of a question."]
    ] * 2
    assert (one.samples, three.samples) == ([0, 0], [1, 2, 1, 2])  # the first was in the cache
    rows = rationale_rows(QUESTIONS[:2], outputs, [[1.0, 0.0], None])
    assert [(row["id"], row["sample"], row["rationale"]) for row in rows[:4]] == [
        ("q0", 0, "Sample 0 of a question."),
        ("q0", 1, "Sample 1 of a question."),
        ("q0", 2, "Sample 2 of a question."),
        ("q1", 0, "Sample 0 of a question."),
    ]
    assert [row.get("option_probabilities", "no field") for row in rows] == [
        [1.0, 0.0], "no field", "no field", None, "no field", "no field",
    ]  # fmt: skip
    assert summarise_query(outputs, None)["ok"] == summarise_query(outputs, None)["asked"] == 6


def test_an_exam_and_examples_are_asked_once_whatever_the_samples(tmp_path: Path) -> None:
    backend = Memory(lambda prompt: Generation("It is sweet.", "stop", 9, 9))
    teacher = live(tmp_path, backend, samples=3, examples=1, example_rationales="bootstrap")
    assert teacher.examine(QUESTIONS[:2])[0].further == ()
    assert set(backend.samples) == {0}


def test_an_estimate_counts_every_sample(tmp_path: Path) -> None:
    live(tmp_path, Memory()).complete(QUESTIONS[:5])
    estimated = estimate(live(tmp_path, Memory()), QUESTIONS, forced=True, samples=3)
    assert (estimated.calls, estimated.cached, estimated.completion_tokens) == (8 * 3 - 5, 5, 190)


def test_the_costs_are_those_of_all_answers_and_of_attempts_that_had_none(tmp_path: Path) -> None:
    """Of three prompts of 21 words one is answered at the second attempt, and one never: each lost at most 21 + 2 * 10."""
    price = Price(prompt=1e6, completion=2e6)

    def stumble(prompt: Prompt) -> Generation | Failure:
        if "heron" in prompt.text:
            return Failure("timeout", "too late", unanswered=1)
        return Generation("It sleeps.", "stop", 30, 5, unanswered=int("badger" in prompt.text))

    teacher = live(tmp_path, Memory(stumble), price=price)
    teacher.complete(QUESTIONS[:3])
    expected = {"calls": 2, "calls_prompt_tokens": 60, "calls_completion_tokens": 10, "money": 2 * 40 + 2 * 41}
    assert teacher.costs() == expected
    again = live(tmp_path, Memory(stumble), price=price)
    again.complete(QUESTIONS[:3])  # the heron once more in vain
    assert again.costs() == expected | {"money": 2 * 40 + 3 * 41}
    free = live(tmp_path, Memory(stumble))
    free.complete(QUESTIONS[:2])
    assert "money" not in free.costs()


def test_what_a_server_counts_for_no_answer_is_what_that_cost(tmp_path: Path) -> None:
    """Of three prompts of 21 words the heron's has no answer: an attempt of at most 41, and one that is counted."""

    def empty(prompt: Prompt) -> Generation | Failure:
        if "heron" in prompt.text:
            return Failure("empty", "the answer is empty", unanswered=2, billed=(30, 4))
        return Generation("It sleeps.", "stop", 30, 5)

    teacher = live(tmp_path, Memory(empty), price=Price(prompt=1e6, completion=2e6))
    teacher.complete(QUESTIONS[:3])
    assert teacher.costs() == {
        "calls": 2, "calls_prompt_tokens": 60, "calls_completion_tokens": 10, "money": 2 * 40 + 41 + 38,
    }  # fmt: skip
