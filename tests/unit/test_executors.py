"""Who does the work changes no number: none, threads, processes, loky, dask."""

import pickle
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.analysis import executors
from metaan.analysis.executors import in_tasks, task_rng, tasks
from metaan.errors import ConvergenceError, DataError, InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch):
    """Several tasks for few draws."""
    for module in ("bootstrap", "permutation", "criticism"):
        monkeypatch.setattr(f"metaan.analysis.{module}.tasks", lambda n, size=40: tasks(n, min(size, 41)))


def effects(k=8, seed=1):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 0.3, k)
    return metaan.effects("y", "v", data=pd.DataFrame({"y": rng.normal(0.3, 0.6, k), "v": v, "x": np.arange(k) % 5}))


def trials():
    return pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})


def of_counts(executor):
    res = metaan.glmm("PLO", trials(), events="events", total="total")
    check = metaan.predictive_check(res, "W", n=130, executor=executor)
    return np.vstack([metaan.bootstrap(res, n=130, executor=executor).replicates[:, 0], check.simulated.ravel()])


def bootstrapped(executor):
    res = metaan.pool(effects(), test="z")
    return np.vstack(
        [
            metaan.bootstrap(res, n=130, kind=kind, executor=executor).replicates
            for kind in ("parametric", "nonparametric")
        ]
    )


def permuted(executor):
    eff = effects(k=12)
    mean = metaan.permutation_test(metaan.pool(eff, test="z"), n=130, exact=False, interval=True, executor=executor)
    slope = metaan.permutation_test(metaan.regress(eff, "~ x", test="z"), n=130, exact=False, executor=executor)
    return np.concatenate([mean.statistics.ravel(), [mean.ci_low, mean.ci_high], slope.statistics.ravel()])


def exact(executor):
    res = metaan.pool(effects(k=9), test="z")
    return metaan.permutation_test(res, exact=True, executor=executor).statistics


def checked(executor):
    res = metaan.pool(effects(), test="z")
    check = metaan.predictive_check(res, n=130, executor=executor)
    normal = metaan.normality_check(res, n=130, executor=executor)
    return np.concatenate([check.simulated.ravel(), check.pvalue, [normal.statistic, normal.pvalue]])


def of_choices(executor):
    found = metaan.multiverse(trials(), measures=["PLO", "PAS"], methods=["REML", "DL"], executor=executor).to_frame()
    return found.select_dtypes("number").to_numpy()


WORK = (bootstrapped, of_counts, permuted, exact, checked, of_choices)


@pytest.mark.parametrize("work", WORK, ids=lambda f: f.__name__)
@pytest.mark.parametrize("workers", [1, 3])
def test_threads_give_the_same_numbers(work, workers):
    with ThreadPoolExecutor(workers) as pool:
        np.testing.assert_array_equal(work(pool), work(None))


@pytest.mark.parametrize("work", WORK, ids=lambda f: f.__name__)
def test_processes_give_the_same_numbers(processes, work):
    np.testing.assert_array_equal(work(processes), work(None))


@pytest.mark.slow
def test_loky_dask_and_mpi_give_the_same_numbers():
    loky = pytest.importorskip("loky")
    distributed = pytest.importorskip("distributed")
    want = bootstrapped(None)
    np.testing.assert_array_equal(bootstrapped(loky.get_reusable_executor(2)), want)
    size = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**size) as cluster, distributed.Client(cluster) as client:
        np.testing.assert_array_equal(bootstrapped(client.get_executor()), want)


def test_the_first_task_has_the_seed_itself_and_others_streams_of_their_own():
    np.testing.assert_array_equal(task_rng(7, 0).random(5), np.random.default_rng(7).random(5))
    drawn = np.array([task_rng(7, i).random(50) for i in range(4)])
    assert np.unique(drawn).size == drawn.size
    assert (task_rng(8, 1).random(5) != task_rng(7, 1).random(5)).all()


def test_tasks_cover_every_draw_once():
    for n in (1, 5, 10, 11):
        assert np.concatenate([np.arange(n)[part] for part in tasks(n, 5)]).tolist() == list(range(n))
    assert executors.TASK == 10_000


def failing(i):
    if i == 2:
        raise DataError("study 'Adams' has none")
    return i


def test_errors_come_back_as_they_were_raised(processes):
    for pool in (None, processes):
        with pytest.raises(DataError, match="study 'Adams' has none"):
            in_tasks(failing, [(i,) for i in range(5)], pool)
    for error in (OptionError("a"), InputError("b"), DataError("c")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert again.args == error.args
    assert pickle.loads(pickle.dumps(ConvergenceError("d", last=3))).last == 3


@pytest.mark.parametrize("executor", [4, "threads", ThreadPoolExecutor, map])
def test_what_is_no_executor_is_refused(executor):
    assert not isinstance(executor, Executor)
    res = metaan.pool(effects(), test="z")
    for call in (metaan.bootstrap, metaan.permutation_test, metaan.predictive_check, metaan.normality_check):
        with pytest.raises(InputError, match=r"concurrent\.futures\.Executor"):
            call(res, executor=executor)
    with pytest.raises(InputError, match=r"concurrent\.futures\.Executor"):
        metaan.multiverse(trials(), executor=executor)
