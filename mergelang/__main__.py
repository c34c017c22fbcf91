"""`python -m mergelang`: the command line."""

from mergelang.cli import main

if __name__ == "__main__":
    main()
