"""What a plan is worth, computed from fleet and plan alone: no planner, no solver."""
