"""A result with all that a reader asks about it, as one page of HTML or Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from metaan.analysis.multiverse_result import MultiverseResult
from metaan.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from metaan.analysis.subgroup_result import SubgroupResult
    from metaan.models.bayes_result import BayesResult
    from metaan.models.regress_result import RegressResult
    from metaan.models.results import PoolResult

__all__ = ["report"]

_HTML: Final = (".html", ".htm")
_MARKDOWN: Final = (".md", ".markdown")


def report(
    res_or_trials: PoolResult | RegressResult | SubgroupResult | BayesResult | pd.DataFrame | Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    question: str | None = None,
    sections: str | Sequence[str] | None = None,
    level: float | None = None,
    multiverse: bool | MultiverseResult = True,
    figures: bool | None = None,
) -> Path:
    """Report of a meta-analysis: question, data with sources, methods, result, checks, limitations, code.

    Parameters
    ----------
    res_or_trials : result, dict or pandas.DataFrame
        What `metaan.pool`, `glmm`, `beta_binomial`, `clustered_binomial`, `mantel_haenszel`, `peto`, `multilevel` (of a
        mean alone), `robust`, `subgroups` or `bayes` returned, on either scale; a dict of several such results of the
        same studies, whose first one is checked; or a table of trials, e.g. from `metaan.load`: columns events, total
        and study (then ``glmm("PLO", ...)`` is fitted), or events_t, total_t, events_c, total_c and study (``glmm("OR",
        ...)``).
    path : path
        File to write, in UTF-8; it ends in .html or .md.
    title : str, optional
        Title; outcome and treatment of the trials by default.
    question : str, optional
        The question in words; composed from the selection of the trials by default.
    sections : str or sequence of str, optional
        Sections in their order: question, data, methods, forest, heterogeneity, sensitivity, small_study, multiverse,
        conflicts, limitations, code, versions, checklist. All by default. References follow where they are cited.
    level : float, optional
        Level of the intervals, in (0.5, 1); only for trials, 0.95 by default. A result has its own.
    multiverse : bool or MultiverseResult, default True
        Whether to run `metaan.multiverse` with its default choices, which takes seconds; or the result of an own call.
    figures : bool, optional
        Draw the figures. HTML holds them, and has them by default. Markdown cannot: by default it has the tables alone;
        with True each drawing is written beside the report and named after it (report.md: report-forest.svg,
        report-leave-one-out.svg, report-influence.svg, report-funnel.svg, report-multiverse.svg).

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    OptionError
        A path that ends otherwise or has no folder; an unknown section, or one named twice; `level` with a result; a
        model with moderators, or a table made from a result.
    InputError
        Something that is no result and no table of trials. Trials that cannot be fitted raise as `metaan.glmm`.

    See Also
    --------
    metaan.plot.to_html : The forest plot alone, as a page that sorts and filters.

    Notes
    -----
    Nothing but `path`, and with ``figures=True`` the drawings of a Markdown report, is written; nothing at all if
    anything fails. A section that a result cannot have says why: small-study effects of two studies, overlaps of
    studies that `metaan.load` does not know.

    Each count of the table of studies leads to the citation, DOI and address where it was read, for rows of
    `metaan.load` and for tables with columns ``citation``, ``doi``, ``source`` and ``url``. Cells hold the exact number
    in ``data-key``. The code in the report was run when it was made; a result that does not record all that its call
    needs has none, and the section says so.

    The page is one file without requests to any network, which a Content-Security-Policy forbids; all text is escaped,
    in Markdown as well. Tables sort by their headings; colours follow the theme of the reader; print gives A4 pages.
    The same result gives the same file: it carries no date. Needs jinja2 (``pip install 'metaan[report]'``).

    References
    ----------
    Page MJ et al. (2021). The PRISMA 2020 statement. BMJ 372:n71. doi:10.1136/bmj.n71

    Examples
    --------
    >>> import tempfile, metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = metaan.report(metaan.pool(eff), f"{folder}/report.md", sections=["question", "code"])
    ...     print(made.name, made.read_text(encoding="utf-8").splitlines()[0])
    report.md # Meta-analysis of 3 studies: rate
    """
    file = _file(path)
    _texts(title=title, question=question)
    if not isinstance(multiverse, (bool, MultiverseResult)):
        raise OptionError(f"multiverse={multiverse!r} must be True, False or what metaan.multiverse returned.")
    if figures not in (None, True, False):
        raise OptionError(f"figures={figures!r} must be True or False.")
    _need_jinja()
    from metaan.reports.build import document, sections_asked
    from metaan.reports.subject import subject_of

    names = sections_asked(sections)
    subject = subject_of(res_or_trials, level)
    as_html = file.suffix.lower() in _HTML
    drawn = as_html if figures is None else bool(figures)
    made = document(subject, names, title=title, question=question, multiverse=multiverse, figures=drawn)
    for place, text in _written(made, file, as_html).items():
        place.write_text(text, encoding="utf-8")
    return file


def _written(made: Any, file: Path, as_html: bool) -> dict[Path, str]:
    """Every file with its text."""
    if as_html:
        from metaan.reports.pages import page_of

        return {file: page_of(made)}
    from metaan.reports.markdown import figure_files, markdown_of

    return {file: markdown_of(made, file)} | figure_files(made, file)


def _file(path: str | os.PathLike[str]) -> Path:
    """Where the report goes."""
    if not isinstance(path, (str, os.PathLike)):
        raise OptionError(f"path={path!r} is no path. Give one like 'report.html' or 'report.md'.")
    file = Path(path)
    if file.suffix.lower() not in (*_HTML, *_MARKDOWN):
        raise OptionError(f"path={os.fspath(path)!r} must end in .html or .md.")
    if not file.parent.is_dir():
        raise OptionError(f"path={os.fspath(path)!r}: there is no folder {os.fspath(file.parent)!r}.")
    if file.is_dir():
        raise OptionError(f"path={os.fspath(path)!r} is a folder. Give the name of a file.")
    return file


def _texts(**given: object) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise OptionError(f"{name}={value!r} must be a text.")


def _need_jinja() -> None:
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise ImportError("metaan.report needs jinja2: pip install 'metaan[report]'.") from error
