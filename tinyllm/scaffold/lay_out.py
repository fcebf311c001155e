"""A new project, whole or not at all: it is made beside its place, in a folder of its own, and moved there at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tinyllm.datasets import QuestionSet
from tinyllm.params.checks import name_fault
from tinyllm.params.yaml_file import parse_yaml
from tinyllm.provenance.installed import VERSION_FILE, template_files, template_folder, version_text
from tinyllm.scaffold.params_file import FORMS, OPTION, new_teacher, project_params, recorded_teacher
from tinyllm.scaffold.pipeline import project_pipeline
from tinyllm.scaffold.questions import bring_questions

QUESTIONS = "questions"  # the folder in the project
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # git sets these for another repository
EMPTY = ("metrics/exam/.gitkeep",)  # a stage depends on the folder even where no teacher is used


def lay_out(target: Path, source: Path, teachers: Sequence[str], seed: int) -> list[str]:
    """Make a project in a new folder, under git; return what there is to say of it, a line each.

    Args:
        source: of the questions, see `bring_questions`
        teachers: as `--teacher` has them; none are all whose rationales are recorded
        seed: of the split of one file

    Raises:
        ValueError: the place is taken, or questions or teachers are faulty; nothing is left there.
    """
    _check_place(target)
    partial = target.absolute().with_name(f".{target.absolute().name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        said = _fill(partial, source, teachers, seed)
        said.append(_under_git(partial))
        if target.is_dir():  # it is empty, which not every system lets a folder take the place of
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return said


def _check_place(target: Path) -> None:
    if target.absolute() == Path.cwd():
        raise ValueError(f"{target}: is the folder that this runs in; go up with `cd ..` and name it, or a new one")
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise ValueError(f"{target}: is not empty; name a folder that is not there yet, or has nothing in it")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"{target.parent}: no such folder; make it first")
    if shutil.which("git") is None:
        raise ValueError("git: no such command; install git, which DVC needs")


def _fill(project: Path, source: Path, asked: Sequence[str], seed: int) -> list[str]:
    root = template_folder()
    questions = bring_questions(source, project / QUESTIONS, seed)
    params = (root / "params.yaml").read_text(encoding="utf-8")
    known = parse_yaml(params, "params.yaml")["teachers"]
    teachers, entries = _teachers(asked, questions, known, params, source)
    made = {
        "dvc.yaml": project_pipeline((root / "dvc.yaml").read_text(encoding="utf-8")),
        "params.yaml": project_params(params, QUESTIONS, teachers, entries),
        str(VERSION_FILE): version_text(),
        **dict.fromkeys(EMPTY, ""),
    }
    for name in template_files(root):
        if name not in made:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, project / name)
    for name, text in made.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8", newline="\n")
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in questions.splits.items())
    how = "" if source.is_dir() else f"; one file, split with --seed {seed}"
    return [
        f"questions  {counts}{how}",
        f"teachers   {', '.join(teachers) or 'none, so that students learn from answers alone; --teacher names some'}",
        *(f"note       {note}" for note in questions.notes),
    ]


def _teachers(
    asked: Sequence[str], questions: QuestionSet, known: dict, params: str, source: Path
) -> tuple[list[str], dict[str, str]]:
    """Return the names of the teachers that the project uses, and the entries that params.yaml lacks.

    Raises:
        ValueError: one is neither known, nor recorded with these questions, nor of a form that is read.
    """
    entries: dict[str, str] = {}
    for name in questions.recorded:
        if name not in known:
            entries[name] = recorded_teacher(name)
        elif known[name]["backend"] != "recorded":
            raise ValueError(
                f"{source}: has rationales of {name}, a name that another teacher has; give it another one"
            )
    if not asked:
        return list(questions.recorded), entries
    names = []
    for teacher in asked:
        name = teacher.partition("=")[0]
        if name in names:
            raise ValueError(f"{OPTION} {teacher}: {name} is given twice; names must differ")
        names.append(name)
        if "=" in teacher:
            if name in known or name in entries:
                raise ValueError(f"{OPTION} {teacher}: there is a teacher {name} already; give it another name")
            entries[name] = new_teacher(teacher, params)[1]
        elif name not in known and name not in entries:
            fault = name_fault(name) or f"is unknown; allowed are {FORMS}"
            raise ValueError(f"{OPTION} {name!s:.80}: {fault}")
        elif name in known and known[name]["backend"] == "recorded" and name not in questions.recorded:
            here = ", ".join(questions.recorded) or "none"
            raise ValueError(
                f"{OPTION} {name}: is recorded, but {source} has no rationales of it; it has those of: {here}"
            )
    return names, entries


def _under_git(project: Path) -> str:
    """Put the project under git where its place is not; return what was done, in words."""
    if _git(project, "rev-parse", "--is-inside-work-tree"):
        return "git        inside of a repository that is there; commit the new folder"
    if not (_git(project, "init", "--quiet") and _git(project, "add", "--all")):
        raise ValueError("git: cannot make a repository; try `git init` by hand, and see what it says")
    if _git(project, "commit", "--quiet", "--no-gpg-sign", "--message", "A new project of tinyllm"):
        return "git        a new repository, with all of it committed"
    return "git        a new repository; git knows no name of yours, so commit it yourself: `git commit -m Start`"


def _git(project: Path, *arguments: str) -> bool:
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode == 0
