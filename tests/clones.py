"""A repository of its own for a test that runs DVC: a copy of this one, with a small world and a tiny student."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


RELEASE = Path(os.environ.get("TINYLLM_TEST_RELEASE", ROOT.parent / "shared/data/tinyllm-release"))


SMALL = {
    "data": {"dataset": "casebook"},
    "data.casebook": {"train": 48, "valid": 16, "test": 32},
    "corpus": {"teachers": ["signs", "care"], "max_quarantined": 1.0},
    "student": {"origin": "scratch"},
    "student.scratch": {
        "vocabulary": 300,
        "width": 16,
        "layers": 1,
        "heads": 2,
        "feed_forward": 32,
        "embedding_scale": 1.0,
    },
    "train": {"seeds": [1, 2], "epochs": 2, "eval_every": 1},
    "score": {"max_new_tokens": 8},
    "runtime": {"device": "cpu"},
}


class Clone:
    """A repository of its own, with commands that fail loudly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        foreign = (
            "GIT_",
            "DVC_",
            "TINYLLM_",
            "PYTHONPATH",
        )  # what this process was started with is none of the clone's
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment["HF_HUB_OFFLINE"] = "1"

    def run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def dvc(self, *arguments: str, **environment: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, **environment)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message)

    def take_back(self) -> None:
        """Undo what an experiment did to the working folder."""
        self.git("reset", "--quiet", "--hard")
        self.dvc("checkout", "--quiet", "--allow-missing")  # the report, where the clone was run up to its score

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def copy_of_this(folder: Path, changes: dict[str, dict[str, Any]]) -> Clone:
    """A new repository of what is committed here or would be, with other params."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("no git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # one may be deleted and not yet committed so
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if changes:
        set_params(folder, flat(changes))
    return started(folder)


def set_params(folder: Path, changes: dict[str, Any]) -> None:
    """Change values of params.yaml by their dotted keys, in place; the rest of the file stays as it is."""
    yaml = YAML()
    values = yaml.load((folder / "params.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *sections, last = path.split(".")
        section = values
        for key in sections:
            section = section[key]
        section[last] = value
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(values, file)


def flat(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The same changes by dotted keys."""
    return {f"{section}.{key}": value for section, changes in sections.items() for key, value in changes.items()}


def parsed(overrides: Sequence[str]) -> dict[str, Any]:
    """What `dvc exp run -S` makes of `data.take={train:8}`."""
    pairs = (override.split("=", 1) for override in overrides)
    return {key: YAML(typ="safe").load(value) for key, value in pairs}


def options(overrides: Sequence[str]) -> list[str]:
    """The overrides as options of `dvc exp run`."""
    return [part for override in overrides for part in ("-S", override)]


def stages_run(output: str) -> list[str]:
    return re.findall(r"^Running stage '([^']+)'", output, re.MULTILINE)


def started(folder: Path) -> Clone:
    clone = Clone(folder)
    clone.git("init", "--quiet", "--initial-branch", "main")
    name(clone)
    clone.commit("Start")
    return clone


def name(clone: Clone) -> None:
    clone.git("config", "user.name", "Test")
    clone.git("config", "user.email", "test@example.org")
