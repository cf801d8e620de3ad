"""Trainings of somebody else's loop, logged for the same report as a run's: `kernelstudy.Recorder`.

This face is light: it needs neither JAX nor matplotlib.
"""
