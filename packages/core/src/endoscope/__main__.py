"""`python -m endoscope`."""

from endoscope.cli import main

main()
