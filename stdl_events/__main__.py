"""`python -m stdl_events` is the `stdl-events` command."""

from stdl_events.cli import main

if __name__ == "__main__":
    main()
