#!/usr/bin/env python3
"""The event file that src/training/trainer/metrics_sinks_test.cc expects, by TensorBoard's own writer, and read back by its
reader. Usage: make_golden.py, with the tensorboard package installed.
"""

import math
import pathlib

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

HERE = pathlib.Path(__file__).parent
START = 1_700_000_000.75
FIGURES = [
    ("train/loss", 1, 2.5),
    ('train/"lr"', 1, 3e-4),
    ("train/loss", 300, math.nan),
    ("eval/loss", 300, 0.125),
]


def main() -> None:
    path = HERE / "events.out.tfevents.0"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        first = event_pb2.Event(wall_time=START, file_version="brain.Event:2")
        writer.write(first.SerializeToString())
        for number, (tag, step, value) in enumerate(FIGURES, 1):
            summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
            event = event_pb2.Event(wall_time=START + 0.5 * number, step=step, summary=summary)
            writer.write(event.SerializeToString())
    reader = EventAccumulator(str(HERE))
    reader.Reload()
    read = {(tag, event.step): event.value for tag in reader.Tags()["scalars"] for event in reader.Scalars(tag)}
    assert len(read) == len(FIGURES) and read["eval/loss", 300] == 0.125, read


if __name__ == "__main__":
    main()
