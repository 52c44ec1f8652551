"""``python -m loopymeta``: the command line."""

from loopymeta.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
