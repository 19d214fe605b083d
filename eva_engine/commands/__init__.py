"""The command line: one module per verb, the table of verbs in verbs.py, and what the commands share in cli.py."""
