from .baujat_plot import baujat as baujat
from .baujat_plot import baujat_table as baujat_table
from .bubble_data import bubble_table as bubble_table
from .bubble_plot import bubble as bubble
from .categories_plot import categories as categories
from .categories_plot import categories_table as categories_table
from .comparison_plot import comparison as comparison
from .comparison_plot import comparison_table as comparison_table
from .cumulative_plot import cumulative as cumulative
from .cumulative_plot import cumulative_table as cumulative_table
from .doi_plot import doi as doi
from .doi_plot import doi_table as doi_table
from .drapery_plot import drapery as drapery
from .drapery_plot import drapery_table as drapery_table
from .evidence_map_plot import evidence_map as evidence_map
from .evidence_map_plot import evidence_map_table as evidence_map_table
from .files import save as save
from .forest_data import forest_table as forest_table
from .forest_plot import forest as forest
from .forests_plot import forests as forests
from .forests_plot import forests_table as forests_table
from .funnel_data import funnel_table as funnel_table
from .funnel_plot import funnel as funnel
from .gosh_data import gosh_table as gosh_table
from .gosh_plot import gosh as gosh
from .html import to_html as to_html
from .influence_plot import influence as influence
from .influence_plot import influence_table as influence_table
from .labbe_plot import labbe as labbe
from .labbe_plot import labbe_table as labbe_table
from .multiverse_plot import multiverse as multiverse
from .multiverse_plot import multiverse_table as multiverse_table
from .panel import alt_text as alt_text
from .prior_posterior_plot import prior_posterior as prior_posterior
from .prior_posterior_plot import prior_posterior_table as prior_posterior_table
from .profile_plot import profile as profile
from .profile_plot import profile_table as profile_table
from .qq_plot import qq as qq
from .qq_plot import qq_table as qq_table
from .radial_plot import radial as radial
from .radial_plot import radial_table as radial_table
from .timeline_plot import timeline as timeline
from .timeline_plot import timeline_table as timeline_table

__all__ = [
    "alt_text",
    "baujat",
    "baujat_table",
    "bubble",
    "bubble_table",
    "categories",
    "categories_table",
    "comparison",
    "comparison_table",
    "cumulative",
    "cumulative_table",
    "doi",
    "doi_table",
    "drapery",
    "drapery_table",
    "evidence_map",
    "evidence_map_table",
    "forest",
    "forest_table",
    "forests",
    "forests_table",
    "funnel",
    "funnel_table",
    "gosh",
    "gosh_table",
    "influence",
    "influence_table",
    "labbe",
    "labbe_table",
    "multiverse",
    "multiverse_table",
    "prior_posterior",
    "prior_posterior_table",
    "profile",
    "profile_table",
    "qq",
    "qq_table",
    "radial",
    "radial_table",
    "save",
    "timeline",
    "timeline_table",
    "to_html",
]
