"""A question as somebody asks it: a row like one of data/questions, which may lack its id and its gold answer."""

from __future__ import annotations

import json
from dataclasses import replace

from tinyllm.records.jsonl import HALF_CHARACTER
from tinyllm.records.questions import Question, collapse_whitespace, look_alike, parse_questions


def parse_question(row: dict, where: str) -> Question:
    """Turn a row into a question by the rules of `parse_questions`, but for its gold answer, which it may lack.

    Without `choices`, or with none in the list, it is a free-text question.

    Raises:
        ValueError: the row is faulty; the message starts with `where`.
    """
    if half := HALF_CHARACTER.search(json.dumps(row, ensure_ascii=False)):
        raise ValueError(f"{where}: \\u{ord(half[0]):04x} is half a character, which UTF-8 cannot hold")
    choices = row.get("choices", [])
    free = choices == []
    if "answer" not in row and isinstance(choices, list):
        folded = [collapse_whitespace(choice) for choice in choices if isinstance(choice, str)]
        if twice := [choice for i, choice in enumerate(folded) if look_alike(folded, i) is not None]:
            raise ValueError(f"{where}: {twice[0]!r} stands among the choices more than once; choices must differ")
    try:
        (question,) = parse_questions([{"answer": "unknown" if free else 0, **row}], "row")
    except ValueError as error:
        raise ValueError(f"{where}{str(error).removeprefix('row:1')}") from None
    return question if "answer" in row or not free else replace(question, answer="")
