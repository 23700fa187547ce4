"""``python -m multilevel``: the command line."""

from multilevel.cli import main

if __name__ == "__main__":
    main(prog_name="multilevel")
