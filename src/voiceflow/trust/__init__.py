"""Whose model this is: signatures, the keys that may make them, and what a pod goes on to trust."""
