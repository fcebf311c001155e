"""One experiment on a node: in a clone of the commit that the driver sent, whose result goes back as it would lie in git."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

PACKAGES = Path(__file__).parents[2]
LONGEST_LOG = 1 << 20  # bytes that go back: the last ones
PROJECT, RESULT, ANSWERS = "project.bundle", "result.bundle", "answers.jsonl"
ASK_SERVERS = "TINYLLM_ASK_SERVERS"  # `no` on nodes: a rate and a budget are one process's to keep


@dataclass(frozen=True)
class Order:
    """What a node is to do.

    Args:
        commit: of the bundle, on which the experiment is made
        prefix: where in the repository the project is
        arguments: of Python
        reference: what the experiment is called in git
        answers: of teachers, as `tinyllm cache export` writes them
        wanted: the files of the project that come back, where it makes them
    """

    commit: str
    prefix: str
    arguments: Sequence[str]
    reference: str
    answers: bytes
    wanted: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    status: int  # of dvc
    log: bytes
    result: bytes  # a bundle of the experiment; empty where it failed
    answers: bytes  # with those that were asked for on the node
    files: Sequence[bytes]  # those that were wanted


def run_experiment(order: Order, bundle: bytes) -> Outcome:
    """Run an experiment in a folder that is deleted at the end. DVC's cache and the teachers' answers stay on the node.

    Args:
        bundle: of git, with the commit
    """
    kept = user_cache_path("tinyllm") / "cluster"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tinyllm-") as name:
        folder = Path(name)
        (folder / PROJECT).write_bytes(bundle)
        clone = folder / "clone"
        _run(["git", "clone", "--quiet", "--no-checkout", str(folder / PROJECT), str(clone)], folder)
        _run(["git", "checkout", "--quiet", "--detach", order.commit], clone)
        project = clone / order.prefix
        dvc = [sys.executable, "-m", "dvc"]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": str(PACKAGES),
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "TINYLLM_CACHE": str(kept / "cache"),
            ASK_SERVERS: "no",
        }
        environment.pop("DVC_ROOT", None)
        _run([*dvc, "cache", "dir", "--local", str(kept / "dvc")], project, environment)
        answers = folder / ANSWERS
        if order.answers:
            answers.write_bytes(order.answers)
            _run([sys.executable, "-m", "tinyllm", "cache", "import", str(answers)], project, environment)
        status, log = _watched([sys.executable, *order.arguments], project, environment, folder / "log")
        result, files = b"", []
        if status == 0:
            made = ["git", "bundle", "create", "--quiet", str(folder / RESULT), order.reference, f"^{order.commit}"]
            _run(made, clone)
            result = (folder / RESULT).read_bytes()
            files = [path.read_bytes() for path in (project / name for name in order.wanted) if path.is_file()]
        if order.answers:
            _run([sys.executable, "-m", "tinyllm", "cache", "export", str(answers)], project, environment)
        return Outcome(status, log, result, answers.read_bytes() if order.answers else b"", files)


def _watched(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> tuple[int, bytes]:
    """Run a command that takes long; it ends with this task. Return its status and the end of what it printed."""
    with log.open("wb") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            process_group=0,
        )
        try:
            status = process.wait()
        finally:
            if process.poll() is None:  # the driver has cancelled the task
                os.killpg(process.pid, signal.SIGKILL)
    return status, log.read_bytes()[-LONGEST_LOG:]


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(f"{' '.join(command[:3])}: {' '.join(done.stderr.split())}")
