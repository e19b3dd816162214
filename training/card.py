"""Writes the model card: the manifest's facts and the measured figures in words."""

from __future__ import annotations

import textwrap
from typing import Any

from training.corpus import COPIES, TUNING_SPEAKERS
from training.shape import LOOK_AHEAD_FRAMES, Shape
from voiceflow.artifact import Manifest


def card(manifest: Manifest, figures: dict[str, Any]) -> str:
    """The card's Markdown. `figures` is what `training.figures` wrote, or empty."""
    text = _TEXT.format(
        version=manifest.version,
        context=Shape().context_frames * 0.04,
        channels=Shape().channels,
        held_out=", ".join(f"{count} of {name}" for name, count in TUNING_SPEAKERS.items()),
        held_out_count=sum(TUNING_SPEAKERS.values()),
        look_ahead=LOOK_AHEAD_FRAMES * 0.04,
        copies=len(COPIES),
        licence=manifest.licence,
        made=_made(figures),
        error_rates=_error_rates(manifest),
        equal_errors=_equal_errors(figures),
        speech_error=_speech_error(figures),
        operating_point=_operating_point(manifest),
    )
    return "\n\n".join(_filled(block) for block in text.split("\n\n"))


def _filled(block: str) -> str:
    """The block with its lines filled, unless it is a table, a list or a heading."""
    if block.startswith(("|", "-", "#")):
        return block
    return textwrap.fill(" ".join(block.split()), 100, break_on_hyphens=False)


def _made(figures: dict[str, Any]) -> str:
    if "run" not in figures:
        return "This graph was exported while the training was still under way."
    run, plan = figures["run"], figures["run"]["plan"]
    remark = f" {run['remark']}" if "remark" in run else ""
    return (
        f"The run took {run['wall_minutes']} minutes and {run['cpu_minutes']} CPU minutes on two "
        f"cores.{remark} {run['steps']} steps with Muon and AdamW (peak rate {plan['peak_rate']}, "
        f"seed {plan['seed']}), the first {plan['crop_stage_steps']} of them on crops alone. The "
        f"network has {run['parameters'] / 1e6:.2f} M parameters, learned from {run['voices']} "
        f"voices and makes a graph of {figures['model_bytes'] / 1e6:.1f} MB. It needs "
        f"{figures['milliseconds_per_audio_second']} ms of one CPU core per second of audio (16 "
        f"streams at once, hops of 0.48 s, ONNX Runtime, on the machine of the training)."
    )


def _error_rates(manifest: Manifest) -> str:
    if not manifest.measured:
        return "Not yet measured for these weights."
    head = "| data | protocol | scorer | DER % | missed | false alarm | confusion |\n"
    rows = [
        f"| {m.data_set} | {m.protocol} | {m.scorer} | {m.der_percent:.1f} | "
        f"{m.missed_percent:.1f} | {m.false_alarm_percent:.1f} | {m.confusion_percent:.1f} |"
        for m in manifest.measured
    ]
    return head + "|---|---|---|---|---|---|---|\n" + "\n".join(rows)


def _equal_errors(figures: dict[str, Any]) -> str:
    if not figures:
        return "Not yet measured for these weights."
    rows = []
    for speakers, rates in figures["equal_error_percent"].items():
        each = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items() if name != "pooled")
        rows.append(f"| {speakers} | {rates['pooled']:.1f} | {each} |")
    head = "| speakers | pooled % | each set % |\n|---|---|---|\n"
    return head + "\n".join(rows)


def _speech_error(figures: dict[str, Any]) -> str:
    if not figures:
        return "not yet measured for these weights"
    error = figures["speech_error_percent"]
    return (
        f"{error['total']:.1f} % of the frames ({error['missed']:.1f} % missed, "
        f"{error['false_alarm']:.1f} % falsely heard)"
    )


def _operating_point(manifest: Manifest) -> str:
    rows = [f"| `{name}` | {value} |" for name, value in manifest.operating_point]
    return "| threshold | value |\n|---|---|\n" + "\n".join(rows)


_TEXT = """\
# diarizer {version}

Hears one channel of speech at 16 kHz and says, every 40 ms, whether anyone speaks, whether a
second voice speaks too, and gives a vector for each of the two voices by which speakers can be
told apart. It answers as the audio comes (contract `diarization-stream/1.0`): speech at once,
voices {look_ahead:.2f} s late. Whose vectors belong together is decided by the service around it.

Written by `python -m training.package`; do not edit.

## What it is

A causal convolutional network. Inside the graph: log-mel energies (64 bands, window 25 ms, hop
10 ms), four of them stacked to a frame of 40 ms; the mean over the bands is separated from the
shape, so loudness is one number among 65. Ten residual blocks of {channels} channels (depthwise
kernel of five frames, dilations 1, 2, 4, 8, 16, twice; layer norm; two dense layers), three heads.
An answer rests on the last {context:.1f} s. Memory goes in and out as tensors, zero at the start.

## How it was made

{made}

Voices are learned from two teachers, which hear two-second pieces of clean speech: CAM++
(3D-Speaker, trained on Chinese and English speech, Apache 2.0) and the encoder of Resemblyzer
(GE2E, Apache 2.0). Their vectors, side by side, are projected by linear discriminant analysis
over the training voices; the network hears the piece as it was recorded somewhere else and is to
give the same vector, and to resemble the same among all training voices.

First such crops of single speakers, 128 a step. Then 64 crops a step beside ten conversations of
12 s mixed on the fly: turns as in AMI and MSDWILD, up to four speakers, overlap in six of ten. A
third of them have a long rest, and one in fourteen is noise alone: a network that never met
silence heard speech in it. Each speaker comes in {copies} copies, at other speeds and with other
formants, which count as further speakers. Simulated shoebox rooms and four measured ones,
recorded and coloured noise at 0-30 dB, random microphone colour, bands left out, telephone lines
(300-3400 Hz, mu-law), levels from -52 to -14 dBFS, 16-bit steps.

`make train` makes it again, from the same seed, at the source commit that the manifest names.

## Data

From the compact speech set in `../shared/speech`, its `train` part only. {held_out_count} of its
607 speakers were held out to tune on ({held_out}; drawn by `training.corpus.tuning_speakers`),
the rest trained on. Noise folds 1-3 for training, 4 for tuning.

| set | source | licence |
|---|---|---|
| librispeech | LibriSpeech, read audiobooks, English | CC BY 4.0 |
| dspspeech | DSPSpeech-20, isolated words, Chinese and English | MIT |
| arabic | Arabic Speech Commands, isolated words | CC BY 4.0 |
| mexican | VoiceCorpusProject, Mexican Spanish, one clip a speaker | none stated (see below) |
| noise | ESC-10, clips from Freesound | CC BY 3.0 |
| rooms | test samples of SpeechBrain | Apache 2.0 |
| turn-taking | statistics of the labels of AMI, MSDWILD | AMI CC BY 4.0; counts only |

The source of `mexican` states no licence; its clips are thought to be of Mozilla Common Voice, CC0.
Do not try to identify the speakers. The weights are offered under {licence}.

Speech labels, in training and in `simulated`, come from Silero VAD and not from people: what is
measured against them is in part agreement with that detector, and flatters it.

## Figures

Diarization error rate through the pipeline that the service runs (`python -m benchmarks.der`):

{error_rates}

Equal error rate of two seconds of speech against two seconds, same set, no speaker seen in
training (`python -m training.figures`); `tuning` are held-out train speakers, `eval` the set's own:

{equal_errors}

Speech, without look-ahead, against the labels of `simulated`: wrong in {speech_error}.

## Operating point

Tuned on simulated conversations of the held-out speakers (`python -m training.tuning_set`):

{operating_point}

## Limits

- 2.4 hours of speech by 547 people and their altered copies: very little. Most people were recorded
  once, on one device, so the vectors know recordings as well as voices.
- Read sentences and isolated words. No laughter, no whispering, no children, no singing.
- Languages are English, Chinese, Arabic and Spanish; others were not heard.
- Conversations were mixed from separate recordings. Real meetings are ten excerpts of 30 s, too
  few to say more than that it works at all.
- Of more than two voices at once it reports two. The second voice's vector is the weaker one.
- A voice vector is biometric data. The service keeps none beyond a stream unless told to.
"""
