"""Commands for who calls: certificates for development, tokens."""

from voiceflow.cli.identity.dev_certs import dev_certs
from voiceflow.cli.identity.tokens import tokens

__all__ = ["dev_certs", "tokens"]
