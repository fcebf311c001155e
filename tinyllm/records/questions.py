"""The question: its fields, its checks, and the text a student or teacher is shown."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tinyllm.records.jsonl import parse_lines, write_jsonl
from tinyllm.records.reading import open_lines
from tinyllm.records.seen_text import seen_text

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NEEDED = ("id", "question", "answer")
WORD = re.compile(r"\w+")
_WORDS_ALONE = bytes(byte if WORD.fullmatch(chr(byte)) and byte < 128 else 32 for byte in range(256))


@dataclass(frozen=True)
class Question:
    """One question; `answer` is the index of the gold option, or the gold text where there are no `choices`."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int | str
    context: str = ""  # may be empty

    @property
    def free(self) -> bool:
        """Whether it has no options: it is answered in free text."""
        return not self.choices

    @property
    def gold(self) -> str:
        """The gold option's full text, or the gold text."""
        return self.answer if isinstance(self.answer, str) else self.choices[self.answer]

    @property
    def gold_letter(self) -> str:
        """The gold option's label."""
        assert isinstance(self.answer, int), f"question {self.id} has no options"
        return option_letter(self.answer)


def read_questions(path: Path | str) -> list[Question]:
    """Return the checked questions of a JSON-lines file.

    Raises:
        ValueError: see `parse_questions`; the message names file and row.
    """
    return _with_different_ids(iter_questions(path), str(path))


def iter_questions(path: Path | str) -> Iterator[tuple[int, Question]]:
    """Yield line number and question of each row of a JSON-lines file; it is checked, but its id is not compared.

    Raises:
        ValueError: see `parse_questions`; the message names file and row.
    """
    with open_lines(path) as lines:
        yield from _parse_each(parse_lines(lines, path), str(path))


def write_questions(path: Path | str, questions: Iterable[Question]) -> None:
    write_jsonl(path, (asdict(question) for question in questions))


def parse_questions(rows: Sequence[dict], source: str) -> list[Question]:
    """Turn plain rows into questions, checking every one.

    A row has `id` (text or number), `question`, `choices` (two to 26 texts), `answer` (the gold option's index from 0, or
    its full text) and, if wanted, `context`. White space is folded to single spaces, except line breaks in the context.
    Without choices, or with an empty list of them, it is a free-text question: its `answer` is text, or a number, which is
    taken as its text. All rows are of one kind.

    Raises:
        ValueError: on the first faulty row, as `source:row: fault, what is allowed`; also when there is no row at all.
    """
    return _with_different_ids(_parse_each(enumerate(rows, start=1), source), source)


def repeated_question(id_: str, where: str, first: str) -> ValueError:
    """The error of an id that stands in `first` too."""
    return ValueError(f"{where}: id {id_!r} stands in {first} too; ids must differ")


def _with_different_ids(numbered: Iterable[tuple[int, Question]], source: str) -> list[Question]:
    rows: dict[str, int] = {}  # by id
    questions = []
    for number, question in numbered:
        first = rows.setdefault(question.id, number)
        if first != number:
            raise repeated_question(question.id, f"{source}:{number}", f"row {first}")
        questions.append(question)
    return questions


def _parse_each(rows: Iterable[tuple[int, dict]], source: str) -> Iterator[tuple[int, Question]]:
    number = start = 0
    free = False
    for number, row in rows:
        where = f"{source}:{number}"
        question = parse_question_row(row, where)
        if not start:
            start, free = number, question.free
        if question.free != free:
            raise other_kind(question, where, start)
        yield number, question
    if not number:
        raise ValueError(f"{source}: no questions; at least 1 is needed")


def other_kind(question: Question, where: str, start: int) -> ValueError:
    """The error of a question of another kind than that of row `start`."""
    return ValueError(
        f"{where}: {describe_kind(question.free)}, but row {start} {describe_kind(not question.free)}; "
        "allowed is one kind in a set"
    )


def parse_question_row(row: dict, where: str) -> Question:
    """Return the question of one row, see `parse_questions`.

    Raises:
        ValueError: it is none; the message starts with `where`.
    """
    missing = [field for field in NEEDED if field not in row]
    if missing:
        raise ValueError(
            f"{where}: no field {missing[0]!r}; a question has {', '.join(NEEDED)} and may have choices and context"
        )
    if isinstance(row["id"], bool) or not isinstance(row["id"], (str, int)) or not str(row["id"]).strip():
        raise ValueError(f"{where}: id {row['id']!r}; allowed is a text or a whole number")
    for field in ("question", "context"):
        if not isinstance(row.get(field, ""), str):
            raise ValueError(f"{where}: {field} is {type(row[field]).__name__}; allowed is text")
    question = collapse_whitespace(row["question"])
    if not seen_text(question):
        raise ValueError(f"{where}: the question is empty")
    choices = _choices(row.get("choices", ()), where)
    answer = _answer_index(row["answer"], choices, where) if choices else _answer_text(row["answer"], where)
    context = "\n".join(collapse_whitespace(line) for line in row.get("context", "").splitlines() if line.strip())
    return Question(str(row["id"]), question, choices, answer, context)


def _choices(choices: object, where: str) -> tuple[str, ...]:
    if not isinstance(choices, (list, tuple)) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError(f"{where}: choices is {choices!r}; allowed is a list of texts")
    if len(choices) not in (0, *range(2, len(LETTERS) + 1)):
        raise ValueError(
            f"{where}: {len(choices)} choices; allowed are 2 to {len(LETTERS)}, or none where the answer is free text"
        )
    folded = tuple(collapse_whitespace(choice) for choice in choices)
    seen = [seen_text(choice) for choice in folded]
    if "" in seen:
        raise ValueError(f"{where}: choice {seen.index('')} is empty")
    return folded


def _answer_index(answer: object, choices: tuple[str, ...], where: str) -> int:
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(choices):
            raise ValueError(f"{where}: answer {answer}, but {len(choices)} choices (0-{len(choices) - 1})")
        index = answer
    elif isinstance(answer, str):
        texts: Sequence[str] = choices
        text = collapse_whitespace(answer)
        if text not in texts:  # as it is written first: two choices may look alike
            texts, text = [seen_text(choice) for choice in choices], seen_text(text)
        if text not in texts:
            raise ValueError(f"{where}: answer {answer!r} is none of the choices {list(choices)}")
        index = texts.index(text)
    else:
        raise ValueError(f"{where}: answer {answer!r}; allowed is an index from 0 or a choice's text")
    if double := look_alike(choices, index):
        alike = "" if double == choices[index] else f" looks like the choice {double!a}: it"
        raise ValueError(f"{where}: the answer {choices[index]!a}{alike} stands among the choices more than once")
    return index


def look_alike(choices: Sequence[str], index: int) -> str | None:
    """Return another choice that a reader cannot tell from this one."""
    text = seen_text(choices[index])
    return next((choice for i, choice in enumerate(choices) if i != index and seen_text(choice) == text), None)


def _answer_text(answer: object, where: str) -> str:
    if isinstance(answer, (int, float)) and not isinstance(answer, bool) and math.isfinite(answer):
        return str(answer)
    if not isinstance(answer, str) or not seen_text(collapse_whitespace(answer)):
        raise ValueError(
            f"{where}: answer {answer!r}, and no choices; allowed then is a text that is not empty, or a number"
        )
    return collapse_whitespace(answer)


def describe_kind(free: bool) -> str:
    """What an error says of a question."""
    return "is a free-text question" if free else "has options"


def require_options(questions: Sequence[Question], asked: str) -> None:
    """Refuse what only options can be asked, where the questions have none.

    Args:
        asked: the key that asks for it, and its value

    Raises:
        ValueError: they are free-text questions.
    """
    if questions[0].free:  # and so are all: a set has one kind
        raise ValueError(f"{asked}, but {questions[0].id!r} has no options; set it to false, and loss.kd to 0.0")


def collapse_whitespace(text: str) -> str:
    """Fold every run of white space to one space and strip the ends."""
    return " ".join(text.split())


def normalise(text: str) -> str:
    """Return the words of a text as they are compared: Unicode-normalised, lower case, letters and digits only."""
    return " ".join(
        ascii_words(text) if text.isascii() else WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    )


def ascii_words(text: str) -> list[str]:
    r"""Return what `\w+` finds in an ASCII text in lower case, in half of the time."""
    return text.lower().encode().translate(_WORDS_ALONE).decode().split()


def option_letter(index: int) -> str:
    """The label of option `index`: 0 is `(a)`."""
    return f"({LETTERS[index]})"


def input_text(question: Question) -> str:
    """Return question and, where it has any, options as the student reads them, without prefix and context.

    Source: github YikunHan42/TinyLLM at 9f5bebe.
    """
    if question.free:
        return question.question
    options = [f"{option_letter(index)} {choice}" for index, choice in enumerate(question.choices)]
    return "\n".join([question.question, "Answer Choices:", *options])


def first_ids(ids: Sequence[str]) -> str:
    """The first few ids, as a message names them."""
    return ", ".join(map(repr, ids[:3])) + (", ..." if len(ids) > 3 else "")
