"""What every VoiceFlow server shares: statuses, the error interceptor, the server's life."""
