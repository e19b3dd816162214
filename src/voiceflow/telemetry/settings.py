"""What is recorded of a process, and where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


def _endpoint(text: str | None) -> str | None:
    if text is not None:
        url = urlsplit(text)
        if url.scheme not in {"http", "https"} or not url.netloc:
            raise ValueError("an endpoint is http://HOST:PORT or https://HOST:PORT")
    return text


class TelemetrySettings(BaseModel):
    """Settings of a process that say what is recorded of it; unset, nothing is."""

    otlp_endpoint: Annotated[str | None, AfterValidator(_endpoint)] = Field(
        default=None, description="http://HOST:PORT of a collector that takes OTLP over gRPC"
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="port that answers Prometheus; 0: a free one, told in the log"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address of the metrics port")
    telemetry_file: Path | None = Field(
        default=None, description="file that spans are added to, one OTLP request in JSON a line"
    )
    trace_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="share of the hops of all streams that are traced"
    )
    log_level: LogLevel = Field(default="info", description="least of what goes to standard error")
    log_format: LogFormat = Field(
        default="text", description="text for people; or json, an object a line, with trace ids"
    )

    @property
    def traces(self) -> bool:
        """Whether spans go anywhere."""
        return self.otlp_endpoint is not None or self.telemetry_file is not None

    @property
    def metrics(self) -> bool:
        """Whether metrics go anywhere."""
        return self.otlp_endpoint is not None or self.metrics_port is not None


OFF: Final = TelemetrySettings()
"""Nothing is recorded."""
