"""Names that change: the old one works with a warning, and the message says what to write."""

import inspect
import warnings

import pytest

from metaan.errors import InputError, MetaanDeprecationWarning, MetaanWarning, renamed


@renamed(old="conf", new="level", since="0.2", until="0.4")
def interval(x, *, level=0.95):
    """Say what came in."""
    return x, level


former = renamed(old="former", new="interval", since="0.2", until="0.4")(interval)


def test_the_old_argument_works_and_warns_where_it_was_written():
    with pytest.warns(MetaanDeprecationWarning, match=r"interval\(conf=\) is called level= since metaan 0\.2") as told:
        assert interval(1, conf=0.9) == (1, 0.9)
    assert told[0].filename == __file__


def test_the_new_argument_is_silent():
    assert interval(1, level=0.9) == (1, 0.9)
    assert interval(1) == (1, 0.95)


def test_both_are_refused():
    with pytest.warns(MetaanDeprecationWarning), pytest.raises(InputError, match=r"both conf= and level="):
        interval(1, conf=0.9, level=0.9)


def test_the_old_name_works_and_warns():
    with pytest.warns(MetaanDeprecationWarning, match=r"^former is called interval since metaan 0\.2; .* in 0\.4\.$"):
        assert former(1) == (1, 0.95)


def test_both_at_once_warn_twice():
    with pytest.warns(MetaanDeprecationWarning) as told:
        assert former(1, conf=0.8) == (1, 0.8)
    assert len(told) == 2


def test_signature_and_help_are_those_of_today():
    assert str(inspect.signature(interval)) == "(x, *, level=0.95)"
    assert interval.__doc__ == "Say what came in."
    assert interval.__name__ == "interval"


def test_a_name_that_the_function_does_not_have_is_an_error_at_once():
    with pytest.raises(TypeError, match="has no such argument"):
        renamed(old="a", new="b", since="0.2", until="0.4")(lambda x: x)


def test_users_see_it_without_asking():
    """Python hides DeprecationWarning outside __main__; a FutureWarning is shown."""
    assert issubclass(MetaanDeprecationWarning, FutureWarning)
    assert issubclass(MetaanDeprecationWarning, MetaanWarning)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        interval(1, conf=0.9)
    assert len(told) == 1
