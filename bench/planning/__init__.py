"""A suite file -> the graph of its jobs: read, resolved, varied along axes, with content keys."""
