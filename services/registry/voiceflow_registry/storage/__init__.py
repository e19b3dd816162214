"""Where the registry keeps everything: one small port, and an adapter for each kind of store."""
