"""Tasks, a file each: a dataset, a forward operator and a metric protocol."""
