"""The inventory, read and written."""
