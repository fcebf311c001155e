"""The answer cache: what live teachers have answered, so that nobody asks or pays twice.

May import: as teachers; params, console and project.
"""
