"""One batch: jobs that came together, answered by passes over all of them that ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from tinyllm.records.questions import LETTERS, Question, input_text
from tinyllm.serving.prompt import conclusion
from tinyllm.serving.refusal import Refusal
from tinyllm.serving.reply import Said
from tinyllm.serving.request import Job
from tinyllm.student.answer import Answer, AskedStudent, answer_questions, context_was_cut, explain
from tinyllm.student.generate import Written

T = TypeVar("T")
TOO_LONG = "context_length_exceeded"  # OpenAI's name for it
NARROW = 256  # numbers that a token is
ROOM = 256  # tokens around a question, at most: prefix, response, template
LONGEST = 4  # times student.max_input_tokens: what is longer without its context is refused, for its cost is the square


def for_batches(student: AskedStudent) -> AskedStudent:
    """Return the student; of a narrow one the number of passes costs more than their length, so that they are longer."""
    embeddings = student.model.plain.get_input_embeddings()
    narrow = isinstance(embeddings, nn.Embedding) and embeddings.embedding_dim <= NARROW
    return replace(student, cpu_tokens=4 * student.cpu_tokens) if narrow else student


def say(student: AskedStudent, jobs: Sequence[Job]) -> list[Said | Exception]:
    """Return what the student says to each job, or why it says nothing."""
    most = LONGEST * student.params.student.max_input_tokens
    sizes = _input_tokens(student, [job.question for job in jobs], most)
    failed: dict[int, Exception] = {
        i: Refusal(400, f"the question has {size} tokens, its context aside; allowed are {most}", code=TOO_LONG)
        for i, (_, size) in enumerate(sizes)
        if size > most
    }
    answers = _grouped(
        [i for i, job in enumerate(jobs) if i not in failed and (job.voice is None or job.concluded)],
        lambda i: (jobs[i].question.free, jobs[i].told),
        lambda group: answer_questions(student, [jobs[i].question for i in group], jobs[group[0]].told),
        failed,
    )
    texts = _grouped(
        [i for i, job in enumerate(jobs) if i not in failed and job.voice is not None],
        lambda i: (jobs[i].question.free, jobs[i].voice),
        lambda group: explain(student, [jobs[i].question for i in group], str(jobs[group[0]].voice)),
        failed,
    )
    said = {i: _text(student, job, answers.get(i), texts.get(i)) for i, job in enumerate(jobs) if i not in failed}
    counts = dict(zip(said, student.model.plain_text.ids([text for text, _ in said.values()], False), strict=True))
    return [
        failed[i]
        if i in failed
        else Said(
            said[i][0],
            "stop" if said[i][1] else "length",
            sizes[i][0],
            len(counts[i]),
            _fields(student, job, answers.get(i), sizes[i][0]),
            _likely(job, answers.get(i), said[i][0]),
        )
        for i, job in enumerate(jobs)
    ]


def _grouped(
    indices: Sequence[int],
    alike: Callable[[int], Hashable],
    run: Callable[[list[int]], list[T]],
    failed: dict[int, Exception],
) -> dict[int, T]:
    """Return what came of each, those that are alike run together; of a group that fails each half is run by itself."""
    groups: dict[Hashable, list[int]] = {}
    for i in indices:
        groups.setdefault(alike(i), []).append(i)
    waiting, found = list(groups.values()), dict[int, T]()
    while waiting:
        group = waiting.pop()
        try:
            found |= dict(zip(group, run(group), strict=True))
        except Exception as error:  # whatever one question brings about, the others get their answers
            half = len(group) // 2
            if half:
                waiting += [group[:half], group[half:]]
            else:
                failed[group[0]] = error
    return found


def _text(student: AskedStudent, job: Job, answer: Answer | None, written: Written | None) -> tuple[str, bool]:
    """Return what is said to a job, and whether it ended by itself."""
    if job.concluded and answer:
        rationale = f"{written.text} " if written else ""
        return rationale + conclusion(answer.choice, answer.text), True
    if written:
        return _shortened(student, job, written.text, written.ended)
    assert answer is not None
    if answer.choice is None:
        return _shortened(student, job, answer.text, answer.ended)
    return LETTERS[answer.choice] if job.letter else answer.text, True  # an option is never cut


def _fields(student: AskedStudent, job: Job, answer: Answer | None, size: int) -> dict[str, Any] | None:
    if answer is None:
        return None
    near = size + ROOM > student.params.student.max_input_tokens  # to look costs as much as reading a question
    cut = near and context_was_cut(student, job.question)
    return answer.fields | ({"context_cut": True} if cut else {})


def _shortened(student: AskedStudent, job: Job, text: str, ended: bool) -> tuple[str, bool]:
    """Return a text up to the first of the texts that stop it, or up to its limit, and whether it ended there by itself."""
    for stop in job.stops:
        head, found, _ = text.partition(stop)
        text, ended = head, ended or bool(found)
    if job.limit is None:
        return text, ended
    (ids,) = student.model.plain_text.ids([text], add_special_tokens=False)
    cut = len(ids) > job.limit
    return (
        (str(student.model.tokenizer.decode(ids[: job.limit], skip_special_tokens=True)), False)
        if cut
        else (text, ended)
    )


def _likely(job: Job, answer: Answer | None, text: str) -> list[tuple[str, float]] | None:
    """Return the options that are told, the likeliest first, and always the chosen one."""
    if job.likely is None or answer is None:
        return None
    names = LETTERS if job.letter else job.question.choices
    pairs = sorted(zip(names, answer.probabilities, strict=False), key=lambda pair: -pair[1])
    return [pair for rank, pair in enumerate(pairs) if rank < job.likely or pair[0] == text]


def _input_tokens(student: AskedStudent, questions: Sequence[Question], most: int) -> list[tuple[int, int]]:
    """Return the tokens of each question with its context, and without where it is longer than `most`, or else the same."""
    read, texts = student.model.plain_text, [input_text(question) for question in questions]
    whole = [f"{q.context}\n{text}" if q.context else text for q, text in zip(questions, texts, strict=True)]
    sizes = [len(ids) for ids in read.ids(whole)]
    return [(size, size if size <= most else len(read.ids([text])[0])) for size, text in zip(sizes, texts, strict=True)]
