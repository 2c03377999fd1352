"""`python -m pyllm`: the same as the `pyllm` command."""

from pyllm.cli import main

main()
