"""A teacher that is asked through OpenAI's Batch API: a file of prompts goes up, one of answers comes down within a day.

May import: as teachers; params, console and project.
"""
