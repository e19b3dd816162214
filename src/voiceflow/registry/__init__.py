"""The API of the model registry, by version."""
