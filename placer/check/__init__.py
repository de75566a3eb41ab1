"""The referee of fleets and plans: independent of the planner and the solvers."""
