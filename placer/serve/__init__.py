"""The explorer: a fleet or a plan as a page of this machine's own browser, with the engine behind it."""
