"""What the stages hand to each other: questions, rationales and predictions, as checked JSON lines.

May import: nothing.
"""

from tinyllm.records.jsonl import read_json, read_jsonl, replacing, write_json, write_jsonl, writing_jsonl
from tinyllm.records.questions import Question, read_questions, require_options, some, write_questions

__all__ = [
    "Question",
    "read_json",
    "read_jsonl",
    "read_questions",
    "replacing",
    "require_options",
    "some",
    "write_json",
    "write_jsonl",
    "write_questions",
    "writing_jsonl",
]
