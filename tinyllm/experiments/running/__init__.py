"""Processes beside each other: the experiments of a table, the stages of a run, and the GPUs that they get."""
