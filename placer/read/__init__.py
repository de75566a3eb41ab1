"""Readers: every source is turned into the one model of hosts, VMs and rules."""
