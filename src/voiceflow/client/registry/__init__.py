"""Typed asyncio client of the model registry.

    async with RegistryClient("localhost:50061") as registry:
        published = await registry.publish(Path("diarizer-1.2.0"))
        async for progress in registry.validate(published.version.name):
            print(progress)
        await registry.promote("models/diarizer/channels/stable", published.version.name)

Everything that may be repeated is repeated after a cut, and everything that changes something
carries a request id, so that repeating it does no harm.
"""

from voiceflow.client.registry.client import DEFAULT_REGISTRY, RegistryClient
from voiceflow.client.registry.local import LocalFile, LocalPackage, open_package
from voiceflow.client.registry.packages import sign_package
from voiceflow.client.registry.progress import Progress, Stage
from voiceflow.client.registry.publishing import Published
from voiceflow.client.registry.validating import ValidationProgress

__all__ = [
    "DEFAULT_REGISTRY",
    "LocalFile",
    "LocalPackage",
    "Progress",
    "Published",
    "RegistryClient",
    "Stage",
    "ValidationProgress",
    "open_package",
    "sign_package",
]
