"""Content of files: on its way in, at rest, and condemned."""
