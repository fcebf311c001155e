"""The console command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cached import cache_entry
from tests.processes import hear_interrupts
from tinyllm.cli.main import COMMANDS, build_parser, main
from tinyllm.provenance.installed import package_version
from tinyllm.teachers.cache.entry import Entry
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.protocol import Generation, Prompt

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params.yaml"
RUN = "from tinyllm.cli.main import main; main()"


def test_check_says_what_the_params_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    text = PARAMS.read_text(encoding="utf-8").replace("teacher_alpha: {}", "teacher_alpha:\n    care: 0.5")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    main(["check"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "data      casebook"
    assert lines[1].endswith("care (alpha 0.5)")
    assert lines[3].endswith("seeds 1, 2, 3")
    text = text.replace("target: multitask", "target: rationale_then_answer")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    main(["check"])
    assert capsys.readouterr().out.splitlines() == [*lines[:3], "target    rationale_then_answer", *lines[3:]]


def own_folder(tmp_path: Path, teachers: str) -> None:
    text = PARAMS.read_text(encoding="utf-8").replace("dataset: casebook", "dataset: jsonl")
    text = text.replace("  - signs\n  - care\n", teachers).replace("folder: examples/own", f"folder: {tmp_path}/own")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "examples/own", tmp_path / "own")


def test_check_reads_a_folder_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    own_folder(tmp_path, "  - concise\n  - careful\n")
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "own/rationales/careful.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "train-99", "rationale": "It is of no question."}\n')
    main(["check"])
    said = "rationales of concise 32, rationales of careful 31 (1 more of no question here)"  # of 32, one is null
    counts = f"train 24, valid 8, test 8, {said}"
    assert capsys.readouterr().out.splitlines()[0] == f"data      {tmp_path}/own: {counts}"


def test_check_finds_what_a_stage_would_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(tmp_path, "  - concise\n  - flan_t5_xl\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        main(["check"])
    assert str(error.value) == (
        f"error: {tmp_path}/own/rationales/flan_t5_xl.jsonl: no such file; teachers recorded there: careful, concise"
    )


def test_check_finds_every_bad_row_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    own_folder(tmp_path, "  - concise\n")
    monkeypatch.chdir(tmp_path)
    for split in ("train", "valid"):
        with (tmp_path / f"own/{split}.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"id": "new", "question": "Why?"\n')
    with pytest.raises(SystemExit) as error:
        main(["check"])
    train, valid, last = str(error.value).splitlines()
    assert train.startswith(f"error: {tmp_path}/own/train.jsonl:25: not JSON (")
    assert valid.startswith(f"{tmp_path}/own/valid.jsonl:9: not JSON (")
    assert last == "2 bad rows; mend them, or leave them out with data.on_bad_row: drop"
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8").replace("on_bad_row: stop", "on_bad_row: drop")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    main(["check"])
    assert "train 24, valid 8, test 8, bad rows left out 2, rationales of" in capsys.readouterr().out


def test_check_ends_in_one_line_for_a_typo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PARAMS, tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("  patience:", "  patiense:"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"error: params.yaml:\d+: train.patien.e: ") as error:
        main(["check"])
    assert "did you mean patience?" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("extra: {} ", "extra: {model: other} ", "teachers.endpoint.extra: model cannot be set there"),
        ("extra: {} ", "extra: {logit_bias: {50256: -100}} ", "teachers.endpoint.extra.logit_bias has the key 50256"),
        ("8000/v1 ", "8000/v1?key=abc ", "teachers.endpoint.url: host localhost, and something behind ? or #"),
        ("8000/v1 ", "8000/v1/chat/completions ", "teachers.endpoint.url: its path /v1/chat/completions ends in what"),
    ],
)
def test_check_finds_what_no_server_could_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        main(["check"])
    assert str(error.value).startswith(f"error: {message}") and "\n" not in str(error.value)


# --- the answer cache --------------------------------------------------------------------------------------------------------

ANNE = {"backend": "server", "model": "anne/chat-7b"}
BEN = {"backend": "local", "model": "ben\x1b[31m"}
ENTRIES = [
    cache_entry(ANNE, Prompt("", "Which one swims?"), 0, Generation("Fins.", "stop", 1200, 5), 1700000000.0),
    cache_entry(ANNE, Prompt("", "Which one sinks?"), 0, Generation("A stone.", "stop", 1300, 6), 1700090000.0),
    cache_entry(BEN, Prompt("", "Which one swims?"), 0, Generation("Scales.", "length", 10, 1), 1700050000.0),
]
LIST = """\
digest      teacher  backend  model         answers  tokens in  tokens out  first (UTC)       last (UTC)
{anne}  -        server   anne/chat-7b        2      2,500          11  2023-11-14 22:13  2023-11-15 23:13
{ben}  -        local    ben?[31m            1         10           1  2023-11-15 12:06  2023-11-15 12:06
{path}: 3 answers
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache is, which holds nothing yet; the working folder is another."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    return tmp_path / "cache" / "answers.sqlite"


def fill(path: Path, entries: list[Entry]) -> dict[str, str]:
    """Put the entries into the cache; return the short digest of each teacher's model."""
    with ResponseCache(path) as cache:
        cache.merge(entries)
        return {teacher.identity["model"]: teacher.digest[:10] for teacher in cache.totals()}


def refuse(*arguments: str) -> str:
    """The line that a command ends with."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert isinstance(stop.value.code, str)  # Python prints a text to stderr and exits with status 1
    return stop.value.code


def test_answers_are_listed_per_teacher(path: Path, capsys) -> None:
    digests = fill(path, ENTRIES)
    main(["cache"])
    assert capsys.readouterr().out == LIST.format(anne=digests["anne/chat-7b"], ben=digests["ben\x1b[31m"], path=path)


def test_a_list_of_no_answers_makes_no_file(path: Path, capsys) -> None:
    main(["cache"])
    assert capsys.readouterr().out == f"{path}: no answers yet\n"
    assert not path.parent.exists()


def test_answers_go_from_one_cache_to_another_by_way_of_a_file(path: Path, monkeypatch, capsys) -> None:
    digests = fill(path, ENTRIES)
    main(["cache", "export", "all.jsonl"])
    main(["cache", "export", "anne.jsonl", "--teacher", digests["anne/chat-7b"][:6]])
    monkeypatch.setenv("TINYLLM_CACHE", "other")
    main(["cache", "import", "anne.jsonl"])
    main(["cache", "import", "all.jsonl"])
    main(["cache", "export", "back.jsonl"])
    other = "other/answers.sqlite"
    assert capsys.readouterr().out.splitlines() == [
        "all.jsonl: 3 answers",
        "anne.jsonl: 2 answers",
        f"{other}: 2 new, 0 there already",
        f"{other}: 1 new, 2 there already",
        "back.jsonl: 3 answers",
    ]
    assert Path("back.jsonl").read_bytes() == Path("all.jsonl").read_bytes()


def test_an_import_keeps_what_is_there_and_says_where_it_differs(path: Path, capsys, monkeypatch) -> None:
    other = cache_entry(ANNE, Prompt("", "Which one sinks?"), 0, Generation("A ship.", "stop", 1, 1), 1700090000.0)
    fill(path, [ENTRIES[0], other])
    main(["cache", "export", "a.jsonl"])
    monkeypatch.setenv("TINYLLM_CACHE", "here")
    fill(Path("here/answers.sqlite"), ENTRIES[:2])
    main(["cache", "import", "a.jsonl"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "here/answers.sqlite: 0 new, 2 there already",
        "1 of these had another answer; the one that was here is kept",
    ]
    with ResponseCache(Path("here/answers.sqlite")) as cache:
        assert sorted(entry.answer.text for entry in cache.entries()) == ["A stone.", "Fins."]


def test_an_import_of_a_faulty_file_changes_nothing(path: Path) -> None:
    fill(path, ENTRIES)
    main(["cache", "export", "a.jsonl"])
    path.unlink()
    lines = Path("a.jsonl").read_text().splitlines(keepends=True)
    Path("a.jsonl").write_text("".join([*lines[:2], lines[2].replace("swims", "sings").replace("sinks", "sings")]))
    assert refuse("cache", "import", "a.jsonl").startswith("error: a.jsonl:3: key '")
    assert not path.exists()


def test_what_cannot_be_exported_or_imported_ends_in_one_line(path: Path) -> None:
    assert refuse("cache", "export", "a.jsonl") == f"error: {path}: no such file; there are no answers to export"
    assert refuse("cache", "import", "a.jsonl") == "error: a.jsonl: no such file"
    digest = fill(path, ENTRIES[:1])["anne/chat-7b"]
    told = f"error: teacher 'zz': 0 digests start so, allowed is 1; the cache has {digest}"
    assert refuse("cache", "export", "a.jsonl", "--teacher", "zz") == told
    Path("folder").mkdir()
    assert refuse("cache", "export", "folder") == "error: folder: Is a directory"
    assert not Path("a.jsonl").exists()


@pytest.mark.parametrize("rest", [(), ("--help",), ("export", "a.jsonl", "--teacher", "1f")])
def test_the_old_name_of_the_command_ends_in_one_line_with_the_new(rest: tuple[str, ...]) -> None:
    told = f"error: `tinyllm answers` is now `tinyllm cache`; run {' '.join(('tinyllm cache', *rest))}"
    assert refuse("answers", *rest) == told


# --- as a process ---------------------------------------------------------------------------------------------------


def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as users start it
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts, **options
    )


def test_a_mistake_ends_a_process_in_one_line_and_status_1(path: Path) -> None:
    ended = process("cache", "import", "a.jsonl")
    assert (ended.communicate(timeout=30)[1], ended.returncode) == ("error: a.jsonl: no such file\n", 1)


def test_a_closed_pipe_ends_a_process_without_a_word(path: Path) -> None:
    fill(path, ENTRIES)
    reading, writing = os.pipe()
    os.close(reading)
    ended = process("cache", stdout=writing)
    os.close(writing)
    assert (ended.communicate(timeout=30)[1], ended.returncode) == ("", 141)


def test_control_c_ends_a_process_without_a_word_and_with_status_130(path: Path) -> None:
    os.mkfifo("never.jsonl")
    ended = process("cache", "import", "never.jsonl")
    with open("never.jsonl", "w"):  # returns once the process reads it
        ended.send_signal(signal.SIGINT)
        assert (ended.communicate(timeout=30)[1], ended.returncode) == ("", 130)


# What `--help` and `check` may not wait for.
HEAVY = {
    "--help": ("ruamel.yaml", "pydantic", "numpy", "tqdm", "tinyllm.params", "tinyllm.records"),
    "check": ("torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "pyarrow", "dvc", "aiohttp"),
}


@pytest.mark.parametrize(("command", "seconds"), [("--help", 0.3), ("check", 1.0)])
def test_the_command_starts_in_a_moment_without_the_heavy_libraries(command: str, seconds: float) -> None:
    """Seconds of the processor, which hardly tell of what else the machine is doing; the least of three."""
    script = f"""
import sys, time
from tinyllm.cli.main import main
try:
    main([{command!r}])
except SystemExit as end:
    assert end.code == 0
print([name for name in {HEAVY[command]} if name in sys.modules], time.process_time())
"""
    used = []
    for _ in range(3):
        found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        modules, _, took = found.stdout.splitlines()[-1].rpartition(" ")
        assert modules == "[]"
        used.append(float(took))
    assert min(used) < seconds, used


def test_help_has_the_lines_of_the_commands_own_parsers() -> None:
    lazy, whole = (build_parser(words).format_help() for words in ([], ["--print-completion", "bash"]))
    assert lazy == whole
    assert all(f"    {name}" in lazy for name in COMMANDS)


def test_a_shell_can_complete_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "bash"])
    assert end.value.code == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out, encoding="utf-8")
    function = "$(complete -p tinyllm | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
    asked = f"source completion; COMP_WORDS=(tinyllm {{}}); COMP_CWORD={{}}; {function}"
    for words, place, offered in (("ini", 1, ["init"]), ("init --up", 2, ["--upgrade"]), ("cache exp", 2, ["export"])):
        script = f"{asked.format(words, place)}; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == offered


def test_python_m_tinyllm_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "tinyllm", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"tinyllm {package_version()}\n")
