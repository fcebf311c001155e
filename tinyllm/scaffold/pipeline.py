"""A project's dvc.yaml: the repository's own, but its stages depend on the installed version in place of folders of code."""

from __future__ import annotations

import re

from tinyllm.provenance.installed import VERSION_FILE

CODE = re.compile(r"(?:^( +)- tinyllm/\w+\n)+", re.MULTILINE)  # the folders that one stage depends on
HEAD = f"""\
# The pipeline. `dvc repro` runs what has changed; `dvc dag` draws it. Made by `tinyllm init`. The stages depend on the code of
# the installed package by {VERSION_FILE}. After an upgrade of the package, `tinyllm init --upgrade` writes both anew.
"""


def project_pipeline(text: str) -> str:
    """Return a project's dvc.yaml.

    Args:
        text: of the repository's own
    """
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return HEAD + CODE.sub(rf"\1- {VERSION_FILE}\n", "".join(lines))
