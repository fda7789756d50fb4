"""The flags of a comparison."""

import argparse


def parser(what, doc):
    """Of `make compare WHAT=what`; its help is `doc`, the head of the file."""
    description, _, rest = doc.partition("\n")
    return argparse.ArgumentParser(
        prog=f"compare {what}",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawTextHelpFormatter,
    )
