"""What placer is measured against, each behind a small function of its own."""
