"""A plan made, looked at, compared and handed on."""
