"""Results that travel: what is kept of a finished cell in a file of experiments/results, and read where there is no experiment.

May import: as experiments; evaluation, provenance, records, params, console and project.
"""
