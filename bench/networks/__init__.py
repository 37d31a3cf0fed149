"""Building blocks that methods and baselines share."""

from bench.networks.cnn import PlainCNN

__all__ = ["PlainCNN"]
