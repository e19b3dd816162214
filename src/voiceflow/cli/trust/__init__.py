"""Commands for whose signatures count: keys, the trust root, signatures without any service."""

from voiceflow.cli.trust.group import trust

__all__ = ["trust"]
