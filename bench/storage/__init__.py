"""Results folders on disk: how they are written, read, mended and joined (bench.store)."""
