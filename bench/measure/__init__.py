"""One question a file: how good, how many evaluations, how much memory, how steep."""
