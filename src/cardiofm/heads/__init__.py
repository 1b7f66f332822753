"""Answers on top of the embedding: heads that explain themselves, made from labels, used on recordings."""
