"""`python -m adaption` is the command `adaption`."""

from adaption.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
