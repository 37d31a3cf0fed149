"""Comparison methods, a file each."""
