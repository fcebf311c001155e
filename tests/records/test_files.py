"""Files are written whole or not at all; links, pipes and devices stay what they are; private files are their owner's alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyllm.records.files import atomic_write, close_to_others, make_private, writes_straight

ROOT = Path(__file__).resolve().parents[2]
WRITE = """
import sys
from tinyllm.records.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write("rows\\n" * int(sys.argv[2]))
print("behind", flush=True)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def write(path: Path | str, rows: int, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITE, str(path), str(rows)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **options)


# --- links ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["there.txt", "new.txt", "deep/new.txt"])
def test_of_a_link_the_file_it_leads_to_is_replaced(tmp_path: Path, target: str) -> None:
    (tmp_path / "there.txt").write_text("old")
    for name, behind in (("second", target), ("first", "second")):  # a link to a link
        (tmp_path / name).symlink_to(behind)
    with atomic_write(tmp_path / "first") as file:
        file.write("new")
    assert (tmp_path / target).read_text() == "new" and not (tmp_path / target).is_symlink()
    assert (os.readlink(tmp_path / "first"), os.readlink(tmp_path / "second")) == ("second", target)


def test_an_error_leaves_the_link_and_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("old")
    (tmp_path / "link").symlink_to("there.txt")
    with pytest.raises(KeyError), atomic_write(tmp_path / "link") as file:
        file.write("new")
        raise KeyError("a")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "link").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there.txt"]


def test_a_link_into_a_protected_file_is_refused_and_one_in_a_circle_too(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o444)  # as DVC protects its cache
    (tmp_path / "link").symlink_to("kept")
    with pytest.raises(ValueError, match=r"link: is a link to .*kept, which is write-protected.*; delete the link"):
        atomic_write(tmp_path / "link").__enter__()
    assert (tmp_path / "kept").read_text() == "old"
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        atomic_write(tmp_path / "circle").__enter__()


# --- pipes and devices ------------------------------------------------------------------------------------------------------


def test_a_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        read: list[str] = []
        reader = threading.Thread(target=lambda read=read: read.append((tmp_path / "pipe").read_text()))
        reader.start()
        with atomic_write(tmp_path / name) as file:
            file.write("new")
        reader.join(timeout=30)
        assert read == ["new"] and (tmp_path / "pipe").is_fifo() and writes_straight(tmp_path / name)


def test_a_pipe_whose_reader_leaves_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: open(tmp_path / "pipe").close())
    reader.start()
    with pytest.raises(BrokenPipeError) as error, atomic_write(tmp_path / "pipe") as file:
        reader.join(timeout=30)
        file.write("x" * 1_000_000)
    assert error.value.filename == str(tmp_path / "pipe")


@pytest.mark.parametrize(
    "device", ["/dev/null", "/dev/full", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"]
)
def test_a_device_is_written_straight(tmp_path: Path, device: str) -> None:
    assert writes_straight(Path(device))
    (tmp_path / "link").symlink_to(device)
    assert writes_straight(tmp_path / "link")
    assert not writes_straight(tmp_path / "none") and not writes_straight(tmp_path)


def test_a_full_device_is_named_and_stays_one() -> None:
    with pytest.raises(OSError) as error, atomic_write("/dev/full") as file:
        file.write("x")
    assert (error.value.filename, error.value.strerror) == ("/dev/full", "No space left on device")
    with atomic_write("/dev/null") as file:
        file.write("x")
    assert not Path("/dev/null").is_file() and not Path("/dev/full").is_file()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_goes_on_where_it_stands_be_it_a_pipe_or_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    assert write(name, 2, cwd=tmp_path).stdout == "rows\nrows\nbehind\n"
    command = [sys.executable, "-c", WRITE, name, "2"]
    with open(tmp_path / "out", "w") as out:
        out.write("before\n")
        out.flush()
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\nrows\nrows\nbehind\n"


def test_a_folder_is_refused_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as error:
        atomic_write(tmp_path).__enter__()
    assert error.value.filename == str(tmp_path)


# --- private ----------------------------------------------------------------------------------------------------------------


def test_a_private_file_is_its_owners_alone_whatever_was_there(tmp_path: Path, umask: None) -> None:
    for name in ("new", "there", "left.partial", "left"):
        if name != "new":
            (tmp_path / name).write_text("old")
    for name, private in (("new", True), ("there", True), ("left", True), ("plain", False)):
        with atomic_write(tmp_path / name, private=private) as file:
            file.write("new")
    assert [mode(tmp_path / name) for name in ("new", "there", "left", "plain")] == [0o600, 0o600, 0o600, 0o644]


def test_folders_that_are_made_are_private_and_those_above_stay(tmp_path: Path, umask: None) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    make_private(tmp_path / "there/a/b")
    make_private(tmp_path / "there")
    assert [mode(tmp_path / name) for name in ("there", "there/a", "there/a/b")] == [0o755, 0o700, 0o700]


@pytest.mark.parametrize(
    ("before", "after"), [(0o666, 0o600), (0o640, 0o600), (0o444, 0o400), (0o600, 0o600), (0o200, 0o200)]
)
def test_what_others_may_do_is_taken_from_them(tmp_path: Path, before: int, after: int) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(before)
    close_to_others(tmp_path / "a")
    close_to_others(tmp_path / "none")
    assert mode(tmp_path / "a") == after
