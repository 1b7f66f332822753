"""The systems that turn a window into numbers, one file each: ours, the floors, and the peers of a user's choice."""
