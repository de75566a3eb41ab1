"""Many independent solves: in this process, in many, or on a cluster."""
