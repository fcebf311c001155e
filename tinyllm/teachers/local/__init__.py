"""A teacher that runs on this machine: a transformers model, asked in batches.

May import: as teachers; params, console and project.
"""
