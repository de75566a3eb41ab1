"""What is asked of a fleet: room, growth, failures, other fleets."""
