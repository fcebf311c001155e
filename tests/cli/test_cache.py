"""`tinyllm cache`: the names and origins that it lists, what it forgets, and files that are no files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cached import cache_entry
from tinyllm.cli.main import main
from tinyllm.params.load import load_params
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.open import open_backends
from tinyllm.teachers.protocol import Generation, Prompt

ROOT = Path(__file__).resolve().parents[2]
RUN = "from tinyllm.cli.main import main; main()"
OTHER = {"backend": "server", "url": "http://other:8000/v1", "model": "chat-7b"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with three answers of `endpoint`, of which one names another model and one is cut, and two of another server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    params = load_params()
    endpoint, _ = open_backends("endpoint", params.teachers["endpoint"], params)
    answers = [
        Generation("a", "stop", 1, 1),
        Generation("b", "length", 1, 1),
        Generation("c", "stop", 1, 1, model="other"),
    ]
    with ResponseCache(tmp_path / "cache/answers.sqlite") as cache:
        cache.merge(
            cache_entry(endpoint.identity, Prompt("", f"{n}"), 0, answer, 100.0) for n, answer in enumerate(answers)
        )
        cache.merge([cache_entry(OTHER, Prompt("", "0"), 0, answers[0], 200.0)])
        cache.merge([cache_entry(OTHER, Prompt("", "1"), 0, answers[1], 300.0)], "team.jsonl 2026-01-31T12:00Z")
    return tmp_path / "cache/answers.sqlite"


def refuse(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert isinstance(stop.value.code, str)
    return stop.value.code


def held(path: Path) -> list[str]:
    with ResponseCache(path) as cache:
        return sorted(f"{entry.identity['model'].rpartition('/')[2]} {entry.prompt}" for entry in cache.entries())


ENDPOINT = ["Llama-2-7b-chat-hf 0", "Llama-2-7b-chat-hf 1", "Llama-2-7b-chat-hf 2"]
OTHERS = ["chat-7b 0", "chat-7b 1"]


# --- the list ---------------------------------------------------------------------------------------------------------------


def test_teachers_have_the_users_names_and_answers_their_origin_and_model(path: Path, capsys) -> None:
    main(["cache", "list"])
    heads, named, unnamed, *remarks, last = capsys.readouterr().out.splitlines()
    assert heads.split()[:4] == ["digest", "teacher", "backend", "model"]
    assert named.split()[1:5] == ["endpoint", "server", "meta-llama/Llama-2-7b-chat-hf", "3"]
    assert unnamed.split()[1:7] == ["-", "server", "chat-7b", "at", "http://other:8000/v1", "2"]
    assert sorted(line.partition(": ")[2] for line in remarks) == [
        "1 answers answered by other",
        "1 answers imported from team.jsonl 2026-01-31T12:00Z",
    ]
    assert last == f"{path}: 5 answers"


@pytest.mark.parametrize("text", [None, "data: 3\n", "a: [\n"])
def test_without_params_that_can_be_read_the_list_has_no_names(path: Path, capsys, text: str | None) -> None:
    Path("params.yaml").unlink()
    if text is not None:
        Path("params.yaml").write_text(text)
    main(["cache"])
    out, errors = capsys.readouterr()
    assert out.splitlines()[1].split()[1] == "-"
    assert errors.count("\n") == (text is not None) and ("shown without their names" in errors) == (text is not None)


def test_an_import_is_marked_with_its_file_and_time(path: Path, capsys, monkeypatch) -> None:
    main(["cache", "export", "mine.jsonl"])
    monkeypatch.setenv("TINYLLM_CACHE", "elsewhere")
    main(["cache", "import", "mine.jsonl"])
    main(["cache"])
    assert re.search(r"\d answers imported from mine\.jsonl \d{4}-\d\d-\d\dT\d\d:\d\dZ", capsys.readouterr().out)


# --- forget -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--teacher", "endpoint"], OTHERS),
        (["--status", "length"], ["Llama-2-7b-chat-hf 0", "Llama-2-7b-chat-hf 2", "chat-7b 0"]),
        (["--status", "imported"], [*ENDPOINT, "chat-7b 0"]),
        (["--teacher", "endpoint", "--status", "length"], ["Llama-2-7b-chat-hf 0", "Llama-2-7b-chat-hf 2", *OTHERS]),
        (["--since", "1970-01-01T00:03"], ENDPOINT),
        (["--since", "2d"], [*ENDPOINT, *OTHERS]),
    ],
)
def test_what_is_selected_is_forgotten(path: Path, options: list[str], left: list[str], capsys) -> None:
    main(["cache", "forget", *options, "--dry-run"])
    assert held(path) == [*ENDPOINT, *OTHERS]
    main(["cache", "forget", *options, "--yes"])
    assert held(path) == left
    assert f"{5 - len(left)} answers of" in capsys.readouterr().out


def test_a_teacher_and_an_answer_are_selected_by_their_digests_too(path: Path) -> None:
    with ResponseCache(path) as cache:
        digest = next(teacher.digest for teacher in cache.totals() if teacher.identity == OTHER)
        key = next(entry.key for entry in cache.entries() if entry.prompt == "2")
    main(["cache", "forget", "--teacher", digest[:6], "--yes"])
    main(["cache", "forget", "--digest", key, "--yes"])
    assert held(path) == ENDPOINT[:2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--yes"], "say which answers: --teacher, --digest, --status or --since"),
        (["--teacher", "nobody", "--yes"], "teacher 'nobody': 0 digests start so"),
        (["--digest", "xyz", "--yes"], "--digest 'xyz': allowed are the first 8 to 64 signs"),
        (["--since", "tomorrow", "--yes"], "--since 'tomorrow': allowed is a date"),
    ],
)
def test_what_selects_nothing_sensible_is_refused(path: Path, options: list[str], message: str) -> None:
    assert refuse("cache", "forget", *options).startswith(f"error: {message}")
    assert len(held(path)) == 5


def test_nobody_is_asked_where_there_is_no_terminal(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, "cache", "forget", "--status", "stop"]
    for answer in ("", "y\n"):
        ended = subprocess.run(command, env=environment, input=answer, capture_output=True, text=True, timeout=60)
        question = f"{path}: forget 3 answers of 2 teachers?"
        assert ended.stderr == f"error: {question} nothing was; add --yes to do it, or --dry-run to look\n"
        assert (ended.returncode, ended.stdout, len(held(path))) == (1, "", 5)


@pytest.mark.parametrize(("typed", "left"), [("y\n", 2), ("yes\n", 2), ("n\n", 5), ("\n", 5)])
def test_at_a_terminal_a_person_is_asked(path: Path, typed: str, left: int) -> None:
    main_end, terminal = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, "cache", "forget", "--status", "stop"]
    asking = subprocess.Popen(command, env=environment, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(main_end, typed.encode())
    out, _ = asking.communicate(timeout=60)
    assert b"forget 3 answers of 2 teachers? [y/N]" in out and asking.returncode == (0 if left == 2 else 1)
    assert len(held(path)) == left
    os.close(main_end)
    os.close(terminal)


# --- files that are no files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_export_to_standard_output_holds_rows_alone(path: Path, target: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, "cache", "export", target]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, f"{target}: 5 answers\n")
    Path("rows.jsonl").write_text(ended.stdout)
    main(["cache", "import", "rows.jsonl"])


def test_an_export_to_a_full_device_ends_in_one_line(path: Path) -> None:
    assert refuse("cache", "export", "/dev/full") == "error: /dev/full: No space left on device"


def test_an_export_through_a_link_leaves_the_link(path: Path) -> None:
    Path("link.jsonl").symlink_to("real.jsonl")
    main(["cache", "export", "link.jsonl"])
    assert Path("link.jsonl").is_symlink() and len(Path("real.jsonl").read_text().splitlines()) == 5
