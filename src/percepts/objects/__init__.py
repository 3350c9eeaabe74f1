"""Models of several objects: images taken apart into slots."""
