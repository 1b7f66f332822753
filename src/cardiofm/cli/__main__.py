"""`python -m cardiofm.cli` is the command `cardiofm`."""

from cardiofm.cli import main

if __name__ == "__main__":
    main()
