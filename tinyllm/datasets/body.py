"""The body of one address, read as it comes and no further than it may be long; where redirects lead is checked."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import requests

SECONDS = 30  # without a byte
HOPS = 5  # redirects after one another
CHUNK = 65_536  # bytes


def read_body(url: str, largest: int, seconds: float) -> bytes:
    """Return the body; of a larger one than that, one byte more than it may have.

    A read that takes longer than its seconds is left to itself: a server that drips would hold it for days.

    Raises:
        RequestException: of requests: the server refuses, is not there, is too slow, leads elsewhere, or packs what it sends: a
            few packed bytes can be gigabytes, so that none are asked for.
    """
    import requests

    ended: SimpleQueue[bytes | Exception] = SimpleQueue()

    def work() -> None:
        try:
            ended.put(_follow(url, largest))
        except Exception as error:  # raised again where it is waited for
            ended.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = ended.get(timeout=seconds)
    except Empty:
        raise requests.RequestException(f"no whole file within {seconds:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _follow(url: str, largest: int) -> bytes:
    import requests

    with requests.Session() as session:
        for _ in range(HOPS + 1):
            answer = session.get(
                url, timeout=SECONDS, stream=True, allow_redirects=False, headers={"Accept-Encoding": "identity"}
            )
            with answer:
                if not answer.is_redirect:
                    return _read(answer, largest)
                url = target_of(url, answer.headers["Location"])
        raise requests.TooManyRedirects(f"more than {HOPS} redirects")


def target_of(url: str, location: str) -> str:
    """Return where a redirect leads: never from an encrypted address to one that is not, never to a file.

    Raises:
        RequestException: it leads elsewhere.
    """
    import requests

    try:
        target = urljoin(url, location)
    except ValueError:
        raise requests.exceptions.InvalidURL("it leads to an address that cannot be read") from None
    scheme = urlsplit(target).scheme
    allowed = ("https",) if urlsplit(url).scheme == "https" else ("http", "https")
    if scheme not in allowed:
        raise requests.exceptions.InvalidSchema(
            f"it leads to {scheme[:20] or 'nothing'}://; allowed is {' or '.join(allowed)}"
        )
    return target


def _read(answer: requests.Response, largest: int) -> bytes:
    import requests

    answer.raise_for_status()
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise requests.exceptions.ContentDecodingError(
            f"the body is packed ({answer.headers['Content-Encoding']!r:.40})"
        )
    body = bytearray()
    for chunk in answer.iter_content(CHUNK):  # a body shorter than its Content-Length raises
        body += chunk
        if len(body) > largest:
            break
    return bytes(body[: largest + 1])
