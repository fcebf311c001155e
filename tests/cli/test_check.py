"""`tinyllm check` finds what would stop a stage before it began; each stage finds it before it asks anybody."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoint_toys import byte_tokenizer, save_llama
from tinyllm.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
OWN = (ROOT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "TINYLLM_CACHE", "TINYLLM_MIRROR", "TOY_KEY"):
        monkeypatch.delenv(name, raising=False)


def change(*pairs: tuple[str, str]) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    Path("params.yaml").write_text(text, encoding="utf-8")


def check() -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(SystemExit) as end:
        main(["check"])
    assert str(end.value).startswith("error: ")
    return str(end.value).removeprefix("error: ").split("\n")


def stage(name: str, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        sys.argv = [f"{name}.py", *arguments]
        runpy.run_path(str(ROOT / f"stages/{name}.py"), run_name="__main__")
    return str(end.value)


def as_file(name: str) -> Callable[[], None]:
    def make() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("a file where a folder has to be", encoding="utf-8")

    return make


PLACES = ["data", "metrics", "models", "report", "data/rationales", "metrics/exam", "models/student"]


@pytest.mark.parametrize("name", PLACES)
def test_a_file_where_results_go_is_found(name: str) -> None:
    as_file(name)()
    told = check()
    assert told and all(
        line.endswith(f": {name} is no folder; move it away, for results are written there") for line in told
    )
    for found in (stage("query", "signs"), stage("exam", "signs"), stage("train", "1"), stage("download")):
        assert found.removeprefix("error: ").split("\n") == told


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    Path("report").symlink_to(tmp_path / "gone")
    assert check() == ["report: report is no folder; move it away, for results are written there"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.parametrize("name", ["data", "metrics", "report"])
def test_a_folder_that_cannot_be_written_is_found(name: str) -> None:
    Path(name).mkdir(mode=0o555)
    assert all("cannot be written; change its permissions" in line for line in check())


def test_a_cache_that_is_a_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_file("cache")()
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache"
    assert check() == [f"{place}: {place} is no folder; move it away, for results are written there"]


ASKED = ("  - signs\n  - care\n", "  - endpoint\n")
KEY = ("key_variable:  ", "key_variable: TOY_KEY ")
LOCAL = ("  - signs\n  - care\n", "  - flan_t5_xl_live\n")


@pytest.mark.parametrize("value", [None, "", "toy\nkey", "toy kéy"])
def test_a_key_that_could_not_be_sent_is_found(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    change(ASKED, KEY)
    if value is not None:
        monkeypatch.setenv("TOY_KEY", value)
    (told,) = check()
    assert "TOY_KEY" in told and "kéy" not in told and "toy" not in told


def test_a_key_of_a_teacher_that_is_not_asked_is_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    change(KEY)
    main(["check"])
    assert capsys.readouterr().out.startswith("data      casebook\n")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [LOCAL, ("model: google/flan-t5-xl", "model: ./gone")],
            "teachers.flan_t5_xl_live: local: model ./gone is no folder; name one with a checkpoint, or a hub id",
        ),
        (
            [LOCAL, ("model: google/flan-t5-xl", "model: data")],
            "teachers.flan_t5_xl_live: local: data is no checkpoint folder (it has no config.json); a .gguf needs gguf_file",
        ),
        (
            [("origin: scratch", "origin: local"), ("  model:      ", "  model: gone ")],
            "student.model: gone is no checkpoint folder (it has no config.json); a .gguf needs gguf_file",
        ),
    ],
)
def test_a_model_that_is_not_there_is_found(changes: list[tuple[str, str]], expected: str) -> None:
    Path("data").mkdir()
    change(*changes)
    assert check() == [expected]


def test_pickled_weights_and_adapters_are_found(tmp_path: Path) -> None:
    save_llama(tmp_path / "base", byte_tokenizer())
    change(("origin: scratch", "origin: local"), ("  model:      ", "  model: base "))
    (tmp_path / "base/model.safetensors").rename(tmp_path / "base/pytorch_model.bin")
    told = "it holds no weights (*.safetensors); other formats are not read"
    assert check() == [f"student.model: cannot load base: {told}"]
    as_file("base/adapter_config.json")()
    assert check() == ["student.model: base holds an adapter; name the whole model that it belongs to"]


@pytest.mark.parametrize("base", ["ftp://host/copy", "/data/copy", "file://host/x", "http://"])
def test_a_mirror_that_is_no_address_is_found(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    change(("dataset: casebook", "dataset: obqa"), ("  - signs\n  - care\n", "  - flan_t5_xl\n"))
    monkeypatch.setenv("TINYLLM_MIRROR", base)
    (told,) = check()
    assert told.startswith(f"TINYLLM_MIRROR is {base!r}; allowed is an http://, https:// or file:// address")


def test_all_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    change(ASKED, KEY, ("origin: scratch", "origin: local"), ("  model:      ", "  model: gone "))
    as_file("report")()
    report, key, student = check()
    assert report.startswith("report: ") and "TOY_KEY" in key and student.startswith("student.model: gone ")


def test_a_tracker_that_is_not_installed_is_found_before_a_student_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    change(("report_to: none", "report_to: [mlflow, dvclive]"))
    monkeypatch.setattr("tinyllm.params.trackers.find_spec", lambda name: None if name == "mlflow" else name)
    told = 'runtime.report_to: mlflow, but that package is not installed; pip install -e ".[mlflow]", or leave it out'
    assert check() == [told]
    assert stage("train", "1") == f"error: {told}"  # no corpus is there yet, and nobody has asked for it
