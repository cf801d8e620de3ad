# Why Sphinx: its search works from disk; MkDocs Material's needs a CDN's script there, and is kept no longer.
"""python -m sphinx -W --keep-going -c docs . build/site: pages, notebooks, docstrings and results as one site.

The source directory is the repository, so that links between docs/ and results/ are the same in both.
"""

import html
import inspect
import posixpath
import re
import sys
from importlib import import_module
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

import kernelstudy  # noqa: E402

PUBLIC = (
    "",
    ".analysis",
    ".initializers",
    ".plot",
    ".callbacks",
    ".torch",
)  # whose names are documented

citation = yaml.safe_load((HERE.parent / "CITATION.cff").read_text(encoding="utf-8"))
project, author = "kernelstudy", citation["authors"][0]["name"]
version = release = kernelstudy.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "results/**.md", "experiments/**README.md", "CHANGELOG.md"]
exclude_patterns = ["build", "results/runs", "docs/_*", "**/.*", ".*", "tests", "kernelstudy"]

nb_execution_mode = "off"  # notebooks are committed with their outputs; a test runs them again
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_mock_imports = ["keras", "lightning", "transformers"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
default_role = "py:obj"
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "kernelstudy"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_show_search_summary = False  # a browser fetches no pages from disk
html_theme_options = {"top_of_page_buttons": []}


def public_names() -> set[str]:
    """Full names of all that the reference has to have."""
    modules = {place: import_module(f"kernelstudy{place}") for place in PUBLIC}
    return {
        f"kernelstudy{place}.{name}"
        for place, module in modules.items()
        for name in getattr(module, "__all__", ())
        if not inspect.ismodule(getattr(module, name)) or name in ("compare", "report")
    }


def _all_are_documented(app: Sphinx, env: object) -> None:
    """A public name that is not in the reference is a warning, and so an error."""
    del env
    there = set(app.env.get_domain("py").objects)
    there |= {name.replace(".compare.compare", ".compare") for name in there}
    there |= {name.replace(".report.report", ".report") for name in there}
    for name in sorted(public_names() - there):
        logging.getLogger(__name__).warning("%s is public and not in docs/reference", name)


def _pages_of_folders(app: Sphinx, doctree: nodes.document) -> None:
    """Links to folders, as code hosts have them, lead to their reports or READMEs."""
    for node in doctree.findall(pending_xref):
        if node["reftype"] == "myst" and node["refdomain"] != "doc":
            here = posixpath.dirname(node["refdoc"])
            folder = posixpath.normpath(posixpath.join(here, node["reftarget"]))
            pages = [f"{folder}/{name}" for name in ("report", "README")]
            for page in [page for page in pages if page in app.env.found_docs][:1]:
                node.attributes |= {"refdomain": "doc", "reftarget": page, "reftargetid": None}


def _pictures(app: Sphinx, doctree: nodes.document) -> None:
    """HTML's `<picture>`, which code hosts show by the reader's choice of light or dark, as images of both."""
    del app
    for node in list(doctree.findall(nodes.raw)):
        found = _PICTURE.fullmatch(node.astext().strip())
        if found:
            alt = html.unescape(found["alt"])
            node.replace_self(
                [
                    nodes.image(uri=found[page], alt=alt, classes=[f"only-{page}"])
                    for page in ("light", "dark")
                ]
            )


_PICTURE = re.compile(
    r'<picture>\s*<source media="[^"]*dark[^"]*" srcset="(?P<dark>[^"]*)">\s*'
    r'<img alt="(?P<alt>[^"]*)" src="(?P<light>[^"]*)">\s*</picture>'
)


def _plain(
    app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]
) -> None:
    """In docstrings bars are those of absolute values."""
    del app, what, name, of, options
    lines[:] = [line.replace("|", "\\|") for line in lines]


def _is_plain_field(app: Sphinx, what: str, name: str, of: object, skip: bool, options: object):
    """Fields of named tuples are told of in the tuple's own docstring."""
    del app, what, name, options
    return skip or (inspect.getdoc(of) or "").startswith("Alias for field number")


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", _pictures, priority=100)  # before Sphinx looks for images
    app.connect("doctree-read", _pages_of_folders)
    app.connect("autodoc-process-docstring", _plain)
    app.connect("autodoc-skip-member", _is_plain_field)
    app.connect("env-check-consistency", _all_are_documented)
