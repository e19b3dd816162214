"""From the first chunk of an upload to a committed version."""
