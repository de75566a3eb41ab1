"""The command line: one file a verb; each returns an answer, and one place prints it."""
