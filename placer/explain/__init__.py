"""Why a VM is where it is, what a rule costs, what conflicts, what would cure it, what changed."""
