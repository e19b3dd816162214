"""Generated from protos/voiceflow/diarization/v1; never edited."""
