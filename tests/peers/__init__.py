"""Comparisons with other libraries that are run by hand; they print, and fail nothing."""
