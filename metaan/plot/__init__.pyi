from .files import save as save
from .forest_data import forest_table as forest_table
from .forest_plot import forest as forest
from .multiverse_plot import multiverse as multiverse
from .multiverse_plot import multiverse_table as multiverse_table
from .panel import alt_text as alt_text

__all__ = [
    "alt_text",
    "forest",
    "forest_table",
    "multiverse",
    "multiverse_table",
    "save",
]
