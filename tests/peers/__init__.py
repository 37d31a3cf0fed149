"""Comparisons with other libraries: agreement first, then time. `make peers` prints the table."""
