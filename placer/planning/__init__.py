"""From a fleet to numbers and back: compile, solve, decode, and the checks and measures around them."""
