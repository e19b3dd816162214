"""Names in the environment: each means one thing to whoever reads it."""

from __future__ import annotations

from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings


def test_no_variable_sets_both_services() -> None:
    """The service's prefix is a beginning of the registry's: what both see must not be both's."""
    names = [
        {f"{settings.model_config['env_prefix']}{field}".upper() for field in settings.model_fields}
        for settings in (InferenceSettings, RegistrySettings)
    ]
    assert names[0] & names[1] == set()
