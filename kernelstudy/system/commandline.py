"""What commands that are not Hydra's read their words with."""

import argparse
from typing import NoReturn

from kernelstudy.system.errors import InputError


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)
