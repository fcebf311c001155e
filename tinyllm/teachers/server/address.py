"""The address of an endpoint: what it may hold, where a request goes, and what may travel there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

API_VERSION = re.compile(  # Azure's: a date or a word, no key, for it lands in the answer cache
    r"api-version=(?:\d{4}-\d\d-\d\d|v\d{1,3}(?:\.\d{1,3})?|latest|preview)(?:-[a-z]{1,12}(?:\.\d{1,3})?)?", re.ASCII
)


def checked_url(url: str, where: str = "url") -> str:
    """Return the url without a slash at its end.

    Args:
        where: the param, as a message names it

    Raises:
        ValueError: it has no host, or holds what must not land in the answer cache, such as a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            f"{where}: its host or port cannot be read; expected such as http://localhost:8000/v1"
        ) from None
    if "@" in parts.netloc:
        raise ValueError(
            f"{where}: a name or password before host {host}, which would land in the answer cache; give the key in the "
            "environment variable that key_variable names"
        )
    if (parts.query and not API_VERSION.fullmatch(parts.query)) or parts.fragment or not host:
        raise ValueError(
            f"{where}: host {host or 'missing'}, and {'something' if parts.query or parts.fragment else 'nothing'} behind ? "
            "or #; expected an address alone, such as http://localhost:8000/v1, or with ?api-version=...; a key belongs into "
            "the environment variable that key_variable names"
        )
    if parts.path.rstrip("/").endswith("/completions"):
        raise ValueError(
            f"{where}: its path {parts.path} ends in what is put behind it; expected an address up to that, such as up to /v1"
        )
    return url.rstrip("/")


def request_address(url: str, path: str) -> str:
    """Return where a request goes: the path comes before an api-version, which comes before what else is asked."""
    base, mark, version = url.partition("?")
    path, also, rest = path.partition("?")
    query = "&".join(part for part in (version, rest) if part)
    return f"{base.rstrip('/')}/{path}{'?' if mark or also else ''}{query}"


def check_encrypted(urls: Sequence[str], name: str) -> None:
    """Refuse to send a key unencrypted to another machine.

    Raises:
        ValueError: an address is plain http and not this machine's.
    """
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError(
                f"teachers.{name}.url: {url} is not encrypted, and the key would travel in the open; use https://, set "
                f"key_variable to null, or allow it with teachers.{name}.plain_http: true"
            )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address, if any; none for this machine's own."""
    parts = urlsplit(url)
    return None if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def proxy_passwords() -> list[str]:
    """Return the passwords in the addresses of the environment's proxies, as they are meant and as they stand there."""
    written = [proxy.rpartition("@")[0].rpartition("//")[2].partition(":")[2] for proxy in getproxies().values()]
    return [password for text in written if text for password in dict.fromkeys((unquote(text), text))]
