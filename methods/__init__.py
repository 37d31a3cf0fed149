"""Equilibrium methods, a file a family, and the fixed points that they share."""
