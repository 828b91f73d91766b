"""Ten million meta-analyses from Parquet files on dask workers: throughput, memory, scaling, and one worker killed.

Data sets are drawn like those of `bench_pool.py`, 13 studies each, and written in files of 50,000 meta-analyses. They
are pooled by REML with Hartung-Knapp intervals on a `dask.distributed.LocalCluster`, one process and one thread for
each worker; the workers read and write, the client gathers nothing. Time counts from the call of `pool_many` to the
last file of results; client and workers are up and have pooled one file before. The run is then made once more and a
worker is killed with SIGKILL when half of the results are there: the results must be the same bit for bit. A random
sample of them must equal `metaan.pool` to 1e-9. ``--folder`` finds the data of an earlier run again. Processor time
tells scaling apart from what else the machine does meanwhile. A leaked semaphore that Python tells of at the end is
that of the killed worker.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import shutil
import signal
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client, LocalCluster
from side_by_side import one_thread, surroundings, write
from trials import FloatArray, bcg

import metaan

PER_FILE = 50_000
SEED = 8
OPTIONS = {"method": "REML", "test": "hk", "level": 0.95, "pi": "t"}
SAMPLE = 200
# dask tells glibc to hand freed memory back at once, so that every array is made of new pages: a quarter of the time.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 1 << 28, "MALLOC_MMAP_THRESHOLD_": 1 << 25}
CHECKED = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "pi_low", "pi_high", "k", "tau2", "I2", "H2", "Q",
    "Q_pvalue",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One pass over all files.

    Parameters
    ----------
    workers : int
    seconds : float
    per_second : float
        Meta-analyses.
    peak_mb : list of float
        Largest resident memory of each worker that was alive at the end.
    worker_cpu, client_cpu : float
        Seconds of processor time of the workers that were alive at the end, and of this process with the scheduler.
    killed : int
        Workers killed.
    sha256 : str
        Of all results.
    """

    workers: int
    seconds: float
    per_second: float
    peak_mb: list[float]
    worker_cpu: float
    client_cpu: float
    killed: int
    sha256: str


@dataclass(frozen=True)
class Sets:
    """The meta-analyses on disk: n of them, in files of `per_file`."""

    folder: Path
    n: int
    per_file: int

    @property
    def files(self) -> int:
        """Number of files."""
        return -(-self.n // self.per_file)

    def path(self, i: int) -> Path:
        """The i-th of them."""
        return self.folder / f"part.{i:04d}.parquet"


def written(folder: Path, n: int) -> Sets:
    """Write the files that are not there yet; each has a seed of its own."""
    sets = Sets(folder / "studies", n, min(PER_FILE, -(-n // 8)))
    made = {"n": n, "per_file": sets.per_file, "seed": SEED}
    note = folder / "made.json"
    found = json.loads(note.read_text()) if note.exists() else None
    if found != made and folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} has other data: {found or 'not from here'}. Give another --folder.")
    sets.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(made))
    yi, vi = bcg()
    tau2 = metaan.pool(metaan.effects(yi, vi), method="REML").tau2
    for i in range(sets.files):
        if not sets.path(i).exists():
            table = drawn(i, min(sets.per_file, n - i * sets.per_file), sets.per_file, (float(yi.mean()), tau2), vi)
            part = folder / "unfinished"
            pq.write_table(table, part, compression="none", use_dictionary=["analysis"])
            part.rename(sets.path(i))
    return sets


def drawn(i: int, count: int, per_file: int, law: tuple[float, float], vi: FloatArray) -> pa.Table:
    """The studies of one file: a row for each, with the number of its meta-analysis."""
    rng = np.random.default_rng([SEED, i])
    v = vi * np.exp(rng.normal(0, 0.2, (count, vi.size)))
    y = rng.normal(law[0], np.sqrt(v + law[1]))
    analysis = np.repeat(np.arange(count) + i * per_file, vi.size)
    return pa.table({"analysis": analysis, "yi": y.ravel(), "vi": v.ravel()})


def ready(path: Path) -> None:
    """What each process does before the clock starts: import, compile or load kernels, by pooling one file alone."""
    with tempfile.TemporaryDirectory() as out, dask.config.set(scheduler="synchronous"):
        pooled(path, Path(out)).compute()


def pooled(path: Path, out: Path) -> Any:
    """The job: read, pool, write."""
    table = metaan.pool_many("yi", "vi", data=path, by="analysis", **OPTIONS)
    return table.to_parquet(out, write_index=False, compute=False, use_dictionary=["notes"])


def peak() -> float:
    """Largest resident memory of this process in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def run(sets: Sets, out: Path, workers: int, memory: str, kill: bool = False) -> Run:
    """Pool everything on so many workers, results in a folder."""
    shutil.rmtree(out, ignore_errors=True)
    size = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "memory_limit": memory}
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()})
    with LocalCluster(**size, dashboard_address=None, silence_logs=logging.ERROR) as cluster, Client(cluster) as client:
        client.run(ready, sets.path(0))
        pids, before = client.run(os.getpid), client.run(time.process_time)
        start, own = time.perf_counter(), time.process_time()
        job = client.compute(pooled(sets.folder, out))
        if kill:
            half(out, sets.files, job)
            os.kill(next(iter(pids.values())), signal.SIGKILL)
        job.result()
        seconds, own = time.perf_counter() - start, time.process_time() - own
        after = client.run(time.process_time)
        peaks = [round(value, 1) for value in client.run(peak).values()]
        killed = len(set(pids.values()) - set(client.run(os.getpid).values()))
    if killed != kill:
        raise SystemExit(f"{killed} workers died, {int(kill)} was killed.")
    cpu = sum(after[worker] - before.get(worker, 0.0) for worker in after)
    return Run(workers, seconds, sets.n / seconds, peaks, cpu, own, killed, fingerprint(out, sets))


def half(out: Path, parts: int, job: Any) -> None:
    """Wait until half of the results are there."""
    while len(list(out.glob("*.parquet"))) < parts / 2:
        if job.done():
            raise SystemExit("The run was over before a worker could be killed: take a larger --n.")
        time.sleep(0.01)


def fingerprint(out: Path, sets: Sets) -> str:
    """SHA-256 of all columns, file by file; every meta-analysis must be there once."""
    found, seen = hashlib.sha256(), np.zeros(sets.n, dtype=bool)
    for path in sorted(out.glob("*.parquet"), key=lambda p: int(p.name.split(".")[1])):
        table = pq.read_table(path)
        analysis = table["analysis"].to_numpy()
        if seen[analysis].any() or np.unique(analysis).size != analysis.size:
            raise SystemExit(f"{path} has a meta-analysis that came before.")
        seen[analysis] = True
        for name in table.column_names:
            values = table[name]
            text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            found.update("\n".join(values.to_pylist()).encode() if text else values.to_numpy().tobytes())
    if not seen.all():
        raise SystemExit(f"{int((~seen).sum())} meta-analyses have no result.")
    return found.hexdigest()


def check(sets: Sets, out: Path) -> float:
    """Largest relative difference of a random sample from `metaan.pool`; stops beyond 1e-9."""
    chosen = np.sort(np.random.default_rng(SEED).choice(sets.n, min(SAMPLE, sets.n), replace=False))
    results = pq.read_table(out, filters=[("analysis", "in", chosen.tolist())]).to_pandas().set_index("analysis")
    worst = 0.0
    for analysis in chosen.tolist():
        studies = pq.read_table(sets.path(analysis // sets.per_file), filters=[("analysis", "=", analysis)])
        one = metaan.pool(metaan.effects(studies["yi"].to_numpy(), studies["vi"].to_numpy()), **OPTIONS)
        row = results.loc[analysis]
        if sorted(filter(None, row["notes"].split(","))) != sorted({note.code for note in one.notes}):
            raise SystemExit(f"Meta-analysis {analysis} has other notes: {row['notes']!r}.")
        want = np.array([getattr(one, name) for name in CHECKED], dtype=float)
        apart = np.abs(row[list(CHECKED)].to_numpy(dtype=float) - want) / np.maximum(np.abs(want), 1e-3)
        worst = max(worst, float(apart.max()))
    if not worst <= 1e-9:
        raise SystemExit(f"A sample of results is {worst:.2g} from metaan.pool.")
    return worst


def told(made: Run, what: str) -> None:
    peaks = ", ".join(f"{value:.0f}" for value in made.peak_mb)
    cpu = f"{made.worker_cpu:.1f} s, {made.client_cpu:.1f} s"
    print(f"{what:24}{made.seconds:8.1f} s{made.per_second:12,.0f} /s  {cpu:>18}  {peaks:>10} MB", flush=True)


def median(runs: list[Run], workers: int, field: str) -> float:
    return statistics.median(getattr(made, field) for made in runs if made.workers == workers)


def measured(sets: Sets, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All runs, in turns, then the one with a worker killed; and what they come to."""
    runs: list[Run] = []
    out = folder / "results"
    ready(sets.path(0))
    print(f"\n{'':24}{'time':>10}{'sets':>15}  {'processor: workers,':>18}  {'peak memory':>13}")
    print(f"{'':24}{'':10}{'':15}  {'client, scheduler':>18}  {'of workers':>13}")
    for _ in range(arguments.rounds):
        for workers in (1, 2):
            runs.append(run(sets, out, workers, arguments.memory))
            told(runs[-1], f"{workers} worker{'s' * (workers > 1)}")
    efficiency = median(runs, 1, "seconds") / (2 * median(runs, 2, "seconds"))
    by_cpu = median(runs, 1, "worker_cpu") / median(runs, 2, "worker_cpu")
    if not arguments.no_kill:
        runs.append(run(sets, out, 2, arguments.memory, kill=True))
        told(runs[-1], "2 workers, one killed")
    if len({made.sha256 for made in runs}) > 1:
        raise SystemExit("The runs have different results.")
    worst = check(sets, out)
    print(f"scaling efficiency t1 / (2 t2): {efficiency:.2f}; by processor time of workers {by_cpu:.2f}")
    print(f"results of all {len(runs)} runs the same, SHA-256 {runs[0].sha256[:16]}")
    print(f"{min(SAMPLE, sets.n)} of them within {worst:.1e} of metaan.pool, notes the same")
    return {
        "runs": [asdict(made) for made in runs],
        "efficiency": efficiency,
        "efficiency_by_cpu": by_cpu,
        "from_pool": worst,
    }


def emptied(folder: Path) -> None:
    """Take away what was written, and the folder if nothing else is in it."""
    for name in ("studies", "results"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("made.json", "unfinished"):
        (folder / name).unlink(missing_ok=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000_000, help="meta-analyses (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="times that 1 and 2 workers take turns")
    parser.add_argument("--memory", default="1GB", help="limit of each worker (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="where data are written, and found again (default: a temporary one)"
    )
    parser.add_argument("--keep", action="store_true", help="leave data and results in the folder")
    parser.add_argument("--no-kill", action="store_true", help="leave out the run in which a worker is killed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE")
    arguments = parser.parse_args()
    found = surroundings("metaan", "numpy", "scipy", "pandas", "numba", "dask", "distributed", "pyarrow")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="metaan-scale-"))
    print(
        f"METAAN_FAST {os.environ.get('METAAN_FAST', 'not set')}, {arguments.memory} a worker, {OPTIONS}, in {folder}"
    )
    start = time.perf_counter()
    sets = written(folder, arguments.n)
    try:
        size = sum(sets.path(i).stat().st_size for i in range(sets.files))
        print(f"{sets.n:,} meta-analyses, {sets.n * bcg()[0].size:,} rows in {sets.files} files, {size / 1e9:.2f} GB,")
        print(f"written or found in {time.perf_counter() - start:.1f} s")
        result = measured(sets, folder, arguments)
    finally:
        if not arguments.keep:
            emptied(folder)
    write(arguments.json, surroundings=found, n=arguments.n, options=OPTIONS, memory=arguments.memory, **result)


if __name__ == "__main__":
    one_thread()
    main()
