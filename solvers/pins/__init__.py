"""vCPUs on the CPUs of a node: the rows that are exact, and what they allow, pinned."""
