"""A project's dvc.yaml, made from the repository's own."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from tinyllm.provenance.installed import ROOMS
from tinyllm.scaffold.pipeline import HEAD, project_pipeline

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")

SMALL = """\
# of the repository
stages:
  download:
    cmd: python -m stages.download  # a comment
    deps:
      - stages/download.py
      - tinyllm/records
      - tinyllm/datasets
      - ${data.folder}
  query:
    foreach: ${corpus.teachers}
    do:
      deps:
        - stages/query.py
        - tinyllm/records
        - data/recorded
"""
MADE = """\
stages:
  download:
    cmd: python -m stages.download  # a comment
    deps:
      - stages/download.py
      - tinyllm.version
      - ${data.folder}
  query:
    foreach: ${corpus.teachers}
    do:
      deps:
        - stages/query.py
        - tinyllm.version
        - data/recorded
"""


def test_folders_of_code_become_the_version() -> None:
    assert project_pipeline(SMALL) == HEAD + MADE


def test_every_stage_depends_on_the_version_once_and_all_else_is_the_repositorys() -> None:
    own, made = (YAML(typ="safe").load(text) for text in (TEXT, project_pipeline(TEXT)))
    rooms = set()
    assert own.keys() == made.keys() and list(own["stages"]) == list(made["stages"])
    for name in own["stages"]:
        settings, project = (stages["stages"][name].get("do", stages["stages"][name]) for stages in (own, made))
        code = [dep for dep in settings["deps"] if dep.startswith("tinyllm/")]
        rooms |= {dep.removeprefix("tinyllm/") for dep in code}
        at = settings["deps"].index(code[0])
        without = [dep for dep in settings["deps"] if dep not in code]
        assert project["deps"] == [*without[:at], "tinyllm.version", *without[at:]], name
        assert {key: value for key, value in project.items() if key != "deps"} == {
            key: value for key, value in settings.items() if key != "deps"
        }, name
    assert rooms == set(ROOMS), "the digest of the installed code is of the rooms that stages depend on"
