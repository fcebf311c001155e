"""An answer belongs to its question, whatever a server or a proxy repeats, delays or swaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.endpoint import Endpoint, running
from tests.teachers.server.test_client import KEY, server
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.server.belonging import PROBED, SLOW, AddressReplies, RequestIds, Route, Seen
from tinyllm.teachers.server.responses import Retryable

APART = "from now on each request has a connection of its own"
REPEATING = ("behind", "late", "next", "torn", "instead")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)


def straying(manner: str, *arguments: str) -> Any:
    return running("--manner", manner, *arguments, module="tests.straying")


def ask(endpoint: Endpoint, count: int, concurrency: int) -> dict[str, Generation | Failure]:
    """By prompt what became of it. A server may swap two replies in five, and so four of one prompt in a row: ten are not."""
    prompts = [Prompt("", f"Why {number}?") for number in range(count)]
    asked = server(endpoint.url, concurrency=concurrency, retries=10).generate(prompts, lambda index: True)
    return {prompts[index].text: outcome for index, outcome in asked}


def strayed(outcomes: dict[str, Generation | Failure]) -> list[tuple[str, str]]:
    """The prompts whose answer names another question, or that have none."""
    texts = [(prompt, getattr(outcome, "text", "no answer")) for prompt, outcome in outcomes.items()]
    return [(prompt, text) for prompt, text in texts if text != f"Of {prompt}"]


# --- a server that repeats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 2, 16, 64])
@pytest.mark.parametrize("manner", [*REPEATING, "none"])
def test_no_answer_strays_to_another_question(manner: str, concurrency: int) -> None:
    with straying(manner) as endpoint:
        outcomes = ask(endpoint, 60, concurrency)
    assert len(outcomes) == 60 and strayed(outcomes) == []


@pytest.mark.parametrize("ids", ["constant", "short", "long", "echoed"])
@pytest.mark.parametrize("manner", ["late", "next", "instead"])
def test_whatever_ids_a_server_gives_no_answer_strays(manner: str, ids: str) -> None:
    with straying(manner, "--ids", ids) as endpoint:
        outcomes = ask(endpoint, 60, 2)
    assert len(outcomes) == 60 and strayed(outcomes) == []


@pytest.mark.parametrize(("ids", "concurrency"), [("echoed", 2), ("echoed", 16), ("echoed", 64)])
def test_replies_that_change_connections_are_told_by_the_id_of_the_request(ids: str, concurrency: int) -> None:
    with straying("swap", "--ids", ids) as endpoint:
        outcomes = ask(endpoint, 60, concurrency)
    assert len(outcomes) == 60 and strayed(outcomes) == []


IDS = ("none", "constant", "short", "long", "echoed")


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "concurrency"), [(0, 1), (1, 2), (2, 16), (3, 64)])
@pytest.mark.parametrize("manner", [*REPEATING, "swap", "none"])
def test_of_two_thousand_answers_none_strays(manner: str, number: int, concurrency: int) -> None:
    kind = "echoed" if manner == "swap" else IDS[(len(manner) + number) % len(IDS)]
    with straying(manner, "--ids", kind, "--every", "40") as endpoint:
        outcomes = ask(endpoint, 2000, concurrency)
    assert len(outcomes) == 2000 and strayed(outcomes) == []


@pytest.mark.parametrize("manner", ["behind", "next", "instead"])
def test_a_server_that_repeats_is_named_once(manner: str, capfd: pytest.CaptureFixture[str]) -> None:
    with straying(manner) as endpoint:
        ask(endpoint, 60, 2)
        said = capfd.readouterr().err
        assert (said.count(endpoint.url), said.count(APART)) == (1, 1)


@pytest.mark.parametrize("ids", ["none", "constant", "short", "long"])
def test_a_server_that_honestly_repeats_itself_is_asked_once_a_prompt_and_not_named(
    ids: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for concurrency in (1, 4, 32):
        with straying("none", "--ids", ids, "--text", "The answer is (a).") as endpoint:
            outcomes = ask(endpoint, 60, concurrency)
            assert endpoint.get("count") == {f"Why {number}?": 1 for number in range(60)}
        assert [getattr(outcome, "text", "") for outcome in outcomes.values()] == ["The answer is (a)."] * 60
    assert capfd.readouterr().err == ""


# --- one reply after the other -----------------------------------------------------------------------------------------


def reply(text: str, reply_id: str | None = None, **fields: object) -> dict[str, Any]:
    named = {} if reply_id is None else {"id": reply_id}
    return {**named, "choices": [{"message": {"content": text}}], **fields}


def probed(reply_id: str = "chatcmpl-{:016d}", took: float = 0.01) -> AddressReplies:
    """An address whose first answers were in order."""
    replies = AddressReplies("http://toy/v1")
    for number in range(PROBED):
        said = reply(f"Text {number}.", reply_id.format(number))
        assert replies.judge(number, Prompt("", f"Why {number}?"), said, Seen(False, False, took)) is None
        replies.returned("first")
    return replies


def judge(
    replies: AddressReplies, said: dict[str, Any], kept: bool, text: str = "Why so?", index: int = 99
) -> Retryable | None:
    return replies.judge(index, Prompt("", text), said, Seen(kept, False, 0.01))


def test_the_first_replies_come_on_new_connections_and_quick_ones_then_on_kept_ones() -> None:
    replies, routes = AddressReplies("http://toy/v1"), []
    for number in range(PROBED + 1):
        routes.append(replies.route())
        judge(replies, reply(f"Text {number}."), kept=False, index=number)
        replies.returned(routes[-1])
    assert routes == ["first", *["fresh"] * (PROBED - 1), "kept"]


@pytest.mark.parametrize(
    ("setup", "took", "route"),
    [(0.001, SLOW / 2, "kept"), (0.001, SLOW * 2, "fresh"), (0.2, 3.0, "kept"), (0.2, 5.0, "fresh")],
)
def test_a_slow_server_gets_new_connections_where_these_cost_a_twentieth_at_most(
    setup: float, took: float, route: Route
) -> None:
    replies = probed(took=took)
    replies.connect(setup)
    assert replies.route() == route


@pytest.mark.parametrize(
    ("ids", "kept", "taken", "next_route"),
    [
        ("chatcmpl-{:016d}", True, False, "fresh"),  # a copy
        ("chatcmpl-{:016d}", False, False, "fresh"),  # on a new connection, but no two answers have such an id
        ("chatcmpl-{:03d}", True, False, "fresh"),
        (
            "chatcmpl-{:03d}",
            False,
            True,
            "fresh",
        ),  # honest, as far as can be told; it is not asked over kept ones again
        ("chatcmpl-constant-for-all-answers", False, True, "fresh"),
        ("", False, True, "fresh"),
    ],
)
def test_a_reply_that_came_before_is_taken_where_a_copy_is_out_of_the_question(
    ids: str, kept: bool, taken: bool, next_route: Route
) -> None:
    replies = probed(ids)
    assert (judge(replies, reply("Text 3.", ids.format(3)), kept) is None) == taken
    assert replies.route() == next_route


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("chatcmpl", "chatcmpl"),
        ("", ""),
        ("chatcmpl-7", "chatcmpl-7"),
        ("constant-and-quite-long", "constant-and-quite-long"),
    ],
)
def test_an_id_that_comes_again_with_another_text_proves_nothing(first: str, second: str) -> None:
    replies = probed()
    assert [judge(replies, reply("One.", first), True), judge(replies, reply("Two.", second), True)] == [None, None]
    assert replies.route() == "kept"


def test_the_same_prompt_may_get_the_same_reply_on_a_new_connection() -> None:
    assert judge(probed(), reply("Text 3.", "chatcmpl-0000000000000003"), kept=False, text="Why 3?") is None


def test_a_doubt_that_asking_again_removes_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    said = reply("Text 3.", "one")
    replies = probed("one")
    doubt = judge(replies, said, kept=True)
    assert doubt and (doubt.reason, doubt.charged, doubt.counts) == ("not_its_own", True, False)
    assert judge(replies, said, kept=False) is None
    assert capsys.readouterr().err == ""
    replies = probed("one")
    judge(replies, said, kept=True)
    assert judge(replies, reply("Its own.", "one"), kept=False) is None
    assert capsys.readouterr().err.count(APART) == 1


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"prompt": "<user>Why 5?</user>"}, False),
        ({"__verbose": {"prompt": "Why 5?"}}, False),
        ({"choices": [{"message": {"content": "Yes."}, "prompt": "Why 5?"}]}, False),
        ({"prompt": "<user>Why so?</user>"}, True),
        ({"prompt": "a prompt that was cut"}, True),
        ({"prompt": []}, True),
    ],
)
def test_a_reply_that_quotes_another_prompt_is_that_prompts(fields: dict[str, object], taken: bool) -> None:
    replies = probed()
    for text in ("Why 5?", "Why so?"):
        replies.send(Prompt("", text))
    assert (judge(replies, reply("Yes.", **fields), kept=False) is None) == taken


@pytest.mark.parametrize(
    ("headers", "body", "another"),
    [
        (["{other}"], "{{}}", True),
        ([], '{{"id": "chatcmpl-{other}"}}', True),
        ([], '{{"id": "cmpl-{other}-0"}}', True),
        (["{own}"], '{{"id": "chatcmpl-{own}"}}', False),
        (["req_0123456789abcdef"], '{{"id": "chatcmpl-1"}}', False),
        ([], "{{}}", False),
    ],
)
def test_a_reply_names_its_request_another_one_or_none(headers: list[str], body: str, another: bool) -> None:
    ids = RequestIds()
    other, own = ids.fresh(), ids.fresh()
    said = [header.format(own=own, other=other) for header in headers]
    assert ids.names_another(own, said, body.format(own=own, other=other).encode()) is another


@pytest.fixture(scope="module")
def plain() -> Iterator[Endpoint]:
    with straying("none", "--ids", "long") as endpoint:
        yield endpoint


def test_the_name_of_the_model_comes_with_the_answer(plain: Endpoint) -> None:
    assert {getattr(outcome, "model", None) for outcome in ask(plain, 3, 1).values()} == {"toy-model"}
