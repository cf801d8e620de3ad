"""What a part of the check tells: rows, each of them one thing that was checked."""

from typing import Any, NamedTuple

HOLDS, FAILS, NOT_HERE, MEASURED = "holds", "FAILS", "not here", "measured"


class Row(NamedTuple):
    """`status`: holds, FAILS, 'not here' (cannot be done on this device) or measured (nothing was expected).

    `values`: numbers of a table, whose name is under 'table'.
    """

    check: str
    status: str
    said: str
    values: dict[str, Any] = {}  # noqa: RUF012 (never changed)


def judged(check: str, right: bool, said: str, **values: Any) -> Row:
    return Row(check, HOLDS if right else FAILS, said, values)
