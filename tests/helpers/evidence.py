"""Loading without the refusal of studies that share patients, for tests of everything else."""

import warnings

import metaan
from metaan.errors import OverlapWarning


def load_keeping(name, **options):
    """`metaan.load` with every study kept and no warning about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        return metaan.load(name, **{"overlaps": "keep"} | options)
