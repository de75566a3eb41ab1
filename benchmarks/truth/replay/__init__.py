"""Plans carried out step by step, with code that shares nothing with the planner of steps."""
