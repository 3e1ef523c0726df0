"""The version, in a module of its own so that every other module may import it."""

__version__ = "1.0.0"
