"""What a student is, reads and says.

May import: models, records, params, console and project.
"""

from tinyllm.student.asked import passes_as_asked, predict_as_asked
from tinyllm.student.base import pinned, write_base
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import write_rationales
from tinyllm.student.vote import VoiceRecord, write_voices

__all__ = [
    "VoiceRecord",
    "load_student",
    "passes_as_asked",
    "pinned",
    "predict_as_asked",
    "save_student",
    "write_base",
    "write_rationales",
    "write_voices",
]
