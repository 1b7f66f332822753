"""Codes to bytes and back: entropy coding, the classical layers on top of it, and the container."""
