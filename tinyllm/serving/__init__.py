"""A student behind OpenAI's protocol, and the page to try it in a browser.

May import: models, student, records, params, console and project.
"""
