"""A plan and the hosts that run: apply, verify, take back."""
