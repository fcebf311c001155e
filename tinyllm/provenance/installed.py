"""The installed package: its version, the digest of the code that shapes results, and the files that a project is made from.

A project of `tinyllm init` has no tinyllm/ that its stages could depend on. They depend on `tinyllm.version` instead. setup.py
runs this module before anything is installed, so it imports nothing but Python's own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
DISTRIBUTION = "tinyllm-dvc"  # what pip calls the package
VERSION_FILE = Path("tinyllm.version")
ROOMS = (  # those that a stage depends on in dvc.yaml
    *("casebook", "corpus", "datasets", "evaluation", "experiments", "models"),
    *("parsing", "records", "report", "student", "teachers", "training"),
)
INSIDE = "project_files"  # the folder in the package that a wheel has the files in
FILES = (  # patterns, from the repository's root
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvc/plots/*.json",
    ".dvcignore",
    ".gitignore",
    "data/rationales/.gitkeep",
    "dvc.yaml",
    "params.yaml",
    "stages/*.py",
)


def package_version() -> str:
    """Return the version that pip has installed; of a clone that pip does not know, a word for that."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not-installed"


def code_digest(package: Path = PACKAGE) -> str:
    """Return the digest of all that can change a result: every file of the rooms that stages depend on."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((package / room).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def version_text() -> str:
    """Return what `tinyllm.version` holds for the package that is installed."""
    return (
        "# What this project's stages run. `tinyllm init --upgrade` writes it; do not edit.\n"
        f"{DISTRIBUTION} {package_version()}\n"
        f"code {code_digest()}\n"
    )


def version_fault(folder: Path = Path()) -> str:
    """Return how the installed code is not the one of a project's `tinyllm.version`; "" where it is, or there is none."""
    path = folder / VERSION_FILE
    if not path.is_file():
        return ""
    words = dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if " " in line)
    if words.get("code", "").strip() == code_digest():
        return ""
    named = words.get(DISTRIBUTION, "an unknown version").strip()
    return (
        f"{path}: the project is of {DISTRIBUTION} {named}, and the code that is installed ({package_version()}) is another; "
        "`tinyllm init --upgrade` takes that over, and the stages then run again"
    )


def template_folder() -> Path:
    """Return the folder that holds the files: the package's own, or the repository's root where it was not built."""
    inside = PACKAGE / INSIDE
    return inside if inside.is_dir() else PACKAGE.parent


def template_files(root: Path) -> list[str]:
    """Return the names of the files below a root, in a fixed order.

    Raises:
        ValueError: a pattern finds none, as where the package was copied by hand.
    """
    found: list[str] = []
    for pattern in FILES:
        names = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
        if not names:
            raise ValueError(f"{root / pattern}: no such file; install the package anew, from a wheel or a clone")
        found += names
    return found
