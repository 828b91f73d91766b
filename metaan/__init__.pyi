from . import errors as errors
from . import plot as plot
from .evidence.catalogue import catalogue as catalogue
from .evidence.denominators import denominators as denominators
from .evidence.explain import explain as explain
from .evidence.load import load as load
from .evidence.overlap import overlaps as overlaps
from .evidence.published import published as published
from .evidence.units import design_effect as design_effect
from .measures.intervals import rate_interval as rate_interval
from .measures.proportion import effect_size as effect_size
from .measures.record import Effects as Effects
from .measures.record import effects as effects
from .models.glmm import glmm as glmm
from .models.icc import icc_sensitivity as icc_sensitivity
from .models.intervals import Tau2Interval as Tau2Interval
from .models.intervals import tau2_interval as tau2_interval
from .models.pool import pool as pool
from .models.results import GlmmResult as GlmmResult
from .models.results import PoolResult as PoolResult
from .plot import forest_table as forest_table

__version__: str
