"""What a page says exists, exists: files, their functions, params, `tinyllm`'s subcommands, links and their headings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tinyllm.cli.main import main
from tinyllm.params.schema import Params

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = "benchmarks|docs|examples|experiments|stages|tests|tinyllm"  # those of which all is committed
PAGES = ["README.md", "CONTRIBUTING.md", "data/README.md"] + sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("docs", "experiments", "examples")
    for path in (ROOT / folder).rglob("*.md")
)
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FILE = re.compile(rf"(?:(?:{FOLDERS})/[\w./-]*|[\w/]+\.py(?:::[\w.]+)?)")
KEY = re.compile(rf"(?:{'|'.join(Params.model_fields)})(?:\.[\w-]+)+(?=$|=|:|\.\*)")
OVERRIDE = re.compile(r"(?:-S|--set-param) '?([+~]*)((?:[\w-]+\.)+[\w-]+)")
ENDINGS = {"json", "jsonl", "py", "yaml"}  # `data.jsonl` would be a file


def code(page: str) -> Iterator[str]:
    """The code spans and the lines of code blocks, comments and prompts left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line.split(" # ")[0] for line in block.replace("\\\n", " ").splitlines() if line[:1] != "#")
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module defines, and its classes' methods as `Class.method`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found |= {
                node.name,
                *(f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)),
            }
    return frozenset(found)


def missing_file(named: str) -> bool:
    """Whether there is no such file, in the project or in its package, or no such function in it."""
    path, _, function = named.partition("::")
    found = [base / path for base in (ROOT, ROOT / "tinyllm") if (base / path).exists()]
    return not found or bool(function) and function not in names_in(found[0])


def missing_key(named: str, values: Any = PARAMS) -> bool:
    """Whether params.yaml has no such key; a name in capitals stands for any."""
    first, _, rest = named.partition(".")
    if not isinstance(values, dict) or (values and first not in values and not first.isupper()):
        return True
    found = list(values.values()) if first.isupper() else [values.get(first)]
    return bool(rest) and all(missing_key(rest, value) for value in found)


def unknown(page: str) -> list[str]:
    """What the page names and is not there."""
    found = []
    for piece in code(page):
        if FILE.fullmatch(piece) and not re.search(r"[A-Z]{2,}\b", piece.partition("::")[0]):
            found += [piece] if missing_file(piece) else []
        elif (key := KEY.match(piece)) and piece.rpartition(".")[2] not in ENDINGS:
            found += [piece] if missing_key(key[0]) else []
        found += [key for sign, key in OVERRIDE.findall(piece) if "+" not in sign and missing_key(key)]
    return found


def test_a_name_that_is_not_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "`training/loss.py::weighted_loss` `training/loss.py::heavy_loss` `tinyllm/lost.py` `stages/train.py`\n"
    text += "`lost.alpha` `loss.alpa=1.0`\n"
    text += "`teachers.TEACHER.url` `teachers.TEACHER.lure` `data.jsonl` `train.*`\n"
    text += "```\ndvc exp run -S loss.alpha=1 -S 'corpus.teecher=[a]' -S '+teachers.new={}'  # -S lost.key=1\n```\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "tinyllm").symlink_to(Path(__file__).resolve().parents[1] / "tinyllm")
    (tmp_path / "stages").symlink_to(Path(__file__).resolve().parents[1] / "stages")
    assert sorted(unknown("page.md")) == [
        "corpus.teecher",
        "loss.alpa=1.0",
        "teachers.TEACHER.lure",
        "tinyllm/lost.py",
        "training/loss.py::heavy_loss",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_files_functions_and_params_that_a_page_names_exist(page: str) -> None:
    assert unknown(page) == []


def calls() -> list[str]:
    found = {
        words
        for page in PAGES
        for piece in code(page)
        for words in re.findall(r"(?<![\w./-])tinyllm((?: [a-z]+)+)", piece)
    }
    return sorted(words.strip() for words in found)


@pytest.mark.parametrize("words", calls())
def test_a_subcommand_that_a_page_names_exists(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), "--help"])
    assert end.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES)
def test_a_link_within_the_project_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links: lower case, a hyphen for a space, other marks left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_headings_become_anchors(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# To change X, open Y\n```\n# a comment\n```\n## 6. Is it any good? The `dvc` way\n", encoding="utf-8"
    )
    assert anchors(page) == {"to-change-x-open-y", "6-is-it-any-good-the-dvc-way"}


@pytest.mark.parametrize("page", PAGES)
def test_a_link_to_a_heading_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]*)#([^)\s]+)\)", text) if "://" not in link[0]]
    found = {link: (ROOT / page).parent / link[0] if link[0] else ROOT / page for link in links}
    assert [link for link, target in found.items() if link[1] not in anchors(target)] == []
