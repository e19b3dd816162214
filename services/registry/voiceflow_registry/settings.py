"""What an operator can set: on the command line, or as VOICEFLOW_REGISTRY_<NAME>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The model registry: keeps versions of models and tells servers which one to serve."""

    model_config = SettingsConfigDict(
        env_prefix="VOICEFLOW_REGISTRY_",
        frozen=True,
        cli_prog_name="python -m voiceflow_registry",
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(50061, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    insecure: bool = Field(
        default=False, description="listen without TLS where other machines can reach it"
    )
    grace_seconds: float = Field(
        30.0, ge=0.0, description="from SIGTERM until calls that still run are cut"
    )
