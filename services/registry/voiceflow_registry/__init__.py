"""The model registry: model versions in, checked and promoted models out."""
