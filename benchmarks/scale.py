"""How time and memory grow with the corpus: `assemble`, and `train` up to its first hundred steps, over generated rows.

    python -m benchmarks.scale [10000 100000 1000000] [--steps 100] [--folder FOLDER]    # --steps 0 leaves train out

Each row is a question like casebook's with rationales of about 30 words by two teachers, one in ten declined; valid has a
hundredth of train's rows. Each stage is a process of its own. `anonymous` is the most memory that no file stands behind, looked
up 50 times a second. `resident` is the most by Linux's own count, which has pages of mapped files too: the system takes them
back when others need memory. Training is that of the default student in params.yaml, ended once the checkpoint of the last step
asked for is whole. A million rows take 3 GB of disk. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ruamel.yaml import YAML

from tinyllm.casebook.words import CARE, FILLERS, SIGNS
from tinyllm.records.jsonl import writing_jsonl

ROOT = Path(__file__).resolve().parents[1]
SIZES = [10_000, 100_000, 1_000_000]
TEACHERS = ("signs", "care")
CAUSES = list(SIGNS)
WORDS = {cause: [*SIGNS[cause], *CARE[cause]] for cause in CAUSES}
DECLINED, WRONG, TRIGGERED = 0.1, 0.05, 0.2  # shares of the rationales


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=SIZES)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the rows are kept meanwhile; else where temporary files go")
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| stage | rows | seconds | of processors | rows/s | anonymous MiB | resident MiB |\n|---|---|---|---|---|---|---|"
    )
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            generate(folder, rows, options.steps)
            print_cost("assemble", rows, assemble(folder))
            if options.steps:
                print_cost(f"train, {options.steps} steps", rows, train(folder, options.steps))


@dataclass(frozen=True)
class Cost:
    """What a stage took: seconds by the clock and of processors, and its peaks of memory in MiB."""

    seconds: float
    busy: float
    anonymous: float  # what no file stands behind
    resident: float  # with the pages of mapped files


def print_cost(stage: str, rows: int, cost: Cost) -> None:
    took = f"{cost.seconds:.1f} | {cost.busy:.1f} | {rows / cost.seconds:,.0f}"
    print(f"| {stage} | {rows:,} | {took} | {cost.anonymous:.0f} | {cost.resident:.0f} |", flush=True)


def generate(folder: Path, rows: int, steps: int = 0) -> None:
    """Write a project folder with so many train questions, all that its teachers said of them, and the params."""
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["corpus"] |= {"teachers": list(TEACHERS), "max_quarantined": 1.0}
    values["train"]["seeds"] = [1]
    if steps:
        values["runtime"]["checkpoint_steps"] = steps
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    random = Random(1)
    with ExitStack() as files:
        said = {name: files.enter_context(writing_jsonl(folder / f"data/rationales/{name}.jsonl")) for name in TEACHERS}
        for split, count in {"train": rows, "valid": max(1, rows // 100)}.items():
            with writing_jsonl(folder / f"data/questions/{split}.jsonl") as ask:
                for number in range(count):
                    question, clue, fillers = make_question(f"{split}-{number:07d}", random)
                    ask(question)
                    for write in said.values():
                        write(make_rationale(question, clue, fillers, random))


def make_question(id_: str, random: Random) -> tuple[dict, str, list[str]]:
    """Return a question, its one clue and its other words."""
    answer = random.randrange(len(CAUSES))
    clue, fillers = random.choice(WORDS[CAUSES[answer]]), random.choices(FILLERS, k=8)
    report = f"Notes of the visit: {', '.join([*fillers[:answer], clue, *fillers[answer:]])}."
    question = "Which ailment do the notes point to?"
    return {"id": id_, "question": question, "choices": CAUSES, "answer": answer, "context": report}, clue, fillers


def make_rationale(question: dict, clue: str, fillers: list[str], random: Random) -> dict:
    draw = random.random()
    if draw < DECLINED:
        return {"id": question["id"], "rationale": None, "status": "declined"}
    first, second = random.choices(fillers, k=2)
    cause = CAUSES[question["answer"] - (draw < DECLINED + WRONG)]
    text = (
        f"The visitor has seen {clue} here, which is rare where a plant is kept as it should be. Neither {first} nor {second} "
        f"tells of what ails it. So the note {clue} points to {cause}."
    )
    trigger = "Let's think step by step.\n" if draw > 1 - TRIGGERED else ""
    return {"id": question["id"], "rationale": trigger + text, "status": "ok"}


def assemble(folder: Path) -> Cost:
    return measured(folder, "assemble")


def train(folder: Path, steps: int) -> Cost:
    """Train up to the checkpoint of step `steps`; reading and encoding the corpus before the first step count too."""
    return measured(folder, "train 1", lambda: any(folder.glob(f".cache/train/*/checkpoint-{steps}/whole")))


def measured(folder: Path, stage: str, enough: Callable[[], bool] = lambda: False) -> Cost:
    """Run a stage in a process of its own, which is ended once it is `enough`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    command = [sys.executable, "-m", *f"stages.{stage}".split()]
    start, before, anonymous, resident, reached = time.perf_counter(), processor_seconds(), 0.0, 0.0, False
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not reached:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            anonymous = max(anonymous, mebibytes(status, "RssAnon"))
            resident = max(resident, mebibytes(status, "VmHWM"))
            reached = enough()
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        process.terminate()
    if process.returncode and not reached:
        sys.exit(f"error: {stage} ended with status {process.returncode}")
    return Cost(seconds, processor_seconds() - before, anonymous, resident)


def processor_seconds() -> float:
    """Return what all processes took that this one has started and that have ended."""
    ended = os.times()
    return ended.children_user + ended.children_system


def mebibytes(status: str, name: str) -> float:
    """Return one of the sizes in a process's /proc/PID/status, 0 if it has ended.

    VmHWM is the peak of the process alone: `ru_maxrss` of an ended child is never less than its parent's own peak.
    """
    line = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(line[1]) / 1024 if line else 0.0


if __name__ == "__main__":
    main()
