"""The life of a model inside the service: from a promotion to a folder that can be loaded."""
