"""kernelstudy: do the kernels a CNN learns look like the ones people designed by hand?"""

__version__ = "0.1.0"
