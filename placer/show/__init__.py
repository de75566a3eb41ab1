"""Pictures of hosts, domains and plans for the terminal, and the same as data, DOT and SVG."""
