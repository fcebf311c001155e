"""The cards' templates: Markdown, in which a value of any text stays in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinyllm.console import as_json, printable
from tinyllm.evaluation.wording import percent


def fill(template: str, facts: Mapping[str, Any]) -> str:
    """Return a card.

    Args:
        template: the file's name in this folder
    """
    environment = Environment(  # Markdown, so no HTML escapes: `cell` and `code` keep values in their places
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "cell": as_cell, "code": as_code, "python": repr}
    return environment.get_template(template).render(facts)


def as_cell(text: str) -> str:
    """Return text that neither ends its table cell nor is markup, a link or a picture among it."""
    line = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace("://", ":&#47;&#47;")
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", line)


def as_code(value: object) -> str:
    """Return a value as inline code, in JSON unless it is text."""
    text = value if isinstance(value, str) and value.isprintable() and value else as_json(value)
    return f"`{text.replace('`', chr(39)).replace('|', chr(92) + '|')}`"
