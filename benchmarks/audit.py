"""How many rationales a second are cleaned, parsed, audited and counted, by one core; of several checkouts in turns.

    python -m benchmarks.audit [--project FOLDER] [--rationales 10000] [--repeats 5] [CHECKOUT ...]

Rationales are those of a project's data/, or generated as in benchmarks/scale.py. Each repeat is a process of its own, of
which the processor's seconds count. Without a checkout this one is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.scale import ROOT, TEACHERS, generate

WORKER = """
import sys, time
from itertools import islice
from pathlib import Path
import importlib
assemble = importlib.import_module("tinyllm.corpus.assemble")  # the face has a function of that name
from tinyllm.corpus.metrics import CorpusMetrics
from tinyllm.params.load import load_params
from tinyllm.records.questions import read_questions
from tinyllm.records.rationales import read_rationales

folder, count = Path(sys.argv[1]), int(sys.argv[2])
files = sorted((folder / "data/rationales").glob("*.jsonl"))
several = hasattr(assemble, "FindRationales")  # a question's rationales come as a list; older checkouts have one or None
rows = {file.stem: {row["id"]: [row] if several else row for row in read_rationales(file)} for file in files}
questions = read_questions(folder / "data/questions/train.jsonl")[: count // len(rows)]
limits = load_params(Path("params.yaml")).corpus.audit  # the checkout's own
metrics = CorpusMetrics(["train"], rows)
start = time.process_time()
for question in questions:
    said = {name: by_id.get(question.id, [] if several else None) for name, by_id in rows.items()}
    metrics.add(assemble.audit_question(question, "train", said, limits))
print(len(questions) * len(rows) / (time.process_time() - start))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs="*", default=[ROOT], metavar="CHECKOUT")
    parser.add_argument("--project", type=Path, help="a folder with params.yaml and data/")
    parser.add_argument("--rationales", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.project or Path(name)
        if not arguments.project:
            generate(folder, arguments.rationales // len(TEACHERS))
        rates: list[list[float]] = [[] for _ in arguments.checkouts]
        for _ in range(arguments.repeats):
            for checkout, known in zip(arguments.checkouts, rates, strict=True):
                known.append(audit(checkout, folder, arguments.rationales))
    print("| checkout | rationales/s | least | most |\n|---|---|---|---|")
    for checkout, known in zip(arguments.checkouts, rates, strict=True):
        print(f"| {checkout.name} | {statistics.median(known):,.0f} | {min(known):,.0f} | {max(known):,.0f} |")


def audit(checkout: Path, folder: Path, count: int) -> float:
    """Return the rationales that the code of a checkout audits a second of one processor."""
    ended = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder.resolve()), str(count)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(ended.stdout)


if __name__ == "__main__":
    main()
