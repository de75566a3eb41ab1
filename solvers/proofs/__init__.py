"""Bounds proven again by a second solver, from duals or from the counts."""
