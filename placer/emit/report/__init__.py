"""The report: one HTML file with maps, charts and tables."""
