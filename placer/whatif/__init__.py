"""Scenarios, growth, trade-offs, headroom and the smallest fleet that would do."""
