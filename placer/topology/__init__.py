"""The inside of a host as a graph: what is near what, and which nodes may be exchanged for one another."""
