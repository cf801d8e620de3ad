"""Anybody's network beside hand-crafted kernels and chance: opened, measured, reported. No JAX."""
