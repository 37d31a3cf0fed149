"""Data: the brain phantom, coil maps, sampling masks, file readers and subject splits."""
