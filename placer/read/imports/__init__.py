"""Fleets of other systems, and what is gathered from hosts, as inventories."""
