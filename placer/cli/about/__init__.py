"""What placer can do, tried and listed."""
