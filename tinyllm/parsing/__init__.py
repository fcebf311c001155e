"""From what a model wrote to a clean rationale and the answer that it states.

May import: records, params, console and project.
"""

from tinyllm.parsing.question import ParsedQuestion, parse_question
from tinyllm.parsing.rationale import ParsedRationale, Thinking, parse_rationale

__all__ = ["ParsedQuestion", "ParsedRationale", "Thinking", "parse_question", "parse_rationale"]
