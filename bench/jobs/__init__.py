"""The life of one job: ``python -m bench.jobs`` runs it in its own process."""
