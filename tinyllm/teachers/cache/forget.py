"""Which cached answers are to be forgotten, so that they are asked for again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tinyllm.teachers.cache.connection import Connection

BLANK = "trim(answers.text, char(9, 10, 11, 12, 13, 32)) = ''"  # no answer; older versions kept such
STATUS = {"stop": "finish = 'stop'", "length": "finish = 'length'", "empty": BLANK, "imported": "origin != ''"}
SPAN = re.compile(r"([0-9]{1,9})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class Selection:
    """Answers that meet all of these; None is any."""

    teachers: tuple[str, ...] | None = None  # digests
    key: str | None = None  # its start
    status: str | None = None  # one of STATUS
    since: float | None = None  # Unix time of the answer

    def condition(self) -> tuple[str, dict[str, object]]:
        """Return the condition in SQL, and the values of its names."""
        values: dict[str, object] = {"since": self.since, "start": f"{self.key}*"}
        parts = ["1"]
        if self.teachers is not None:
            values |= {f"teacher{number}": digest for number, digest in enumerate(self.teachers)}
            parts.append(
                f"answers.teacher IN ({', '.join(f':teacher{number}' for number in range(len(self.teachers)))})"
            )
        if self.key is not None:
            parts.append("answers.key GLOB :start")
        if self.status is not None:
            parts.append(STATUS[self.status])
        if self.since is not None:
            parts.append("answers.created >= :since")
        return " AND ".join(parts), values


def count_selected(database: Connection, selection: Selection) -> dict[str, int]:
    """Return how many answers are selected, by the digest of their teacher."""
    condition, values = selection.condition()
    return dict(
        database.execute(f"SELECT teacher, count(*) FROM answers WHERE {condition} GROUP BY teacher", values).fetchall()
    )


def delete_selected(database: Connection, selection: Selection) -> int:
    """Delete the selected answers; return how many there were."""
    condition, values = selection.condition()
    return database.execute(f"DELETE FROM answers WHERE {condition}", values).rowcount


def check_key(text: str) -> str:
    """Return the start of an answer's key.

    Raises:
        ValueError: no key starts so.
    """
    if not re.fullmatch("[0-9a-f]{8,64}", text):
        raise ValueError(f"--digest {text!r}: allowed are the first 8 to 64 signs of an answer's key, of 0-9 and a-f")
    return text


def parse_since(text: str, now: float) -> float:
    """Return the Unix time that a date, a time or a span before now stands for.

    Raises:
        ValueError: it is none of these.
    """
    if span := SPAN.fullmatch(text):
        return now - int(span[1]) * SECONDS[span[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        allowed = "a date such as 2026-01-31, a time such as 2026-01-31T12:00 (UTC), or a span such as 2d, 3h or 30m"
        raise ValueError(f"--since {text!r}: allowed is {allowed}") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
