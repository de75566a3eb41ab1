"""The order in which a plan can be carried out: steps, waves, circles and how they are untied."""
