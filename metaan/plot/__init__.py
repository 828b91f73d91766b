"""Figures on seaborn and matplotlib, each with the table that it draws; loaded on first use."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
