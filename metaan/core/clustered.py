"""Likelihood of lesions that are clustered in patients: beta-binomial within a study, its log odds eta given.

Two lesions of one patient respond with correlation rho. A patient with x of m lesions has the probability

    C(m, x) prod_{r<x} [p + rho (r - p)] prod_{r<m-x} [q + rho (r - q)] / prod_{r<m} [1 + rho (r - 1)],

p = expit(eta), q = 1 - p: the beta-binomial written so that rho = 0, the binomial, and rho = 1, a patient whose lesions
respond alike, are ordinary values. Where patients are known (`Patients`) a study's likelihood is the product. Where
only their number and the sum of their lesions are (`Totals`), patients have as equally many lesions as whole numbers
allow and the likelihood is that of the sum: the coefficient of z^X in f_m(z)^n1 f_{m+1}(z)^n2 with the generating
functions f of the two sizes. It is a Fourier integral, taken after exponential tilting that makes X the mean, so that
the coefficient keeps its relative accuracy however small it is (Daniels 1954 for the tilting).

Both give the first two derivatives in rho as well; derivatives in eta are not needed, since the marginal likelihood
has those of its normal prior.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, xlog1py

from metaan.core.clustered_totals import Log, Totals, in_chunks
from metaan.core.wls import FloatArray

__all__ = ["Block", "Clusters", "Log", "Patients", "Totals"]

IntArray = npt.NDArray[np.intp]

_FEW: Final = 127  # lesions of a study, and of a patient: below it smaller arrays would save nothing
_SMALL: Final = 15


class Block(Protocol):
    """Studies of one kind and of similar size, given their log odds."""

    @property
    def place(self) -> IntArray:
        """Positions of the studies in the meta-analysis."""

    def log_likelihood(self, which: IntArray, eta: FloatArray, rho: FloatArray, *, slopes: bool) -> Log:
        """At B points, each of the study `which` of the block; the derivatives are left at 0 unless `slopes`."""


class Clusters(NamedTuple):
    """A meta-analysis of k studies."""

    x: FloatArray
    """Lesions with the event, (k,)."""
    N: FloatArray
    """Lesions, (k,)."""
    patients: FloatArray
    """Patients, (k,)."""
    size: FloatArray
    """Mean size of the cluster that a lesion is in, sum m^2/sum m, (k,)."""
    constant: float
    """Logarithm of the product of the binomial coefficients that the likelihood has at rho = 0."""
    blocks: tuple[Block, ...]

    @classmethod
    def from_patients(cls, x: FloatArray, m: FloatArray, code: IntArray) -> Clusters:
        """From x of m lesions of each patient, with the number of its study, 0 ... k - 1."""
        k = int(code.max()) + 1
        sums = (np.bincount(code, w, k) for w in (x, m, np.ones_like(x), m * m))
        events, N, patients, squares = (np.asarray(one, dtype=np.float64) for one in sums)
        known = [(i, x[code == i], m[code == i], 0.0) for i in range(k)]
        return cls(events, N, patients, squares / N, float(_choose(m, x).sum()), _patient_blocks(known))

    @classmethod
    def from_totals(cls, x: FloatArray, N: FloatArray, patients: FloatArray) -> Clusters:
        """From the lesions of all patients of a study together, and the number of patients."""
        m = np.floor(N / patients)
        large = N - m * patients
        size = ((patients - large) * m * m + large * (m + 1) ** 2) / N
        known = [(i, *of) for i in range(x.size) if (of := _single(x[i], N[i], patients[i])) is not None]
        sums = np.setdiff1d(np.arange(x.size), np.array([i for i, *_ in known], dtype=np.intp))
        blocks = [
            Totals(index, x[index], m[index], (patients - large)[index], large[index])
            for index in _alike(sums, np.maximum(N[sums], _FEW), np.maximum(m[sums], _SMALL))
        ]
        return cls(x, N, patients, size, float(_choose(N, x).sum()), (*_patient_blocks(known), *blocks))


def _choose(n: FloatArray, x: FloatArray) -> FloatArray:
    return np.asarray(gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1))


def _single(x: float, N: float, patients: float) -> tuple[FloatArray, FloatArray, float] | None:
    """Patients one by one, and a constant, where the sum tells them: one patient, one lesion each, nothing or all."""
    if patients == N:
        one = np.ones(int(N))
        return np.where(np.arange(int(N)) < x, one, 0.0), one, float(_choose(np.array(N), np.array(x)))
    if patients > 1 and 0 < x < N:
        return None
    m = np.full(int(patients), np.floor(N / patients))
    m[: int(N - m.sum())] += 1
    return (np.array([x]) if patients == 1 else m * (x > 0)), m, 0.0


def _alike(index: IntArray, *scales: FloatArray) -> list[IntArray]:
    """Studies in groups within which every scale is the same to a factor of two."""
    keys: dict[tuple[int, ...], list[int]] = {}
    for i, *values in zip(index, *scales, strict=True):
        keys.setdefault(tuple(int(v).bit_length() for v in values), []).append(int(i))
    return [np.array(group, dtype=np.intp) for group in keys.values()]


class Patients(NamedTuple):
    """Studies of known patients: what their likelihood needs of them, arrays of shape (b,) and (R, b)."""

    place: IntArray
    hit: FloatArray
    """Patients with an event."""
    miss: FloatArray
    """Patients with a lesion without."""
    mixed: FloatArray
    """Patients with both."""
    constant: FloatArray
    events: FloatArray
    """Patients with more than r events, r = 1 ... R."""
    others: FloatArray
    """Patients with more than r lesions without."""
    lesions: FloatArray
    """Patients with more than r lesions."""

    def log_likelihood(self, which: IntArray, eta: FloatArray, rho: FloatArray, *, slopes: bool) -> Log:
        """Sum over patients of the logarithms of their probabilities."""
        return in_chunks(self._at, self.events.shape[0], which, eta, rho, slopes)

    def _at(self, which: IntArray, eta: FloatArray, rho: FloatArray, slopes: bool) -> Log:
        mixed, log_p, log_q = self.mixed[which], -np.logaddexp(0, -eta), -np.logaddexp(0, eta)
        value = self.constant[which] + self.hit[which] * log_p + self.miss[which] * log_q + xlog1py(mixed, -rho)
        r = np.arange(1.0, self.events.shape[0] + 1)[:, None]
        events, others, lesions = self.events[:, which], self.others[:, which], self.lesions[:, which]
        p, q = expit(eta), expit(-eta)
        tp, tq, te = p + rho * (r - p), q + rho * (r - q), 1 + rho * (r - 1)
        value = value + (events * np.log(tp) + others * np.log(tq) - lesions * np.log(te)).sum(axis=0)
        if not slopes:
            return Log(value, np.zeros_like(value), np.zeros_like(value))
        a, b, c = (r - p) / tp, (r - q) / tq, (r - 1) / te
        rest = np.where(mixed > 0, 1 - rho, 1.0)
        with np.errstate(divide="ignore"):
            first = (events * a + others * b - lesions * c).sum(axis=0) - mixed / rest
            second = (lesions * c * c - events * a * a - others * b * b).sum(axis=0) - mixed / (rest * rest)
        return Log(value, first, second)


def _patient_blocks(known: list[tuple[int, FloatArray, FloatArray, float]]) -> tuple[Patients, ...]:
    """Blocks of studies given by number, events and lesions of each patient, and what the constant has besides."""
    index = np.arange(len(known), dtype=np.intp)
    largest = np.array([m.max() for _, _, m, _ in known])
    return tuple(_patients([known[i] for i in group]) for group in _alike(index, np.maximum(largest, _SMALL)))


def _patients(known: list[tuple[int, FloatArray, FloatArray, float]]) -> Patients:
    r = np.arange(1.0, max(m.max() for _, _, m, _ in known))
    hit, miss, mixed = np.array([[(x > 0).sum(), (x < m).sum(), ((x > 0) & (x < m)).sum()] for _, x, m, _ in known]).T
    events, others, lesions = (
        np.stack([_exceeding(of, r) for of in part], axis=1)
        for part in zip(*((x, m - x, m) for _, x, m, _ in known), strict=True)
    )
    constant = np.array([_choose(m, x).sum() + more for _, x, m, more in known])
    return Patients(
        np.array([i for i, *_ in known], dtype=np.intp), hit.astype(np.float64), miss.astype(np.float64),
        mixed.astype(np.float64), constant, events, others, lesions,
    )  # fmt: skip


def _exceeding(values: FloatArray, r: FloatArray) -> FloatArray:
    """How many of the values are larger than each r."""
    return np.asarray(values.size - np.searchsorted(np.sort(values), r, side="right"), dtype=np.float64)
