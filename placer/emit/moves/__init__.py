"""Orders of moves as JSON, Markdown, script and ticket."""
