"""What a host state could become at given prices: tables, lists and CP-SAT."""
