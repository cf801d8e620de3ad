"""Training populations of small CNNs: data, model, initialisers, the compiled loop."""
