"""What the stages hand to each other: questions, rationales and predictions, as checked JSON lines.

May import: nothing.
"""

from tinyllm.records.csv_file import write_csv
from tinyllm.records.files import atomic_write
from tinyllm.records.jsonl import read_json, read_jsonl, write_json, write_jsonl, writing_jsonl
from tinyllm.records.questions import Question, first_ids, read_questions, require_options, write_questions

__all__ = [
    "Question",
    "read_json",
    "read_jsonl",
    "read_questions",
    "atomic_write",
    "require_options",
    "first_ids",
    "write_csv",
    "write_json",
    "write_jsonl",
    "write_questions",
    "writing_jsonl",
]
