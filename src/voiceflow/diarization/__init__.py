"""The API of the inference service, by version."""
