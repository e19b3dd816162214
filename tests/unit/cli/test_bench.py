"""What `voiceflow bench` does not take."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from voiceflow.cli.commands import commands
from voiceflow.errors import PackageInvalid


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("streams --streams 0", "--streams"),
        ("streams --seconds nan", "--seconds"),
        ("streams --message-ms 5", "--message-ms"),
        ("streams --seconds 1 --message-ms 2000", "longer than all of the audio"),
        ("streams --mode fast", "--mode"),
        ("streams --find --within soon", "no span of time"),
        ("streams --server 127.0.0.1:1 --model-dir models", "either --server or --model-dir"),
        ("streams --insecure", "only with --server"),
        ("calls --ca ca.pem", "only with --server"),
        ("calls --clients 0", "--clients"),
        ("calls --audio-seconds 31", "--audio-seconds"),
        ("calls --every 0", "--every"),
        ("calls --method both", "--method"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_started(
    arguments: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As wrong usage, with the option."""
    for name in ("SERVER", "CA", "CERT", "KEY", "TOKEN_FILE"):
        monkeypatch.delenv(f"VOICEFLOW_{name}", raising=False)
    ended = CliRunner().invoke(commands, ["bench", *arguments.split()])
    assert ended.exit_code == 2, ended.output
    assert said in ended.output


def test_who_dials_by_the_environment_is_left_aside_where_nobody_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said for a server that is named."""
    monkeypatch.delenv("VOICEFLOW_SERVER", raising=False)
    monkeypatch.setenv("VOICEFLOW_CA", "ca.pem")
    ended = CliRunner().invoke(commands, ["bench", "calls", "--model-dir", str(tmp_path)])
    assert isinstance(ended.exception, PackageInvalid)  # it came as far as that
