"""Draws a run's CSV the way lmcache-tests does: pandas reads it, matplotlib draws it into one PDF.

For each `expr_id` a page of TTFT and a page of throughput by request, one line per engine; then a page of device memory by `expr_id`.
Only the ten columns that lmcache-tests has are read.

Usage: predecessor_method.py requests.csv report.pdf
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages

COLUMNS = ["expr_id", "timestamp", "engine_id", "request_id", "TTFT", "throughput", "latency", "context_len", "query_len", "gpu_memory"]


def by_request(pages: PdfPages, rows: pd.DataFrame, column: str, label: str) -> None:
    for _, experiment in rows.groupby("expr_id"):
        figure, axes = plt.subplots()
        for engine, requests in experiment.groupby("engine_id"):
            requests = requests.sort_values("request_id")
            axes.plot(requests["request_id"], requests[column], label=f"Engine {engine}")
        axes.set_title(f"Context len = {experiment['context_len'].iloc[0]}")
        axes.set_xlabel("Request")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.legend()
        pages.savefig(figure)
        plt.close(figure)


def memory(pages: PdfPages, rows: pd.DataFrame) -> None:
    first = rows.groupby("expr_id")["gpu_memory"].first().map(json.loads)
    devices = sorted({device for reading in first for device in reading})
    figure, axes = plt.subplots()
    for device in devices:
        axes.plot(first.index, [reading.get(device, 0) / 1024 for reading in first], label=device)
    axes.set_xlabel("Experiment")
    axes.set_ylabel("GPU memory (GB)")
    if devices:
        axes.legend()
    pages.savefig(figure)
    plt.close(figure)


def main(csv: str, pdf: str) -> None:
    rows = pd.read_csv(csv, usecols=COLUMNS)
    with PdfPages(pdf) as pages:
        by_request(pages, rows, "TTFT", "TTFT (s)")
        by_request(pages, rows, "throughput", "Throughput (tokens/s)")
        memory(pages, rows)


main(*sys.argv[1:])
