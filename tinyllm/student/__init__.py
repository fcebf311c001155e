"""What a student is, reads and says.

May import: models, records, params, console and project.
"""

from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import write_rationales
from tinyllm.student.predict import passes, predict

__all__ = ["write_rationales", "load_student", "passes", "predict", "save_student"]
