"""The commands, each a thin layer over one function; bench.cli puts them together."""
