"""Take a new version of the package over into a project: its stages and dvc.yaml, new keys of params.yaml, and the version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from subprocess import run

from tinyllm.provenance.installed import (
    VERSION_FILE,
    template_files,
    template_folder,
    version_fault,
    version_text,
)
from tinyllm.records.files import atomic_write
from tinyllm.records.reading import read_text
from tinyllm.scaffold.new_keys import with_new_keys
from tinyllm.scaffold.pipeline import project_pipeline

OURS = ("dvc.yaml", "stages/", ".dvc/plots/")  # how the names begin of what is written anew; the rest is the user's


def upgrade(project: Path = Path()) -> list[str]:
    """Write what the installed package has otherwise; return what was done, a line each.

    The version comes last: an upgrade that was cut off is done once more.

    Raises:
        ValueError: it is no project of `tinyllm init`, or what would be written has changes that no commit has.
    """
    if not (project / VERSION_FILE).is_file():
        raise ValueError(
            f"{VERSION_FILE}: no such file; run it in the folder of a project that `tinyllm init` has made"
        )
    root = template_folder()
    params, added = with_new_keys(read_text(project / "params.yaml"), read_text(root / "params.yaml"))
    texts = {name: read_text(root / name) for name in template_files(root) if name.startswith(OURS)}
    texts |= {"dvc.yaml": project_pipeline(texts["dvc.yaml"]), "params.yaml": params}
    other = {name: text for name, text in texts.items() if not _has(project / name, text)}
    if not other and not version_fault(project):
        return ["nothing to do: the project is of the installed version"]
    _refuse_uncommitted(project, sorted(other))
    for name, text in other.items():
        with atomic_write(project / name) as file:
            file.write(text)
    with atomic_write(project / VERSION_FILE) as file:
        file.write(version_text())
    return [
        f"written: {', '.join([*sorted(other), str(VERSION_FILE)])}",
        *([f"new in params.yaml: {', '.join(added)}"] if added else []),
        "`git diff` shows what has changed. `dvc repro` runs the stages anew; a teacher's answers are kept and not paid again.",
    ]


def _has(path: Path, text: str) -> bool:
    return path.is_file() and read_text(path) == text


def _refuse_uncommitted(project: Path, names: Sequence[str]) -> None:
    done = run(["git", "status", "--porcelain", "--", *names], cwd=project, capture_output=True, text=True)
    changed = [line[3:] for line in done.stdout.splitlines() if not line.startswith("??")] if names else []
    if changed:
        raise ValueError(f"{', '.join(changed)}: changed and not committed, and would be written anew; commit it first")
