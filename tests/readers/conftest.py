"""Text files to read."""

import pytest

import metaan


@pytest.fixture
def read(tmp_path):
    """What `metaan.read` makes of a text that is written into a file."""

    def reading(text, encoding="utf-8", name="trials.csv", **options):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return metaan.read(path, **options)

    return reading
