"""Counts as a plan: names, pins, reasons, results, summary, certificate."""
