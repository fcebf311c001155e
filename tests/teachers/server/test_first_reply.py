"""An endpoint that does not reply: what is said of it while it is waited for, and when the query ends."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.endpoint import running
from tests.teachers.server.test_client import KEY, free_port, server
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.server import first_reply
from tinyllm.teachers.server.belonging import AddressReplies
from tinyllm.teachers.server.first_reply import FirstReply
from tinyllm.teachers.server.responses import Retryable

REFUSED = Retryable("unreachable", "refused", charged=False)
SILENT = Retryable("timeout", "no whole answer", charged=True)
RESET = Retryable("disconnected", "reset", charged=True)
A, B = "http://a/v1", "http://b/v1"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def ends(url: str, count: int = 3, **settings: object) -> tuple[float, str, list[object]]:
    """(seconds until the query ends, its line, what was yielded before)"""
    start, yielded = time.monotonic(), []
    prompts = [Prompt("", f"Why {number}?") for number in range(count)]
    with pytest.raises(ValueError) as caught:
        yielded.extend(server(url, retries=6, **settings).generate(prompts, lambda index: True))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return time.monotonic() - start, str(caught.value), yielded


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that takes connections and says nothing, or only its certificate."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as place:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(place.accept()[0])
                    if context:
                        taken.append(context.wrap_socket(taken.pop(), server_side=True))
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield place.getsockname()[1]
        finally:
            place.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("certificate")
    paths = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=another.example"]
    subprocess.run([*asked, *paths], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


# --- real endpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1:PORT", "see that the server runs, and check teachers.NAME.url"),
        ("localhost:PORT", "see that the server runs, and check teachers.NAME.url"),
        ("no-such-host.invalid:PORT", "no address is known for no-such-host.invalid: check teachers.NAME.url"),
    ],
)
def test_an_endpoint_that_cannot_be_reached_is_told_at_once_and_ends_the_query(
    host: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_reply, "GIVE_UP", 1.0)
    url = f"http://{host}/v1".replace("PORT", str(free_port()))
    seconds, line, yielded = ends(url, key_variable=None)
    assert seconds < 5.0 and yielded == []
    assert line.startswith(f"{url}: unreachable (") and said in line and "no connection for" in line
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith(f"{url}: unreachable (") and told[0].endswith("it is tried again")


def test_a_wrong_certificate_ends_the_query_at_once_and_names_the_remedy(self_signed: ssl.SSLContext) -> None:
    with listening(self_signed) as port:
        seconds, line, yielded = ends(f"https://127.0.0.1:{port}/v1")
    assert seconds < 5.0 and yielded == []
    assert "its certificate does not hold for 127.0.0.1: check teachers.NAME.url" in line and "SSL_CERT_FILE" in line


def test_a_port_that_speaks_no_tls_ends_the_query_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_reply, "GIVE_UP", 1.0)
    with running() as plain:
        seconds, line, _ = ends(plain.url.replace("http:", "https:"))
    assert seconds < 5.0 and "it does not speak https" in line


def test_a_server_that_never_answers_is_told_of_and_ends_the_query_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_reply, "TELL", 0.2)
    monkeypatch.setattr(first_reply, "GIVE_UP", 0.5)
    with listening() as port:
        url = f"http://127.0.0.1:{port}/v1"
        seconds, line, yielded = ends(url, count=2, deadline=1.0)
    assert 1.0 <= seconds < 5.0
    assert line.startswith(f"{url}: timeout (no whole answer within 1 s (runtime.deadline)); no reply for 1 s")
    assert "raise runtime.deadline" in line
    assert [(index, outcome.reason, outcome.unanswered) for index, outcome in sorted(yielded)] == [  # type: ignore
        (0, "timeout", 1),
        (1, "timeout", 1),
    ]
    assert capfd.readouterr().err.splitlines()[0] == (
        f"{url}: no reply yet; waiting for the first one, at most 1 s (runtime.deadline)"
    )


def test_a_slow_first_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_reply, "TELL", 0.1)
    monkeypatch.setattr(first_reply, "GIVE_UP", 0.3)
    with running("--latency", "1.0") as slow:
        outcomes = list(server(slow.url).generate([Prompt("", "Why?")], lambda index: True))
    assert [type(outcome) for _, outcome in outcomes] == [Generation]


@pytest.mark.nightly
def test_with_its_own_limits_an_endpoint_that_is_down_is_given_up_after_ten_seconds() -> None:
    seconds, line, _ = ends(f"http://127.0.0.1:{free_port()}/v1", count=100)
    assert seconds < 12.0 and "unreachable" in line


def test_an_endpoint_that_has_answered_keeps_its_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes away behind its first answer, for longer than one that never answered is waited for."""
    monkeypatch.setattr(first_reply, "GIVE_UP", 0.1)
    with running() as endpoint:
        asked = server(endpoint.url, concurrency=1, retries=2).generate(
            [Prompt("", "a"), Prompt("", "b")], lambda index: True
        )
        first = next(asked)
        endpoint.process.kill()
        second = next(asked)
    assert isinstance(first[1], Generation)
    assert isinstance(second[1], Failure) and second[1].detail.endswith("3 attempts")


# --- when it is over ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "connected", "seconds", "ended"),
    [
        ({A: REFUSED}, [], 9.9, False),
        ({A: REFUSED}, [], 10.0, True),
        ({A: REFUSED}, [A], 100.0, False),  # it has come up, and the first answer is under way
        ({A: REFUSED}, [A], 120.0, True),
        ({A: SILENT}, [A], 119.0, False),
        ({A: SILENT}, [A], 120.0, True),
        ({A: RESET}, [A], 119.0, False),
        ({A: RESET}, [A], 120.0, True),
        ({}, [A], 1000.0, False),
        ({A: REFUSED, B: REFUSED}, [], 10.0, True),
        ({A: REFUSED, B: SILENT}, [B], 100.0, False),
        ({A: REFUSED}, [], 1000.0, False),  # the other address has not failed yet
    ],
    ids=range(12),
)
def test_the_wait_for_the_first_reply_ends_in_time(
    missed: dict[str, Retryable], connected: list[str], seconds: float, ended: bool, request: pytest.FixtureRequest
) -> None:
    addresses = {
        url: AddressReplies(url) for url in ([A, B] if B in missed or request.node.callspec.id == "11" else [A])
    }
    first = FirstReply(addresses, deadline=120.0)
    first.start(0.0)
    for url, outcome in missed.items():
        first.miss(url, outcome)
    for url in connected:
        addresses[url].connect(0.01)
    assert (first.end(seconds, list(addresses)) is not None) is ended
    first.heard = True
    assert first.end(seconds, list(addresses)) is None
