"""VoiceFlow: live speaker diarization. What both services and every client stand on."""
