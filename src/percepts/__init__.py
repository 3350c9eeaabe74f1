"""percepts: learn factors, objects, relations and concepts from pixels without labels, and act on them."""

__version__ = "0.1.0"
