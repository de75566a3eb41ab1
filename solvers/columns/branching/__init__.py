"""Branching rows and the tree that they make."""
