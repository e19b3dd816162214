"""Puts a model version through its gates before anything may serve it.

Every process of the sandbox imports this package on its way to its probe: what is slow or large to
import (pyannote.metrics, grpc) is imported by the functions that need it, never here.
"""
