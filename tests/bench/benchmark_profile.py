"""Where the time of a training pass goes: the answer to what holds the rest of the chip's rate."""

from collections.abc import Callable

import torch
from benchmark_tools import Row, Settings, seconds
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

SHOWN = 7


def where(settings: Settings, work: Callable[[], None]) -> list[Row]:
    """Operations that take most of the time, and on a GPU the share of the wall time in which it computes."""
    work()
    wall = seconds(work, settings.device)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * settings.gpu
    with profile(activities=kinds) as found:
        work()
        if settings.gpu:
            torch.cuda.synchronize()
    events = found.key_averages()
    times = {event.key: _own(event, settings) for event in events if event.device_type == DeviceType.CPU}
    total = sum(times.values()) or 1.0
    most = sorted(times, key=lambda name: -times[name])[:SHOWN]
    words = ", ".join(f"{name.removeprefix('aten::')} {times[name] / total:.0%}" for name in most)
    rows = [Row(number="1", what="where a pass's time goes (torch.profiler)", measured=words, n="1 pass")]
    if settings.gpu:
        busy = sum(event.self_device_time_total for event in events if event.device_type == DeviceType.CUDA) / 1e6
        rows.append(
            Row(
                number="1",
                what="kernels' time / wall time of an unprofiled pass",
                measured=f"{busy / wall:.2f}",
                n="1 pass",
            )
        )
    return rows


def _own(event: torch.autograd.profiler_util.FunctionEventAvg, settings: Settings) -> float:
    return float(event.self_device_time_total if settings.gpu else event.self_cpu_time_total)
