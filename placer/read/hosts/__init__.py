"""Files that tell of a host, each to one normal form."""
