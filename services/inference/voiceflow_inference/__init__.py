"""The inference service: audio streams in, speaker turns out."""
