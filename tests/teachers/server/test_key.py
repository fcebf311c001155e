"""The key: what is masked, what is refused, and what stays as it is."""

from __future__ import annotations

import base64
import random
import string
import time

import pytest

from tests.hostile import written
from tests.manners import Manner, chat, error, serving, whole
from tests.teachers.server.test_client import KEY, RUNTIME, SETTINGS, ask, server
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.server.address import checked_url, proxy_passwords
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.key import Secret, mask_userinfo
from tinyllm.teachers.server.responses import Retryable, read_json

SECRET = Secret(KEY)  # sk-toy-5f2c9b71d04e
UNUSUAL = ("a.b_c~d+e/f=g==", "x=3Dy%41&amp;z\\u0041", "Zz9!\"#$'()*,;<>?@[]^`{|}", "0123456789abcdef0123456789abcdef")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"you sent {KEY}.", "you sent ***."),
        (f"you sent {KEY[:15]}...", "you sent ***..."),  # cut by the server
        ("you sent sk-t...d04e", "you sent sk-t...d04e"),  # four characters may be shown
        ("you sent 9B71D-", "you sent ***-"),
        ("&#115;k-toy-5f2c9b71d04e%21", "***%21"),
        ("c2stdG95LTVmMmM5YjcxZDA0ZQ==", "***Q=="),
        ("key=3D=73=6B=2D=74=6F=\r\n=79=2D=35", "key=3D***"),
        ('{\\"key\\": \\"\\\\u0073k-toy\\"}', '{\\"key\\": \\"***\\"}'),
        ("s\u200bk-t\u200bo\u200by-5f, f\u0435", "***, f\u0435"),
        ("[115, 107, 45, 116, 111]", "[***]"),
        ("the model `toy` risks nothing: 5 of 71, 20%", "the model `toy` risks nothing: 5 of 71, 20%"),
    ],
)
def test_a_trace_of_the_key_is_masked_where_it_stands(text: str, expected: str) -> None:
    assert SECRET.masked(text) == expected


@pytest.mark.parametrize("text", written(KEY))
def test_the_key_is_found_however_it_is_written(text: str) -> None:
    assert "***" in SECRET.masked(f"it was {text}, it was")
    assert SECRET.in_answer(f"Because {text} it is so.")


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_a_key_of_any_signs_is_found_in_every_form(unusual: str) -> None:
    secret = Secret(unusual)
    for text in (
        unusual,
        unusual.upper(),
        unusual.encode().hex(),
        base64.b64encode(b"Bearer " + unusual.encode()).decode(),
    ):
        assert secret.masked(f"({text})") != f"({text})" and secret.in_answer(text)


def test_no_text_around_it_hides_a_random_key() -> None:
    chance = random.Random(7)
    for _ in range(200):
        key = "".join(chance.choices(string.ascii_letters + string.digits + "-_", k=chance.randrange(20, 60)))
        around = "".join(chance.choices(string.printable + "é中", k=40))
        coded = base64.urlsafe_b64encode(around[:20].encode() + key.encode() + around[20:].encode()).decode()
        for text in (f"{around[:20]} {key} {around[20:]}", coded, f"{around}\n{key[3:-3]}"):
            masked = Secret(key).masked(text)
            assert not any(key[at : at + 5].lower() in masked.lower() for at in range(len(key) - 4)) and masked != text


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("test", "the latest test of tests", "the latest *** of tests"),
        ("none", "none of it", "*** of it"),
        ("EMPTY", "EMPTY, or empty", "***, or ***"),
        ("placeholder", "a placeholder in place", "a *** in place"),
        ("x", "x86 is x", "x86 is ***"),
        ("", "nothing is masked", "nothing is masked"),
    ],
)
def test_a_placeholder_is_masked_whole_and_may_stand_in_an_answer(key: str, text: str, expected: str) -> None:
    assert Secret(key).masked(text) == expected
    assert not Secret(key).in_answer(text) and not Secret(key).in_reply(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("It is k-toy-5f", True),  # eight in a row
        ("It is 9b71d.", True),  # five that are no word
        ("It is k-toy.", False),  # five that could be one
        ("In 1990 the toy had 5 wheels and cost 71 pounds.", False),
        ("\u7b54\u6848\u662f\uff08b\uff09\u3002" * 50, False),
    ],
)
def test_an_answer_is_refused_for_what_no_language_has_by_chance(text: str, held: bool) -> None:
    assert SECRET.in_answer(text) is held


@pytest.mark.parametrize("text", ["\\\\", "%25", "&amp;", "=\n", "12 ", "\\\\u00", "&#", "\u200b", "0x", "%u", ":\n"])
def test_no_text_takes_long_to_look_through(text: str) -> None:
    long = text * (70_000 // len(text))
    start = time.process_time()
    assert SECRET.masked(long) == long and not SECRET.in_answer(long)
    assert isinstance(read_json(long.encode(), "toy", str), Retryable)
    assert time.process_time() - start < 2


def test_what_holds_the_key_does_not_show_it() -> None:
    client = server("http://127.0.0.1:1/v1")
    client.load_key()
    assert KEY not in repr((SECRET, client, vars(client), client._settings)) and repr(SECRET) == "Secret(***)"


# --- through the client ----------------------------------------------------------------------------------------------

PLACES = [  # where a server may repeat what it was sent; the reply is made of the text
    ("message", lambda text: error(400, f"no: {text}")),
    ("code", lambda text: error(400, "", code=text)),
    ("behind 290 signs", lambda text: error(422, "z" * 190 + text)),
    ("plain", lambda text: (500, {}, text.encode())),
    ("detail", lambda text: whole({"detail": [{text: text}]}, 422)),
    (
        "location",
        lambda text: whole(
            {}, 307, Location=f"http://[::1]/{text}".replace("\n", "").encode("latin-1", "replace").decode("latin-1")
        ),
    ),
    ("finish_reason", lambda text: chat(finish=text)),
    ("model", lambda text: chat(model=text)),
    ("refusal", lambda text: chat(None, refusal=text)),
    ("answer", lambda text: chat(f"Because {text} it is.")),
    ("thinking", lambda text: chat("Hm.", reasoning_content=text)),
    ("a key of the reply", lambda text: whole({"choices": [], text: 1})),
    ("an error with status 200", lambda text: whole({"error": {"message": text, "code": 400}})),
    ("no JSON", lambda text: (200, {}, f"<p>{text}".encode())),
]


@pytest.mark.parametrize("manner", [make for _, make in PLACES], ids=[name for name, _ in PLACES])
def test_no_place_of_a_reply_brings_the_key_to_a_message_or_an_answer(manner: Manner) -> None:
    for text in written(KEY):
        with serving(lambda _, text=text: manner(text)) as place:
            try:
                (outcome,) = ask(server(place.url, retries=0), "Why?").values()
            except ValueError as caught:
                outcome = str(caught).replace(place.url, "")
        assert SECRET.masked(str(outcome)) == str(outcome)
        assert not isinstance(outcome, Generation)


def test_a_key_in_the_settings_is_refused_before_anything_is_sent() -> None:
    for changes in ({"model": KEY}, {"url": f"http://127.0.0.1:1/{KEY}"}, {"extra": {"user": KEY}}):
        with pytest.raises(
            ValueError, match=r"^teachers.toy: url, model or extra holds the key, and would land in the"
        ):
            settings = SETTINGS.model_copy(update={"url": "http://127.0.0.1:1/v1", **changes})
            list(Server(settings, RUNTIME, "toy").generate([], lambda index: True))


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2024-10-21", "2024-05-01-preview", "v1", "preview", "latest"])
def test_a_version_may_stand_in_an_address(version: str) -> None:
    assert checked_url(f"https://a.example/v1?api-version={version}") == f"https://a.example/v1?api-version={version}"


@pytest.mark.parametrize(
    "query", [f"api-version={KEY}", "key=abc", "api-version=2024-10-21&key=abc", "api-version=a9f3c2"]
)
def test_what_may_be_a_key_may_not(query: str) -> None:
    with pytest.raises(ValueError, match="expected an address alone") as caught:
        checked_url(f"https://a.example/v1?{query}")
    assert query not in str(caught.value)


def test_the_passwords_of_proxies_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:p%40ss-w0rd-42@127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert proxy_passwords() == ["p@ss-w0rd-42", "p%40ss-w0rd-42"]
    assert mask_userinfo("url='http://user:p@127.0.0.1'") == "url='http://***@127.0.0.1'"
    client = server("http://192.0.2.1/v1", plain_http=True, retries=0)
    ((_, outcome),) = client.generate([Prompt("", "a")], lambda index: True)
    assert isinstance(outcome, Failure) and outcome.reason == "unreachable" and "w0rd" not in outcome.detail
    shown = client.shown("sent to http://user:p%40ss-w0rd-42@127.0.0.1:1 with p@ss-w0rd-42")
    assert shown == "sent to http://***@127.0.0.1:1 with ***"
