"""A session is computed by what was asked for, or is not opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest

from voiceflow.errors import NotAllowedNow, PackageInvalid, Unavailable
from voiceflow.onnx import bind, runtime
from voiceflow.onnx.golden import reproduce
from voiceflow.onnx.runtime import check_provider, open_session
from voiceflow.package import ModelPackage, load_package
from voiceflow.provider import Provider

ON_GPUS = ["cuda", "tensorrt"]


@pytest.fixture
def package(stream_package: Path) -> ModelPackage:
    """The small stateful model."""
    return load_package(stream_package)


@pytest.fixture
def built_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that names all providers, as the one for CUDA does where nothing of CUDA is."""
    known = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: known)


def test_the_processor_is_asked_for_by_name_and_by_default(package: ModelPackage) -> None:
    """And nothing beside it."""
    for session in (
        open_session(package.model_bytes, threads=1),
        open_session(package.model_bytes, threads=1, provider="cpu"),
    ):
        assert session.get_providers() == ["CPUExecutionProvider"]
    check_provider("cpu")


@pytest.mark.parametrize("provider", ON_GPUS)
@pytest.mark.parametrize(
    "use",
    [
        lambda package, provider: open_session(package.model_bytes, threads=1, provider=provider),
        lambda package, provider: bind(package, provider=provider),
        lambda package, provider: reproduce(package, provider=provider),
        lambda _package, provider: check_provider(provider),
    ],
    ids=["open", "bind", "reproduce", "check"],
)
def test_what_the_build_lacks_is_refused(
    package: ModelPackage, use: Callable[[ModelPackage, Provider], object], provider: Provider
) -> None:
    """The locks name a build for the processor alone, and the message says that it has that."""
    with pytest.raises(NotAllowedNow) as caught:
        use(package, provider)
    assert caught.value.reason == "PROVIDER_MISSING"
    assert f"--provider {provider} asks for" in caught.value.message
    assert caught.value.message.endswith("it has cpu")


@pytest.mark.usefixtures("built_for_gpus")
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
@pytest.mark.parametrize("provider", ON_GPUS)
def test_what_is_left_out_in_silence_is_refused(provider: Provider) -> None:
    """ONNX Runtime itself opens the session, on the processor, and says nothing of it."""
    with pytest.raises(Unavailable, match="it took cpu in its place") as caught:
        check_provider(provider)
    assert caught.value.reason == "PROVIDER_UNUSABLE"


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_what_cannot_be_started_is_no_fault_of_the_graph(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime raises, as without a device; a graph that the processor refuses is refused."""
    nobodys = (("NobodysExecutionProvider", {}), *runtime._WANTED["cpu"])
    monkeypatch.setitem(runtime._WANTED, "cuda", nobodys)
    known = ["NobodysExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: known)
    with pytest.raises(Unavailable, match="opens the graph on cpu alone: Unknown") as caught:
        bind(package, provider="cuda")
    assert caught.value.reason == "PROVIDER_UNUSABLE"
    with pytest.raises(PackageInvalid) as refused:
        open_session(b"no graph", threads=1, provider="cuda")
    assert refused.value.reason == "GRAPH_REFUSED"
    # Standard output is the ready line's.
    assert capfd.readouterr().out == ""
