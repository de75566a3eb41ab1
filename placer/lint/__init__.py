"""Remarks on guests and hosts that run, but not as well as they could."""
