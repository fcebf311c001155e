"""What can be said of predictions: accuracy, intervals, paired tests, calibration. numpy, never torch.

May import: records, params, console and project.
"""

from tinyllm.evaluation.metrics import confusion_rows, not_examined, ratios, summarise_exam, summarise_predictions

__all__ = ["confusion_rows", "not_examined", "ratios", "summarise_exam", "summarise_predictions"]
