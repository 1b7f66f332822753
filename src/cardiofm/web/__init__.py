"""What a browser shows: one self-contained page."""
