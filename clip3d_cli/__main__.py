"""``python -m clip3d_cli``: the command line, for launchers that start modules."""

from clip3d_cli.cli.app import main

if __name__ == "__main__":
    main()
