"""What a fleet is made from: imports from other tools, and the script that collects."""
