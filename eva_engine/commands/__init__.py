"""The command line: one module per verb, the table of verbs in verbs.py, and shared helpers in cli.py."""
