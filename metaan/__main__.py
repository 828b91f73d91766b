"""``python -m metaan``: the command line."""

from metaan.cli.app import main

if __name__ == "__main__":
    main(prog_name="metaan")
