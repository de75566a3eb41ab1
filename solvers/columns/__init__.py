"""The columns engine: Dantzig-Wolfe over host states, bounds from integer duals, integers by diving and branching."""
