"""Text as it comes: encodings, XML, YAML and JSON with the places of what they say."""
