"""What a student is, reads and says.

May import: models, records, params, console and project.
"""

from tinyllm.student.asked import passes_as_asked, predict_as_asked
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import write_rationales

__all__ = ["write_rationales", "load_student", "passes_as_asked", "predict_as_asked", "save_student"]
