"""What every room rests on: files, signals, errors in one sentence, versions. No JAX, no NumPy."""
