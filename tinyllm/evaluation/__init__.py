"""What can be said of predictions: accuracy, intervals, paired tests, calibration. numpy, never torch.

May import: records, params, console and project.
"""

from tinyllm.evaluation.exams import exam_in_words, not_examined, ratios, summarise_exam
from tinyllm.evaluation.metrics import confusion_rows, summarise_predictions

__all__ = [
    "confusion_rows",
    "exam_in_words",
    "not_examined",
    "ratios",
    "summarise_exam",
    "summarise_predictions",
]
