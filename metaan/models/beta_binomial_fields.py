"""What beta-binomial fits with and without moderators share: measures of fit and notes about rho."""

from __future__ import annotations

import math
from typing import Any

from scipy.special import ndtr

from metaan.core.beta_binomial_fit import BetaBinomialFit
from metaan.errors import Note

__all__ = ["likelihood_fields", "rho_notes"]


def likelihood_fields(found: BetaBinomialFit, k: int, parameters: int) -> dict[str, Any]:
    """Log-likelihood, information criteria and the test of rho = 0 of one fit."""
    loglik, common = float(found.loglik[0]), float(found.loglik_common[0])
    lrt = max(0.0, 2 * (loglik - common)) if found.rho[0] > 0 else 0.0
    aic, left = 2 * parameters - 2 * loglik, k - parameters - 1
    return {
        "loglik": loglik, "loglik_common": common, "aic": aic,
        "aicc": aic + 2 * parameters * (parameters + 1) / left if left > 0 else math.nan,
        "bic": parameters * math.log(k) - 2 * loglik,
        "lrt": lrt, "lrt_pvalue": float(ndtr(-math.sqrt(lrt))) if lrt > 0 else 1.0,
    }  # fmt: skip


def rho_notes(k: int, found: BetaBinomialFit, at_zero: str) -> list[Note]:
    """Rho on a bound or unknown, several maxima, a search without end."""
    notes: list[Note] = []
    if k == 1:
        notes.append(Note("one-study", "One study: rho cannot be estimated and is set to 0."))
    elif found.rho[0] == 1:
        text = (
            "Every study is at 0 or n: the likelihood is highest, a limit, as rho goes to 1. rho is estimated as 1, "
            "and each study counts as one observation."
        )
        notes.append(Note("rho-one", text))
    elif not found.identified[0]:
        notes.append(Note("rho-not-identified", "rho cannot be estimated from single observations and is set to 0."))
    elif found.rho[0] == 0:
        notes.append(Note("rho-zero", f"rho is estimated as 0: {at_zero}."))
    if found.maxima[0] > 1:
        notes.append(Note("two-maxima", f"The likelihood has {found.maxima[0]} local maxima; the highest was taken."))
    if not found.converged[0]:
        notes.append(Note("not-converged", "The search stopped before the estimate settled; treat it as approximate."))
    return notes
