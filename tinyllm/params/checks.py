"""What contradicts in params.yaml: each value may be right by itself, and wrong beside another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from tinyllm.params.answer_checks import check_answers
from tinyllm.params.asking import check_asking
from tinyllm.params.schema import Hub, Params, Student, alpha
from tinyllm.params.teacher_entries import RECORDED, RELEASED, LocalTeacher, ServerTeacher, Teacher

SCORING = ("expert", "local", "server")  # backends whose teachers tell how likely they find each option
TEACHER_NAME = re.compile(  # a dot would break DVC's params; a task is called `answer`; files are called after teachers
    r"(?!answer$)[A-Za-z][A-Za-z0-9_-]*"
)
LONGEST_NAME = 64  # characters; with its ending a file's name may have 255 bytes
TEACHER_NAMES = "allowed are letters, digits, _ and -, a letter first; `answer` is taken"


def name_fault(name: str) -> str | None:
    """Return what is wrong with a teacher's name, None where it is one."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters; allowed for a teacher's name are {LONGEST_NAME}, for files are called after it"
    return None if TEACHER_NAME.fullmatch(name) else f"is no name; {TEACHER_NAMES}"


def cross_checks(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    """Yield (keys, sentence) for every value that contradicts another."""
    yield from _check_teachers(params)
    yield from _check_option_probabilities(params)
    yield from check_answers(params)
    yield from _check_learnable(params)
    if params.train.match != "none" and not params.corpus.teachers:
        yield (
            ("train", "match"),
            f"is {params.train.match}, but corpus.teachers is empty, so that there is nothing to match; name the teachers "
            "of the run it is compared with and set loss.alpha to 0.0, or set it to none",
        )
    for seed, times in Counter(params.train.seeds).items():
        if times > 1:
            yield ("train", "seeds"), f"{seed} stands {times} times; seeds must differ"
    yield from _check_student(params.student)
    yield from _check_target(params)
    yield from _check_tuning(params.student)
    student = params.student
    if "{teacher}" not in student.rationale_prefix and len(params.corpus.teachers) > 1:
        yield ("student", "rationale_prefix"), "lacks {teacher}, so that several teachers would share one prefix"
    if student.rationale_prefix == student.answer_prefix:
        yield ("student", "rationale_prefix"), "equals answer_prefix; every task needs a prefix of its own"
    if params.data.dataset == "casebook" and params.data.casebook.fillers > params.data.casebook.filler_pool:
        yield ("data", "casebook", "fillers"), "is larger than filler_pool"
    if params.data.dataset == "hub":
        yield from _check_hub(params.data.hub)
    yield from check_asking(params)


def _check_hub(hub: Hub) -> Iterable[tuple[tuple[str, ...], str]]:
    if hub.revision is None and not Path(hub.path).is_dir():
        yield ("data", "hub", "revision"), "is null; pin the set to a 40-digit commit, so that the data cannot change"
    columns = hub.columns
    if columns.choices is None and columns.labels is not None:
        where = ("data", "hub", "columns", "labels")
        yield where, f"is {columns.labels}, but choices is null: free text has no labels; set it to null, too"
    for name in columns.rationales:
        if fault := name_fault(name):
            yield (
                ("data", "hub", "columns", "rationales", name),
                fault.replace("is no name;", "is no name of a teacher;"),
            )


def _check_teachers(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    used, known = params.corpus.teachers, list(params.teachers)
    by_case = {name.casefold(): name for name in reversed(known)}
    for name in known:
        if by_case[name.casefold()] != name:
            yield ("teachers", name), f"differs from {by_case[name.casefold()]} by case alone, and so would their files"
        if fault := name_fault(name):
            yield ("teachers", name), fault
            continue
        yield from _check_samples(name, params.teachers[name])
        yield from _check_addresses(name, params.teachers[name])
    for name, times in Counter(used).items():
        where = ("corpus", "teachers")
        if times > 1:
            yield where, f"{name} stands {times} times; teachers must differ"
        if name not in known:
            yield where, f"{name} is not in the registry `teachers`; it has {', '.join(known)}{_meant(name, known)}"
        elif not _can_read(params.teachers[name].backend, params.data.dataset):
            yield (
                where,
                f"{name} (backend {params.teachers[name].backend}) has nothing to say on data.dataset {params.data.dataset}; "
                + _advice(params),
            )
        elif params.teachers[name].backend == "recorded" and name not in RECORDED.get(params.data.dataset, (name,)):
            offered = ", ".join(RECORDED[params.data.dataset])
            yield where, f"{name} has no rationales of data.dataset {params.data.dataset}; recorded are {offered}"
    for name in params.loss.teacher_alpha:
        if name not in known:
            yield ("loss", "teacher_alpha", name), f"is no teacher; the registry has {', '.join(known)}"


def _check_samples(name: str, teacher: Teacher) -> Iterable[tuple[tuple[str, ...], str]]:
    if not isinstance(teacher, LocalTeacher | ServerTeacher) or "temperature" in getattr(teacher, "extra", {}):
        return
    if teacher.samples > 1 and not teacher.temperature:
        where = ("teachers", name, "samples")
        yield where, f"is {teacher.samples}, but at temperature 0.0 all are the same; raise that, or set samples to 1"


def _check_addresses(name: str, teacher: Teacher) -> Iterable[tuple[tuple[str, ...], str]]:
    if not isinstance(teacher, ServerTeacher):
        return
    where = ("teachers", name, "url")
    if teacher.api == "batch" and len(teacher.urls) > 1:
        yield where, f"has {len(teacher.urls)} addresses, but api batch asks one; give one, or set api to chat"
    for url, times in Counter(url.rstrip("/") for url in teacher.urls).items():
        if times > 1:
            yield where, f"has {url} {times} times; addresses must differ"


def _check_student(student: Student) -> Iterable[tuple[tuple[str, ...], str]]:
    scratch = student.scratch
    if student.origin != "scratch" and student.model is None:
        yield ("student", "model"), f"is null, but student.origin is {student.origin}; give a hub id or a folder"
    if student.origin == "scratch" and scratch is None:
        yield (
            ("student", "scratch"),
            "is null, but student.origin is scratch; give vocabulary, width, layers, heads, ...",
        )
    if scratch is not None and scratch.width % scratch.heads:
        yield ("student", "scratch", "width"), f"{scratch.width} is no multiple of heads ({scratch.heads})"
    elif scratch is not None and scratch.architecture == "causal" and scratch.width // scratch.heads % 2:
        yield (
            ("student", "scratch", "width"),
            f"{scratch.width} over {scratch.heads} heads is {scratch.width // scratch.heads}; a Llama's need an even width",
        )
    if student.origin != "scratch":
        return
    if student.gguf_file is not None:
        yield ("student", "gguf_file"), f"is {student.gguf_file}, but student.origin is scratch; leave it empty"
    if student.chat:
        yield ("student", "chat"), "is true, but a scratch student has no chat template; set it to false"


def _check_target(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    """A student that answers behind a teacher's rationale alone has no other way to an answer."""
    if params.student.target != "rationale_then_answer":
        return
    if not any(alpha(params.loss, name) > 0 for name in params.corpus.teachers):
        yield (
            ("student", "target"),
            "is rationale_then_answer, but no teacher has a weight above 0; name one in corpus.teachers "
            "and raise loss.alpha, or set it to multitask",
        )
    if params.loss.kd:
        yield (
            ("loss", "kd"),
            f"is {params.loss.kd}, but a student with student.target rationale_then_answer never answers under "
            "student.answer_prefix; set it to 0.0, or student.target to answer_then_rationale",
        )


def _check_tuning(student: Student) -> Iterable[tuple[tuple[str, ...], str]]:
    """An adapter that is saved alone names the model it belongs to, which so has to be one that others can load."""
    where: tuple[str, ...]
    if student.tuning == "prompt":
        where, alone, remedy = ("student", "tuning"), "prompt", "use full or lora"
    elif student.tuning == "lora" and student.lora.saved == "adapter":
        where, alone, remedy = ("student", "lora", "saved"), "adapter", "use merged"
    else:
        return
    if student.origin == "scratch":
        yield where, f"is {alone}, which is saved without its model, and a scratch student's is kept nowhere; {remedy}"
    elif student.gguf_file is not None:
        yield where, f"is {alone}, which is saved without its model and cannot name one in a .gguf file; {remedy}"


def _check_option_probabilities(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    corpus, kd = params.corpus, params.loss.kd
    if kd and not corpus.teachers:
        yield ("loss", "kd"), f"is {kd}, but corpus.teachers is empty; name teachers to learn from, or set it to 0.0"
    elif kd and not corpus.option_probabilities and not (corpus.answers == "teachers" and corpus.soft_answers):
        yield ("loss", "kd"), f"is {kd}, but corpus.option_probabilities is false; set that to true, or loss.kd to 0.0"
    for name in corpus.teachers if corpus.option_probabilities else ():
        if name in params.teachers and params.teachers[name].backend not in SCORING:
            yield (
                ("corpus", "option_probabilities"),
                f"is true, but {name} (backend {params.teachers[name].backend}) cannot tell how likely it finds an option; "
                f"backends that can: {', '.join(SCORING)}",
            )


def _check_learnable(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    corpus, student = params.corpus, params.student
    if corpus.selection != "learnable":
        return
    if student.origin == "scratch":
        yield (
            ("corpus", "selection"),
            "is learnable, but student.origin is scratch, and a new student finds all texts alike; "
            "train a hub or local student, or use all",
        )
    if corpus.samples == "all":
        yield (
            ("corpus", "samples"),
            "is all, but corpus.selection is learnable, which keeps so many of a teacher's; give a number, or select all",
        )


def _can_read(backend: str, dataset: str) -> bool:
    """Experts know casebook alone, and casebook comes with no recorded rationales; a live teacher reads anything."""
    return backend in ("local", "server") or (backend == "expert") == (dataset == "casebook")


def _meant(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _advice(params: Params) -> str:
    dataset = params.data.dataset
    if dataset == "casebook":
        return "casebook is read by teachers with backend expert"
    if dataset in RELEASED:
        return "the released sets have -S 'corpus.teachers=[flan_t5_xl,llama2_chat_7b]'"
    if dataset in RECORDED:
        return f"name recorded teachers of it with -S 'corpus.teachers=[...]': {', '.join(RECORDED[dataset])}"
    return "name teachers with backend recorded, local or server, or none with -S 'corpus.teachers=[]'"
