"""What `pip install` of the package takes, and which of its dependencies brings how much."""

import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pandas as pd

MB = 1e6
_EXTRA = re.compile(r";.*\bextra\b")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def install(root: Path, *, venvs: int) -> tuple[list[float], pd.DataFrame]:
    """Seconds of `pip install` of `root` into each of `venvs` fresh environments, and `sizes` in the last.

    The first fills pip's cache, so that the others wait for no network.
    """
    seconds, rows = [], pd.DataFrame()
    for _ in range(venvs):
        with tempfile.TemporaryDirectory() as place:
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
            python = Path(place) / "bin" / "python"
            start = time.perf_counter()
            words = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*words, "-e", str(root)], check=True)
            seconds.append(time.perf_counter() - start)
            (site,) = Path(place).glob("lib/*/site-packages")
            rows = sizes(site)
    return seconds, rows


def sizes(site: Path, package: str = "kernelstudy") -> pd.DataFrame:
    """A row for each dependency that `package` names, as installed in `site`.

    Columns, in MB: own; alone, what would go if it alone were not needed; whole, with all that it
    needs, shared or not. A last row, 'total', has all of them (own: what is shared by several and named
    by none).
    """
    found = {_key(one.name): one for one in distributions(path=[str(site)])}
    needs = {name: _needs(one) & found.keys() for name, one in found.items()}
    own = {name: _mb(one, site) for name, one in found.items()}
    named = needs[package]
    closures = {name: _closure({name}, needs) for name in named}
    everything = _closure(named, needs)
    rows = []
    for name in named:
        # what the others still bring
        rest = _closure(named - {name}, needs)
        rows.append(
            {
                "dependency": name,
                "own": own[name],
                "alone": sum(own[one] for one in everything - rest),
                "whole": sum(own[one] for one in closures[name]),
                "brings": " ".join(sorted(closures[name] - named, key=lambda one: -own[one])[:4]),
            }
        )
    table = pd.DataFrame(rows).sort_values("alone", ascending=False, ignore_index=True)
    total = {
        "dependency": "total",
        "own": sum(own[one] for one in everything - named),
        "alone": table["alone"].sum(),
        "whole": sum(own[one] for one in everything),
        "brings": f"{len(everything)} packages",
    }
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def _closure(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    """`names` and all that they need."""
    reached, new = set(), set(names)
    while new:
        reached |= new
        new = set().union(*(needs[name] for name in new)) - reached
    return reached


def _needs(one: Distribution) -> set[str]:
    """Names of what a package requires without extras, on whatever machine."""
    return {
        _key(_NAME.match(line)[0])  # pyright: ignore[reportOptionalSubscript]
        for line in one.requires or []
        if not _EXTRA.search(line)
    }


def _mb(one: Distribution, site: Path) -> float:
    """Its files, and what Python compiled of them."""
    files = [Path(one.locate_file(file)) for file in one.files or []]
    return sum(file.stat().st_size for file in files if file.is_file()) / MB


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
