"""A problem made a simpler one, and its answer carried back: rules over hosts left out, groups tied to domains."""
