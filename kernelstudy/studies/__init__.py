"""Many runs: what was swept and what it does, and the plan of a study beside its runs. No JAX."""
