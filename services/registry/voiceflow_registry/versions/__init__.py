"""Published versions: found, read, filtered, handed out, yanked, deleted."""
