"""Sphinx: the pages of this folder, the gallery of examples/ and the reference of every public name."""

import os
import sys
from pathlib import Path

import matplotlib as mpl
from numpydoc.xref import DEFAULT_LINKS

import metaan

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # for the modules of this folder
DEFAULT_LINKS.clear()  # of numpydoc, to the types of Python and numpy: no inventory of theirs is at hand
mpl.use("Agg")
os.environ.pop("MPLBACKEND", None)  # the kernel of the tutorial has its own

project = "metaan"
author = "The metaan developers"
copyright = author  # the name that Sphinx wants
version = release = metaan.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "myst_nb",
    "gallery_hooks",
    "repository_links",
    "site_docstrings",
    "site_names",
]
exclude_patterns = ["_build", "examples/output", "examples/gallery/output", "examples/**.ipynb", "examples/**.py"]
templates_path = ["_templates"]
suppress_warnings = ["mystnb.unknown_mime_type"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autodoc_typehints = "none"  # types and shapes stand in the docstrings
default_role = "py:obj"
smartquotes = False  # 'allowed values' are to be copied
autosummary_generate = True
autosummary_filename_map = {"metaan.Effects": "metaan.Effects-record"}  # apart from effects where case does not count
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # link the types of this package and nothing else
numpydoc_xref_aliases = {name: f"metaan.{name}" for name in metaan.__all__ if name[0].isupper()} | {
    name: f"metaan.errors.{name}" for name in metaan.errors.__all__ if name[0].isupper()
}
numpydoc_xref_aliases |= {  # what results hold and functions return: docs/api/parts.md
    "Convergence": "metaan.models.results.Convergence",
    "GlmmRegressResult": "metaan.models.glmm_regress_result.GlmmRegressResult",
    "Heterogeneity": "metaan.models.results.Heterogeneity",
    "Spec": "metaan.models.results.Spec",
    "TestResult": "metaan.analysis.test_result.TestResult",
}
bibtex_bibfiles = sorted(file.name for file in HERE.glob("*.bib"))
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery_hooks.figures",),
    "reset_argv": "gallery_hooks.as_script",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_signature": False,
    "default_thumb_file": str(HERE / "figures" / "forests.png"),
    "notebook_extensions": set(),  # the examples are scripts: they write beside their file
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

html_theme = "pydata_sphinx_theme"
html_title = "metaan"
html_static_path = ["_static"]
html_css_files = ["metaan.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
}
