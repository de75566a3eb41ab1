"""Whole hosts out of columns: assembly, restricted programs, dives, neighbourhoods."""
