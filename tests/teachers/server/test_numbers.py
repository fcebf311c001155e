"""Numbers of a server that cannot be: each touches its own reply alone, and neither money nor sums."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.manners import Manner, Reply, chat, serving
from tests.teachers.server.test_client import KEY, RUNTIME, SETTINGS, ask, server
from tests.teachers.server.test_manners import letters, score
from tinyllm.cli.main import main
from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price
from tinyllm.records.questions import Question
from tinyllm.teachers.cache.ledger import Charge, Run
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.estimate import estimate
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.protocol import Failure, Generation
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.refusals import ordered_wait, retry_after

PLAIN = Prompting(
    instruction="", examples=0, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)
PRICE = Price(prompt=1e6, completion=1e6)  # a token costs 1
SAID = "Leaves breathe it."  # estimated at 2 + 2 + 1 + 1 tokens
COUNTS = [
    "1e30", "1" + "0" * 30, str(2**63 - 1), str(2**63), "-1", "NaN", "Infinity", "-Infinity", "1e400", "9" * 5000,
    "true", '"12"', "3.5", "[12]", '{"n": 12}', "null", "0", "10000001",
]  # fmt: skip
WAITS = [
    "1" + "0" * 30, "999999999", "-5", "NaN", "Infinity", "1e3", "", " ", "soon", "\u0663", "9" * 5000,
    "Fri, 31 Dec 99999 23:59:59 GMT", "Thu, 31 Dec 2099 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 +" + "9" * 30,
    "Fri, 31 Dec 1999 23:59:59 +9999", "Mon, 99 Foo 0000 99:99:99 GMT",
]  # fmt: skip
CHARGE = """INSERT INTO charges (run, experiment, teacher, key, created, settled, answered, prompt_tokens, completion_tokens,
    unanswered, lost, money) VALUES ('', 'workspace', 'toy', 'k', 0, 1, 1, ?, ?, 1, ?, ?)"""
NO_PROBABILITIES: list[object] = [
    5, [], {"content": 5}, {"content": [5]}, {"content": [{"top_logprobs": 5}]}, {"top_logprobs": [[]]},
    {"content": [{"top_logprobs": [5, None, {"token": 3, "logprob": -1.0}]}]},
]  # fmt: skip


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path))


def counting(prompt: str, completion: str, text: str = SAID) -> Reply:
    """A chat's answer with these numbers, as they stand in its JSON."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = json.dumps({"model": "toy-model", "choices": [choice], "created": "CREATED", "usage": "USAGE"})
    usage = f'{{"prompt_tokens": {prompt}, "completion_tokens": {completion}}}'
    return 200, {}, body.replace('"USAGE"', usage).replace('"CREATED"', completion).encode()


def teacher(url: str, folder: Path, limit: float | None = None, **changes: object) -> CachedTeacher:
    settings = SETTINGS.model_copy(update={"url": url, "max_new_tokens": 20, "context_tokens": None, **changes})
    return CachedTeacher("toy", Server(settings, RUNTIME, "toy"), folder / "answers.sqlite", PLAIN, [], PRICE, limit)


def questions(count: int) -> list[Question]:
    return [Question(f"q{i}", f"Is {i} even?", ("yes", "no"), 0) for i in range(count)]


@pytest.mark.parametrize("context", [4096, None])
@pytest.mark.parametrize("count", COUNTS)
def test_an_answer_is_kept_with_an_estimate_where_its_count_cannot_be(count: str, context: int | None) -> None:
    with serving(lambda _: counting(count, count)) as place:
        outcome = ask(server(place.url, retries=0, context_tokens=context), "Why?")["Why?"]
    assert outcome == Generation(SAID, "stop", 18, 6, model="toy-model")


@pytest.mark.parametrize(
    ("prompt", "completion", "context", "expected"),
    [
        (40, 15, 4096, (40, 15)),
        (4096, 4096, 4096, (4096, 4096)),
        (4097, 4097, 4096, (18, 6)),
        (90_000, 90_000, None, (90_000, 90_000)),  # a text of the server's own; thoughts that it does not show
        (100_037, 100_129, None, (18, 6)),
        (1, 1, None, (1, 1)),
        (0, 1, None, (18, 1)),
    ],
)
def test_a_count_is_believed_up_to_what_was_asked_and_the_context(
    prompt: int, completion: int, context: int | None, expected: tuple[int, int]
) -> None:
    with serving(lambda _: counting(str(prompt), str(completion))) as place:
        outcome = ask(server(place.url, context_tokens=context), "Why?")["Why?"]
    assert isinstance(outcome, Generation) and (outcome.prompt_tokens, outcome.completion_tokens) == expected


def test_an_answer_that_looks_free_is_not() -> None:
    text = "It tells of sun and rain. " * 20  # about 160 tokens
    with serving(lambda _: counting("1", "1", text)) as place:
        outcome = ask(server(place.url), "Why? " * 100)["Why? " * 100]
    assert isinstance(outcome, Generation) and (outcome.prompt_tokens, outcome.completion_tokens) == (216, 160)


@pytest.mark.parametrize("count", ["95000", "1e30", str(2**63), "0", "-7"])
def test_a_false_count_neither_ends_a_run_nor_passes_its_limit(tmp_path: Path, count: str) -> None:
    asked = questions(12)
    with serving(lambda _: counting(count, count)) as place:
        probe = teacher(place.url, tmp_path)
        highest = sum(
            probe.budget.cost(probe.backend.count_tokens(fit.prompt), 20)
            for fit in probe.build_prompts(asked, True, probe.generate)
            if fit.prompt
        )
        paid = teacher(place.url, tmp_path, limit=highest)
        said = paid.complete(asked)
    assert [output.text for output in said] == [SAID] * 12
    with ResponseCache(tmp_path / "answers.sqlite") as cache:
        money = cache.spendings()[0].money
    assert money is not None and highest / 2 < money <= highest
    assert paid.costs()["money"] == pytest.approx(money)


def test_a_failure_is_charged_in_full_where_its_count_cannot_be() -> None:
    for count, billed in (("7", (7, 7)), ("0", None), ("1e30", None), (str(2**63), None), ('"7"', None)):
        with serving(lambda _, count=count: counting(count, count, text="")) as place:
            outcome = ask(server(place.url), "Why?")["Why?"]
        assert isinstance(outcome, Failure) and (outcome.reason, outcome.billed) == ("empty", billed)


# --- waits -----------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", WAITS)
def test_a_wait_that_no_server_means_is_no_order(value: str) -> None:
    assert retry_after(value, NOW) is None
    assert ordered_wait({"retry-after-ms": value}) is None or value == "999999999"  # under a fortnight in milliseconds
    assert ordered_wait({}, b'{"retryDelay": "%ss"}' % value.encode()) is None


def test_a_wait_that_a_server_can_mean_is_one() -> None:
    for value, seconds in (
        ("30", 30.0),
        ("604800", 604_800.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 23:59:59 -0100", 3599.0),
    ):
        assert retry_after(value, NOW) == seconds
    assert ordered_wait({"retry-after-ms": "1500"}) == 1.5 and ordered_wait({}, b'{"retryDelay": "7s"}') == 7.0


# --- log-probabilities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 1e308, 10**400, 5, True, "-1", [-1.0], -1e300]
)
def test_a_letter_with_an_impossible_probability_is_a_failure(value: object) -> None:
    outcome, _ = score(lambda _: letters(("b", -0.5), ("a", value)))  # type: ignore[arg-type]
    assert isinstance(outcome, Failure) and outcome.reason in ("wrong_logprobs", "not_json")
    assert "allowed is a number up to 0" in outcome.detail or value == 10**400


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, True, "-1", {}])
def test_any_other_token_with_one_says_nothing(value: object) -> None:
    outcome, _ = score(lambda _: letters(("b", -0.5), ("a", -1.0), ("x", value)))  # type: ignore[arg-type]
    assert isinstance(outcome, Generation) and json.loads(outcome.text) == [-1.0, -0.5]


@pytest.mark.parametrize("logprobs", NO_PROBABILITIES)
def test_probabilities_of_another_form_are_none(logprobs: object) -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": logprobs}
    outcome, _ = score(lambda _: (200, {}, json.dumps({"model": "toy-model", "choices": [choice]}).encode()))
    assert isinstance(outcome, Failure) and outcome.reason == "no_logprobs"


# --- caches from before ----------------------------------------------------------------------------------------------


def poison(path: Path) -> None:
    """Write what an older version kept: counts and money of any size."""
    database = sqlite3.connect(path, isolation_level=None)
    keys = [key for (key,) in database.execute("SELECT key FROM answers ORDER BY key")]
    for key, count in zip(keys, (1e30, 2**63 - 1, 2**63 - 1, -5, 3.5), strict=False):
        database.execute(
            "UPDATE answers SET prompt_tokens = ?, completion_tokens = ? WHERE key = ?", [count, count, key]
        )
    for money in (float("inf"), 9e18, -1e30):
        database.execute(CHARGE, [2**63 - 1, 1e30, money, money])
    database.execute("UPDATE runs SET money = 9e18")
    database.close()


def test_a_cache_with_poisoned_rows_is_listed_summed_and_asked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(8)
    with serving(lambda _: chat()) as place:
        first = teacher(place.url, tmp_path)
        first.complete(asked[:6])
        spent = first.costs()["money"]
        poison(tmp_path / "answers.sqlite")
        second = teacher(place.url, tmp_path, limit=10_000.0)
        assert [output.text for output in second.complete(asked)] == [SAID] * 8
        counts = second.costs()
        left = estimate(teacher(place.url, tmp_path), questions(10), forced=True)
    assert counts["calls_prompt_tokens"] == 5 * 3 and counts["calls"] == 8 and 0 < counts["money"] < spent * 2
    assert (left.calls, left.cached) == (2, 8)
    with ResponseCache(tmp_path / "answers.sqlite") as cache:
        (total,) = cache.totals()
        (spending,) = cache.spendings()
        assert cache.ledger(Run("", "workspace"), "toy").spent() == pytest.approx(spending.money)
    assert (total.prompt_tokens, total.completion_tokens) == (15, 21)
    assert (spending.calls, spending.prompt_tokens, spending.money) == (11, 40, pytest.approx(8 * 12))
    for command in (["cache"], ["cost"], ["cost", "--json"]):
        monkeypatch.setattr("sys.argv", ["tinyllm", *command])
        main()
        assert "e+" not in capsys.readouterr().out


def test_a_charge_of_any_numbers_can_be_settled(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "answers.sqlite") as cache:
        ledger = cache.ledger(Run("a", "first"), "toy")
        number = ledger.reserve("k", 1.0, 10.0)
        assert number is not None
        with cache.atomically():
            ledger.settle(number, Charge(True, 10**7, 10**7, 0, 0.0, 1.0))
        assert ledger.spent() == 1.0


# --- size ------------------------------------------------------------------------------------------------------------


def bomb(coding: str, size: int) -> Manner:
    """A reply of so many bytes, packed into a thousandth."""
    packer = zlib.compressobj(1, wbits=31)
    body = b"".join(packer.compress(b" " * 1_000_000) for _ in range(size // 1_000_000)) + packer.flush()
    return lambda _: (200, {"Content-Encoding": coding}, body)


def most_memory() -> int:
    """The most that this process has held since it was last asked, in KB."""
    most = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    Path("/proc/self/clear_refs").write_text("5")
    assert most
    return int(most[1])


def test_a_bomb_is_read_up_to_the_limit_of_a_reply() -> None:
    manner = bomb("gzip", 200_000_000)
    most_memory()
    before, start = most_memory(), time.monotonic()
    with serving(manner) as place:
        outcome = ask(server(place.url, retries=0), "Why?")["Why?"]
    assert outcome == Failure("too_large", "a reply of more than 73728 bytes", unanswered=1)
    assert most_memory() - before < 30_000 and time.monotonic() - start < 5


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip"])
def test_a_coding_that_does_not_fit_is_a_failure_of_one_line(coding: str) -> None:
    with serving(bomb(coding, 1_000_000)) as place:
        outcome = ask(server(place.url, retries=0), "Why?")["Why?"]
    assert (
        isinstance(outcome, Failure) and outcome.reason in ("disconnected", "not_json") and "\n" not in outcome.detail
    )
