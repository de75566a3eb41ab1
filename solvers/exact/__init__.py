"""The exact engine: CP-SAT on integer counts, objective after objective."""
