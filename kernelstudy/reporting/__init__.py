"""Figures, tables and pages out of measured runs. No JAX here."""
