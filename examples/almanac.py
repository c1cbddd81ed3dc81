"""An almanac of real data files: one child run per file, each a Job of its own with memory to match the file.

On a laptop, with nothing else running:      python examples/almanac.py
In a cluster, as resources:                  kubectl apply -f examples/almanac.yaml

The files are those of the `vega_datasets` package (`pip install -e '.[examples]'`): Seattle's weather, San Francisco's
hourly temperatures, share prices, American airports, Iowa's electricity.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from towpath import flow, runtime, task

Row = dict[str, str]


class Finding(TypedDict):
    """What the study of one file says."""

    file: str
    rows: int
    columns: int
    headline: str


def data_folder() -> Path:
    """Find the data files without importing the package, which would load pandas."""
    package = find_spec("vega_datasets")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("The examples read the data files of vega_datasets: pip install 'towpath[examples]'.")
    return Path(package.submodule_search_locations[0]) / "_data"


@task(retries=3, retry_delay_seconds=0.2)
def read(file: str) -> str:
    """Read a file from a store that drops every first connection, as a busy one does now and then."""
    if runtime.task_run.run_count == 1:
        raise ConnectionResetError(f"The store dropped the connection while sending {file!r}.")
    return (data_folder() / file).read_text(encoding="utf-8")


@task
def parse(text: str) -> list[Row]:
    """Split CSV text into rows."""
    return list(csv.DictReader(io.StringIO(text)))


def wettest_month(rows: list[Row]) -> str:
    """Say which month of which year had the most rain."""
    rain: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        rain[row["date"][:7]] += float(row["precipitation"])
    month, most = max(rain.items(), key=lambda item: item[1])
    return f"wettest month {date(int(month[:4]), int(month[5:]), 1):%B %Y}: {most:.0f} mm of rain"


def warmest_hour(rows: list[Row]) -> str:
    """Say which hour of the day is the warmest, and how much so than the coldest."""
    by_hour: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_hour[int(row["date"][11:13])].append(float(row["temp"]))
    means = {hour: fmean(values) for hour, values in by_hour.items()}
    warm, cold = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return f"warmest at {warm}:00, {means[warm] - means[cold]:.1f} °F above {cold}:00"


def best_share(rows: list[Row]) -> str:
    """Say which share gained most between its first and last price."""
    prices: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        prices[row["symbol"]].append(float(row["price"]))
    gains = {symbol: series[-1] / series[0] for symbol, series in prices.items()}
    best = max(gains, key=gains.__getitem__)
    return f"{best} grew {gains[best]:.1f}-fold, the most of {len(gains)} shares"


def most_airports(rows: list[Row]) -> str:
    """Say which state has the most airports."""
    state, count = Counter(row["state"] for row in rows).most_common(1)[0]
    return f"{state} has the most airports: {count} of {len(rows)}"


def renewable_share(rows: list[Row]) -> str:
    """Say how the share of renewables changed from the first to the last year."""
    by_year: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        by_year[row["year"][:4]][row["source"]] = float(row["net_generation"])
    first, last = min(by_year), max(by_year)
    share = {year: by_year[year]["Renewables"] / sum(by_year[year].values()) for year in (first, last)}
    return f"renewables went from {share[first]:.0%} in {first} to {share[last]:.0%} in {last}"


HEADLINES: dict[str, Callable[[list[Row]], str]] = {
    "seattle-weather.csv": wettest_month,
    "sf-temps.csv": warmest_hour,
    "stocks.csv": best_share,
    "airports.csv": most_airports,
    "iowa-electricity.csv": renewable_share,
}


@task
def headline(file: str, rows: list[Row]) -> str:
    """Find the one thing to say about a file; of one we know nothing about, name its columns."""
    finder = HEADLINES.get(file)
    return finder(rows) if finder else "columns: " + ", ".join(rows[0])


@flow(log_prints=True)
def study(file: str) -> Finding:
    """Read one file and say what is in it."""
    rows = parse(read(file))
    print(f"{file}: {len(rows)} rows")
    return {"file": file, "rows": len(rows), "columns": len(rows[0]), "headline": headline(file, rows)}


def memory_for(file: str) -> dict[str, dict[str, str]]:
    """Ask for memory to match the file: parsed rows take about twenty times the bytes of their text."""
    mebibytes = 64 + 20 * (data_folder() / file).stat().st_size // 2**20
    return {"requests": {"memory": f"{mebibytes}Mi"}}


def as_table(findings: list[Finding]) -> str:
    """Lay the findings out for reading."""
    width = max(len(finding["file"]) for finding in findings)
    lines = [f"{'file':{width}}  {'rows':>6}  {'columns':>7}  what it says"]
    lines += [f"{f['file']:{width}}  {f['rows']:>6}  {f['columns']:>7}  {f['headline']}" for f in findings]
    return "\n".join(lines)


@flow(log_prints=True)
def almanac(files: list[str] | None = None) -> str:
    """Study each file in a run of its own, all at once, and put what they say into one table."""
    chosen = files or list(HEADLINES)
    studies = [study.with_options(resources=memory_for(file)).submit(file) for file in chosen]
    table = as_table([future.result() for future in studies])
    print(table)
    return table


if __name__ == "__main__":
    almanac()
