"""Generated from protos/voiceflow/registry/v1; never edited."""
