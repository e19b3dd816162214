"""What a registry knows of models, as frozen values: versions, gates, channels, pods, their names.

The registry stores them, the wire carries them (`voiceflow.rpc.registry`), clients and commands
show them. Nothing here does I/O. Field names and meanings are those of
`protos/voiceflow/registry/v1/registry.proto`; durations are seconds, times are aware datetimes.
"""
