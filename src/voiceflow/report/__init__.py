"""The report: one self-contained page that plays a recording over a timeline of its speakers."""

from voiceflow.report.audio import AudioKeeper, PageAudio
from voiceflow.report.page import render_report

__all__ = ["AudioKeeper", "PageAudio", "render_report"]
