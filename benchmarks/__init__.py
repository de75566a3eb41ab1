"""Benchmarks: a registry of specs, one file a spec; peers run on the same instances in the same run."""
