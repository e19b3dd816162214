"""The command that measures how well speakers are told apart, through the real service."""
