"""A fleet as numbers: needs, flavors, placements, rows, classes, objectives."""
