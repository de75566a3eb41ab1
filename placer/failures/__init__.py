"""Domains that fail: every failure swept, and room kept for them."""
