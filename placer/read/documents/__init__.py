"""placer's own documents read back: plans, scenarios, comparisons."""
