"""Two CPU devices for all tests, so that sharing networks out over devices is always exercised."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
