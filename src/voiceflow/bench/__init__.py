"""Load for a service and what it does with it: live streams at real pace, and whole calls.

`live` and `calls` make the load, `usage` says what it takes of this machine; `pacing`, `search` and
`figures` are the rules, without input or output. `voiceflow bench` is the command.
"""
