"""The images are what the manifests and the compose file start, and hold nothing by chance."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from scripts.dockerfile import DOCKERFILE, IGNORED, ROOT, needed, read_copy, read_stages, targets
from scripts.sbom import python_of
from tests.deploy.images import Images, compose, containers, faults

IMAGES: Final = Images(DOCKERFILE.read_text("utf-8"), IGNORED.read_text("utf-8"))

# what stands in the Dockerfile, what stands there instead, what is found
SPOILED: Final = [
    ("AS validator\n", "AS validation\n", "validator: is run and not built"),
    ("USER 10001:10001", "USER 10001:10002", "runs as another user"),
    ("USER 10001:10001", "USER 1000:1000", "runs as another user"),
    ("WORKDIR /var/lib/voiceflow", "WORKDIR /srv", "works in /srv"),
    ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT", "is not told to end by SIGTERM"),
    ("ENV PATH=/opt/voiceflow/bin:${PATH}\n", "", "are not in its path"),
    ('"voiceflow_registry"]', '"voiceflow_inference"]', "starts something else"),
    (
        'CMD ["python", "-m", "voiceflow_inference"]',
        "CMD python -m voiceflow_inference",
        "is for a shell",
    ),
    ('title="voiceflow-registry"', 'title="registry"', "do not say what it is"),
    ("EXPOSE 50061 50062 9464", "EXPOSE 50061 50062", "has other ports"),
    ("VOICEFLOW_HEALTH_PORT=50052", "VOICEFLOW_HEALTH_PORT=50053", "has another health_port"),
    ("VOICEFLOW_HEALTH_PORT", "VOICEFLOW_HEALTHY_PORT", "nothing reads VOICEFLOW_HEALTHY_PORT"),
    ('"voiceflow.rpc.probe", "50062"', '"voiceflow.rpc.probe", "50061"', "is asked how it fares"),
    ("rlimits,no_new_privs,landlock,seccomp", "rlimits", "has another sandbox_floor"),
    ("contract,behaviour,cost", "contract,behaviour", "has another demanded_gates"),
    ("recommends libseccomp2", "recommends libseccomp2 gcc", "holds gcc"),
    ("recommends libseccomp2", "recommends libcap2", "holds libcap2"),
    ("FROM sandbox AS registry", "FROM python AS registry", "registry: holds python3.11"),
    ("FROM python AS inference\n", "FROM tools AS inference\n", "or installs more"),
    ("-r requirements/validator.lock", "-r requirements/registry.lock", "other locks"),
    (
        "COPY requirements/inference.lock requirements/",
        "COPY requirements/dev.lock requirements/",
        "requirements/dev.lock is not there, or does not reach the builder",
    ),
    ("--require-hashes -r requirements/registry", "-r requirements/registry", "without hashes"),
    ("COPY contracts contracts\n", "", "reach the builder for nothing: contracts/"),
    ("COPY src src", "COPY sources src", "sources is not there"),
    ("--from=registry-environment", "--from=environment", "there is no stage environment"),
    ("=debian:bookworm-slim\n", "=debian\n", "debian: of no tag"),
    ("=debian:bookworm-slim\n", "=debian:latest\n", "debian:latest: of no tag"),
    ("ARG DEBIAN=", "ARG BASE=", "DEBIAN"),
    ("COPY src src", "ADD src src", "ADD: not known"),
    ("COPY src src", "COPY --chown=1 src src", "with options that are not known"),
]


def test_the_images_are_what_is_started() -> None:
    """By every overlay and the compose file, as the same user, with the same ports and settings."""
    assert list(faults(IMAGES)) == []
    assert {target for target, _ in containers()} == set(targets(IMAGES.stages))


@pytest.mark.parametrize(("old", "new", "fault"), SPOILED)
def test_a_dockerfile_that_is_spoiled_is_found(old: str, new: str, fault: str) -> None:
    """In one place, or in each of one kind."""
    assert old in IMAGES.text
    assert any(
        fault in one for one in _found(Images(IMAGES.text.replace(old, new), IMAGES.ignored))
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("!src\n", "", "src is not there, or does not reach the builder"),
        ("!src\n", "!src\n!docs\n", "reach the builder for nothing: docs/"),
        ("*\n", "", "reach the builder for nothing"),
    ],
)
def test_a_context_that_is_spoiled_is_found(old: str, new: str, fault: str) -> None:
    """Too little reaches the builder, or too much."""
    assert IMAGES.ignored.count(old) >= 1
    spoiled = Images(IMAGES.text, IMAGES.ignored.replace(old, new, 1))
    assert any(fault in one for one in _found(spoiled))


def _found(images: Images) -> list[str]:
    try:
        return list(faults(images))
    except KeyError as error:  # an ARG that is not there
        return [str(error)]


def test_hadolint_finds_nothing() -> None:
    """And finds what is wrong with another."""
    hadolint = Path(sys.executable).with_name("hadolint")
    told = subprocess.run(
        [hadolint, "-"], input="FROM debian\n", text=True, capture_output=True, check=False
    )
    assert (told.returncode, "DL3006" in told.stdout) == (1, True)
    subprocess.run([hadolint, DOCKERFILE], check=True)


def test_compose_starts_what_may_write_to_its_volumes_alone() -> None:
    """As the pods of a cluster; and the probe asks where the image answers."""
    own = {name: one for name, one in compose().items() if one["image"].startswith("voiceflow-")}
    assert set(own) == {"registry", "publish", "inference"}
    for service in own.values():
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - of the container
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        if build := service.get("build"):
            assert (ROOT / "deploy" / "compose" / build["context"]).resolve() == ROOT
            assert build["dockerfile"] == DOCKERFILE.relative_to(ROOT).as_posix()
    health = IMAGES.config("registry").health
    assert own["registry"]["healthcheck"]["test"] == ["CMD", *health]


def test_the_gpu_has_the_same_runtime() -> None:
    """ONNX Runtime for CUDA in place of that for the CPU, of the same version; nothing else."""
    names = {}
    for image in ("inference", "inference-cuda"):
        text = (ROOT / "requirements" / f"{image}.lock").read_text("utf-8")
        names[image] = set(re.findall(r"^([a-z0-9-]+==[^ ]+)", text, re.MULTILINE))
    (cpu,) = names["inference"] - names["inference-cuda"]
    (gpu,) = names["inference-cuda"] - names["inference"]
    assert gpu.replace("-gpu", "") == cpu
    assert cpu.startswith("onnxruntime==")


def test_what_a_stage_needs_comes_before_it() -> None:
    """And nothing of the GPU's is needed by the images that are rehearsed."""
    for target in ("inference", "registry", "validator"):
        stages = needed(IMAGES.stages, target)
        assert stages[-1] == target
        assert not [name for name in stages if "cuda" in name]
        assert f"{target}-environment" in stages
    assert python_of(dict(IMAGES.stages), "validator") == "3.11"
    assert python_of(dict(IMAGES.stages), "inference-cuda") == "3.12"


def test_arguments_of_the_build_replace_what_it_begins_with() -> None:
    """That is how a digest pins it."""
    pinned = "debian:bookworm-slim@sha256:" + "0" * 64
    assert read_stages(IMAGES.text, {"DEBIAN": pinned})["python"].base == pinned


def test_a_copy_is_read() -> None:
    """From a stage or from the context, of one thing or of several."""
    assert read_copy("--from=a /b /c").stage == "a"
    assert read_copy("a b c/").sources == ("a", "b")
    assert read_copy("a b c/").target == "c/"


def test_the_page_says_what_there_is() -> None:
    """Each image, its port of health, and each target of make."""
    page = Path(ROOT / "docs" / "containers.md").read_text("utf-8")
    for target in targets(IMAGES.stages):
        assert f"`voiceflow-{target}`" in page
    for word in re.findall(r"`make ([a-z-]+)", page):
        assert f"\n{word}:" in (ROOT / "Makefile").read_text("utf-8"), word
