"""The version, read by the build and by `loopymeta.__version__`."""

__version__ = "0.1.0"
