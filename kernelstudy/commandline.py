"""What commands that are not Hydra's read their words with."""

import argparse
from typing import NoReturn


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence."""


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)
