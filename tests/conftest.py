"""How JAX starts in all tests."""

import os

# Two CPU devices, so that sharing networks out over devices is always exercised.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Hundreds of small programs run once each: compile them quickly rather than well. Commands that are
# tested in processes of their own compile as their users' do.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
