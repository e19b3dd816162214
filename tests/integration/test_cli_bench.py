"""`voiceflow bench` against services that run: what it tells, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.streams import loaded_service
from voiceflow.bench.live import Server
from voiceflow.cli.commands import commands, exit_code
from voiceflow.client import DiarizationClient, FileResult
from voiceflow.errors import InvalidInput, PackageInvalid, Unavailable

STREAMS = ("bench", "streams", "--seconds", "1")
PATIENT = ("--bound-ms", "60000", "--growth-ms", "60000")
"""Whatever the machine that this runs on is busy with."""


def ended(*arguments: str | Path, code: int = 0) -> Result:
    """A command to its end."""
    result = CliRunner().invoke(commands, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str | Path, code: int = 0) -> tuple[dict[str, Any], str]:
    """What a command prints as JSON, and what it says beside it."""
    result = ended(*arguments, "--json", code=code)
    document: dict[str, Any] = json.loads(result.stdout)
    return document, result.stderr


def test_live_streams_are_heard_to_their_end(open_server: Server) -> None:
    """Every hop is measured, and so is what the server takes on this machine."""
    shape = ("--streams", "3", "--mode", "agent", "--message-ms", "20")
    document, _ = told(*STREAMS, "--server", open_server.address, *shape)
    figures = document["figures"]
    assert document["load"]["message_milliseconds"] == 20
    assert figures["hops"] >= 3 * 12  # 1 s holds 12 hops of 80 ms, and a part
    assert (figures["streams"], figures["refused"], figures["failed"]) == (3, 0, 0)
    assert figures["latency"]["p50_milliseconds"] <= figures["latency"]["p99_milliseconds"]
    assert figures["server_cpu_milliseconds"] is not None
    assert figures["server_resident_megabytes"] > 1


def test_the_most_that_hold_are_looked_for(open_server: Server) -> None:
    """Up to the most that may be tried; each trial is told as it ends."""
    search = ("--find", "--streams", "1", "--most", "2", *PATIENT)
    document, err = told(*STREAMS, "--server", open_server.address, *search)
    assert (document["largest"], document["smallest_not"]) == (2, None)
    assert [one["figures"]["streams"] for one in document["trials"]] == [1, 2]
    assert "1 streams: P99 " in err
    found = ended(*STREAMS, "--server", open_server.address, *search, "--trials", "1").stdout
    assert "1 streams hold with P99 under 60000 ms; more were not tried" in found


def test_a_server_that_refuses_streams_is_taken_at_its_word(stream_package: Path) -> None:
    """Refused streams count, with their reason; the most that hold are those that it takes."""
    with loaded_service(stream_package, 1) as small:
        server = ("--server", small.address)
        document, _ = told(*STREAMS, *server, "--streams", "2", code=1)
        assert document["figures"]["refused"] == 1
        ((_, count),) = document["figures"]["reasons"].items()
        assert count == 1
        document, err = told(*STREAMS, *server, "--find", "--streams", "2", *PATIENT)
        assert (document["largest"], document["smallest_not"]) == (1, 2)
        assert "1 refused, 0 failed: does not hold" in err


def test_calls_are_made_in_a_closed_loop_and_at_a_pace(open_server: Server) -> None:
    """All of them succeed; paced, they are as many as were due."""
    calls = ("bench", "calls", "--server", open_server.address, "--clients", "2")
    document, _ = told(*calls, "--seconds", "0.3")
    figures = document["figures"]
    assert figures["calls"] >= 2
    assert figures["success_percent"] == 100.0
    assert figures["calls_per_second_accounted"] is not None
    paced = ("--seconds", "0.5", "--every", "0.3", "--method", "stream")
    document, _ = told(*calls, *paced)
    assert (document["figures"]["calls"], document["figures"]["succeeded"]) == (4, 4)
    assert "throughput" in ended(*calls, "--seconds", "0.1").stdout


def test_no_call_that_counts_opens_a_connection(
    open_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client has called once before the first of them."""
    callers, plain = [], DiarizationClient.diarize_file

    async def noted(client: DiarizationClient, *request: Any) -> FileResult:
        callers.append(client)
        return await plain(client, *request)

    monkeypatch.setattr(DiarizationClient, "diarize_file", noted)
    calls = ("bench", "calls", "--server", open_server.address, "--clients", "3")
    document, _ = told(*calls, "--seconds", "0.3")
    assert len(set(callers[:3])) == 3
    assert document["figures"]["calls"] == len(callers) - 3


def test_a_service_is_started_where_none_is_named(stream_package: Path) -> None:
    """For as long as it takes, with the package that is given; it admits everything."""
    document, err = told(*STREAMS, "--model-dir", stream_package, "--streams", "2")
    assert document["figures"]["failed"] == document["figures"]["refused"] == 0
    assert document["figures"]["server_cpu_milliseconds"] is not None
    assert "tones 1.0.0 is served on 127.0.0.1:" in err


def test_no_server_and_no_model_are_told(tmp_path: Path) -> None:
    """By errors that have exit codes of their own."""
    away = CliRunner().invoke(commands, [*STREAMS, "--server", "127.0.0.1:1"])
    assert isinstance(away.exception, Unavailable)
    assert exit_code(away.exception) == 4
    lacking = CliRunner().invoke(commands, ["bench", "calls", "--model-dir", str(tmp_path)])
    assert isinstance(lacking.exception, PackageInvalid)


def test_a_server_elsewhere_is_not_dialled_in_plain_text() -> None:
    """Unless that is meant."""
    refused = CliRunner().invoke(commands, ["bench", "calls", "--server", "192.0.2.1:50051"])
    assert isinstance(refused.exception, InvalidInput)
    assert refused.exception.reason == "INSECURE_ADDRESS"
