"""What pods report, what it adds up to, and when it moves a channel."""
