"""Hundreds of params files that a mistake, a tool or an enemy could leave: each ends in order or in a few lines, none hangs."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile_texts import TERMINAL, obeyed
from tinyllm.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
OWN = (ROOT / "params.yaml").read_text(encoding="utf-8")
VALUES = (
    *(
        "-1",
        "1e400",
        ".nan",
        "-.inf",
        "true",
        "null",
        "''",
        "[]",
        "{}",
        "[[1]]",
        "{a: 1}",
        "2020-01-01",
        "0x10",
        "1_0",
        "~",
    ),
    *(
        "'" + "9" * 400 + "'",
        "9" * 5000,
        "'" + "x" * 5000 + "'",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!!set {a}",
        "*x",
    ),
    *(
        '"\\x1b[2J"',
        '"\\u202e"',
        '"\\ud800"',
        '"a\\nb"',
        "&x [*x]",
        "|\n    a",
        "- 1",
        ": :",
        "@a",
        "`a`",
        "%a",
        "? a",
        "<<: 1",
    ),
    *(
        "'../../etc/passwd'",
        "'" + "../" * 500 + "'",
        "casebook",
        "[signs, signs]",
        "[signs, 1]",
        "99999999999999999999",
    ),
)
Change = Callable[[random.Random, list[str]], None]


def put_value(rng: random.Random, lines: list[str]) -> None:
    place = rng.choice([i for i, line in enumerate(lines) if re.match(r" *[\w-]+:", line)])
    lines[place] = f"{lines[place].partition(':')[0]}: {rng.choice(VALUES)}"


def delete_line(rng: random.Random, lines: list[str]) -> None:
    del lines[rng.randrange(len(lines))]


def double_line(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    lines.insert(place, lines[place])


def indent_line(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    lines[place] = rng.choice((" ", "  ", "\t", "    ")) + lines[place]


def outdent_line(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    lines[place] = lines[place][rng.choice((1, 2)) :]


def insert_text(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    at = rng.randrange(len(lines[place]) + 1)
    text = rng.choice([*TERMINAL.values(), "\x00", "[" * 200, "{", "}", "'", '"', "#", "\ufeff", "&a ", "*a", "---\n"])
    lines[place] = lines[place][:at] + text + lines[place][at:]


def rename_key(rng: random.Random, lines: list[str]) -> None:
    place = rng.choice([i for i, line in enumerate(lines) if re.match(r" *[\w-]+:", line)])
    lines[place] = re.sub(
        r"[\w-]+:", f"{rng.choice(('n' * 300, '1', 'null', 'Signs', '[a, b]', '? x'))}:", lines[place], count=1
    )


def cut_off(rng: random.Random, lines: list[str]) -> None:
    del lines[rng.randrange(len(lines)) :]


def swap_lines(rng: random.Random, lines: list[str]) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


CHANGES: tuple[Change, ...] = (
    *(put_value, put_value, put_value, delete_line, double_line, indent_line, outdent_line),
    *(insert_text, rename_key, cut_off, swap_lines),
)


def mutated(seed: int) -> bytes:
    rng, lines = random.Random(seed), OWN.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        rng.choice(CHANGES)(rng, lines)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return text.replace(b"1", b"\xff", 1) if rng.random() < 0.02 else text


def check(folder: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What `tinyllm check` says of the file; "" where it is in order."""
    (folder / "params.yaml").write_bytes(mutated(seed))
    started = time.process_time()
    try:
        main(["check"])
        said = ""
    except SystemExit as end:
        said = str(end.code)
        assert said.startswith(("error: params.yaml:", "error: teachers.", "error: student.", "error: data.folder"))
    out, err = capsys.readouterr()
    assert time.process_time() - started < 10 and err == ""
    assert (out == "") == bool(said)
    assert obeyed(said) == [] and said.count("\n") <= 30 and all(len(line) < 1200 for line in said.split("\n"))
    return said


def check_all(
    seeds: range, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.chdir(folder)
    for name in ("DVC_ROOT", "TINYLLM_CACHE", "TINYLLM_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    said = []
    for seed in seeds:
        try:
            said.append(check(folder, seed, capsys))
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    return said


def test_a_few_mutated_files_end_in_order_or_in_a_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = check_all(range(30), tmp_path, monkeypatch, capsys)
    assert len([line for line in said if line]) > 10


@pytest.mark.nightly
def test_five_hundred_mutated_files_end_in_order_or_in_a_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = check_all(range(500), tmp_path, monkeypatch, capsys)
    assert 250 < len([line for line in said if line]) < 500


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(0, 500, 25))
def test_a_process_says_what_this_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    (said,) = check_all(range(seed, seed + 1), tmp_path, monkeypatch, capsys)
    command = [sys.executable, "-c", "from tinyllm.cli.main import main; main(['check'])"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == ((1, f"{said}\n") if said else (0, ""))
