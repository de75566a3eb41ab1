"""An inventory as a person writes it, read for the reference model."""
