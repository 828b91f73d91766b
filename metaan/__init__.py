"""metaan: meta-analysis of study-level response data.

Public names are loaded on first use, so that ``import metaan`` costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

del lazy_loader
