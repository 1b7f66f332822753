"""How well beats are measured: the truth that readers marked, the floors, and one file for each question."""
