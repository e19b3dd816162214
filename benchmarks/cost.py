"""What streams cost, from the density that was measured.

    python -m benchmarks.cost [--density FILE] [--price DOLLARS] [--users 10000 100000 1000000]
        [--headroom 0.7] [--json PATH]

Streams for a vCPU, in each latency mode, by the largest number that held on the machine that was
measured, its load generator included; and from it pods of two vCPUs and their price for so many
people who speak at the same time. The price is that of a vCPU-hour: an assumption, not a
measurement. The default is the list price of a vCPU of GKE's E2 nodes in us-central1 on demand; an
hour of a node also has memory, which is counted at the list price of a gigabyte. Neither network,
nor disks, nor the cluster's fee, nor discounts are in it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.arguments import count
from benchmarks.parts import OUT
from voiceflow.artifact import LatencyMode

NAME: Final = "cost"
VCPU_HOUR_DOLLARS: Final = 0.021811
GIGABYTE_HOUR_DOLLARS: Final = 0.002923
PRICE_SOURCE: Final = "https://cloud.google.com/compute/vm-instance-pricing (E2, us-central1)"
"""List price of E2 on demand, per vCPU and per gigabyte of memory."""

USERS: Final = (10_000, 100_000, 1_000_000)
HEADROOM: Final = 0.7
"""Of the largest number that held, so many are given to a pod: the rest is for its worst minute."""

POD_VCPUS: Final = 2
POD_GIGABYTES: Final = 2.0


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of a machine costs, in dollars."""

    vcpu_hour: float = VCPU_HOUR_DOLLARS
    gigabyte_hour: float = GIGABYTE_HOUR_DOLLARS

    @property
    def pod_hour(self) -> float:
        """Of a pod."""
        return POD_VCPUS * self.vcpu_hour + POD_GIGABYTES * self.gigabyte_hour


@dataclass(frozen=True, slots=True)
class Cost:
    """Of so many streams at the same time.

    Attributes:
        users: Who speak at the same time.
        pods: Of two vCPUs.
        dollars_per_hour: Of all of them.
        dollars_per_stream_hour: Of one stream.
    """

    users: int
    pods: int
    dollars_per_hour: float
    dollars_per_stream_hour: float


def costs(held: float, users: Sequence[int], price: Price, headroom: float) -> list[Cost]:
    """The table.

    Args:
        held: Streams for a vCPU.
        users: A row for each.
        price: Of a machine.
        headroom: Of what held, so much is used.
    """
    pod_streams = math.floor(held * POD_VCPUS * headroom)
    if pod_streams < 1:
        return []
    found = []
    for number in users:
        pods = math.ceil(number / pod_streams)
        hour = pods * price.pod_hour
        found.append(Cost(number, pods, round(hour, 2), round(hour / number, 6)))
    return found


def streams_per_vcpu(density: Mapping[str, Any], mode: LatencyMode) -> float:
    """That held, of what `benchmarks.density` has written; the median of its runs."""
    largest = [run[mode.value]["largest"] for run in density["runs"]]
    return float(statistics.median(largest)) / int(density["cores"])


def document(
    density: Mapping[str, Any], users: Sequence[int], price: Price, headroom: float
) -> dict[str, Any]:
    """What is written."""
    modes = {}
    for mode in LatencyMode:
        held = streams_per_vcpu(density, mode)
        rows = [asdict(one) for one in costs(held, users, price, headroom)]
        modes[mode.value] = {"streams_per_vcpu": round(held, 1), "costs": rows}
    return {
        "part": NAME,
        "provenance": density["provenance"],
        "models": density["models"],
        "stand_in": density["stand_in"],
        "scale": density["scale"],
        "settings": density["settings"],
        "price": asdict(price) | {"source": PRICE_SOURCE if price == Price() else "as given"},
        "headroom": headroom,
        "pod": {"vcpus": POD_VCPUS, "gigabytes": POD_GIGABYTES},
        "runs": [modes],
    }


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--density", type=Path, default=OUT / "density.json")
    parser.add_argument("--price", type=float, default=VCPU_HOUR_DOLLARS, help="of a vCPU-hour")
    parser.add_argument("--memory-price", type=float, default=GIGABYTE_HOUR_DOLLARS)
    parser.add_argument("--users", type=count, nargs="+", default=list(USERS))
    parser.add_argument("--headroom", type=float, default=HEADROOM)
    parser.add_argument("--json", type=Path, default=OUT / f"{NAME}.json")
    arguments = parser.parse_args()
    if not arguments.density.exists():
        sys.exit(f"{arguments.density} is not there: python -m benchmarks.density writes it")
    density = json.loads(arguments.density.read_text("utf-8"))
    price = Price(arguments.price, arguments.memory_price)
    told = document(density, arguments.users, price, arguments.headroom)
    arguments.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    print(f"{arguments.json} is written")


if __name__ == "__main__":
    main()
