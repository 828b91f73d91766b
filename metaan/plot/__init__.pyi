from .files import save as save
from .forest_data import forest_table as forest_table
from .forest_plot import forest as forest

__all__ = ["forest", "forest_table", "save"]
