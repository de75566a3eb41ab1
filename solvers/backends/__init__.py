"""The solvers of others: one way to run CP-SAT, one way to write rows, one way to run HiGHS."""
