"""python docs/values.py: write what pages tell of the package and of results/ into them, where it has changed.

So that a page reads alike on a code host and in the site. A value stands before its name, as in
`0.25<!--chance_3-->`; what takes more than a word stands between `<!-- made: NAME -->` and `<!-- /made -->`,
on lines of their own.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from facts import facts  # noqa: E402

VALUE = re.compile(r"[^\s<>()*]+(?=<!--(\w+)-->)")
BLOCK = re.compile(r"(?<=<!-- made: )(\w+) -->\n.*?\n(?=<!-- /made -->)", re.DOTALL)


def pages() -> list[Path]:
    """Those that hold values."""
    return [page for page in sorted(HERE.rglob("*.md")) if "<!--" in page.read_text("utf-8")]


def written(text: str, values: dict[str, str], blocks: Callable[[str], str]) -> str:
    """A page's text with all its values as they are now; KeyError where one has no such name. `blocks`: name ->
    text."""
    text = VALUE.sub(lambda match: values[match[1]], text)
    return BLOCK.sub(lambda match: f"{match[1]} -->\n{blocks(match[1])}\n", text)


def block(name: str) -> str:
    """How to cite, or a part of the page of config keys."""
    if name == "cite":
        cited = yaml.safe_load((HERE.parent / "CITATION.cff").read_text(encoding="utf-8"))
        return (
            f"{cited['authors'][0]['name']}: *{cited['title']}* Version {cited['version']}, {cited['license']} "
            f"licence.\n\n> {' '.join(cited['abstract'].split())}"
        )
    import config_keys  # needs Sphinx

    made = {
        "tables": config_keys.tables,
        "lists": config_keys.lists,
        "choices": config_keys.choices,
    }
    return f"\n{made[name]().strip()}\n"


def main() -> None:
    values = facts()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := written(text, values, block)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(HERE.parent)} written")


if __name__ == "__main__":
    main()
