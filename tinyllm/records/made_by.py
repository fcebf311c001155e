"""Which stage writes a file of the pipeline: what to run where it is missing."""

from __future__ import annotations

import re
from pathlib import Path

WRITTEN = (  # the first that fits
    ("download", r"data/(questions/\w+|bad_rows)\.jsonl|data/recorded/.+|metrics/(questions|used/download)\.json"),
    ("query", r"data/rationales/[^/]+\.jsonl|metrics/(used/)?query/[^/]+\.json"),
    ("exam", r"(data|metrics|metrics/used)/exam/[^/]+\.jsonl?"),
    ("assemble", r"data/corpus/.+|data/quarantine\.jsonl|metrics/(corpus|used/assemble)\.json"),
    ("train", r"models/student/.+|metrics/(used/)?train/[^/]+\.json|metrics/(loss|valid)/[^/]+\.tsv"),
    ("score", r"data/predictions\.jsonl|data/confusion\.csv|metrics/(used/)?score\.json"),
    ("report", r"report/[^/]+|metrics/used/report\.json"),
)


def remedy(path: Path | str) -> str:
    """Return `; run dvc repro STAGE` for a file that a stage writes, nothing for any other."""
    for stage, pattern in WRITTEN:
        if re.search(rf"(?:^|/)(?:{pattern})$", Path(path).as_posix()):
            return f"; run dvc repro {stage}"
    return ""
