"""What `run --help` says: the experiments, what people change first, and every key."""

import re
import textwrap
from collections.abc import Sequence

import hydra
from omegaconf import OmegaConf

from kernelstudy.config import compose
from kernelstudy.config.groups import conf_dir, groups, options

# The keys that people change first, and what they are.
FIRST = {
    "name": "of the study; its runs go to RUNS_DIR/NAME",
    "arms": "what is compared: 'arms=[{init: gabor}, {init: gabor, first_layer: frozen}]'",
    "seeds": "networks an arm (verdicts need six), or a list of seeds",
    "steps": "of training, of batch_size images each",
    "data": "the data set: {data}",
    "optim": "the optimiser: {optim}",
    "optim.learning_rate": "its learning rate",
    "model.kernel_size": "of the first layer: 3, 5, 7, 9 or 11",
    "model.width": "kernels of the first layer",
    "runs_dir": "where runs go",
}
_WIDTH = 100


def text(words: Sequence[str] = ()) -> str:
    """The help; `words`: settings that every key is shown under."""
    return f"""\
usage: kernelstudy run +exp=NAME [KEY=VALUE ...]
       kernelstudy run -m +exp=NAME KEY=VALUE,VALUE,... [KEY=VALUE ...]

Train, measure and report; with -m a sweep, one run for each combination of values.
'python -m kernelstudy.run' is the same. +debug=tiny makes anything seconds long.

Experiments, +exp=NAME:
{_experiments()}

What people change first:
{_first()}

Further groups: {", ".join(name for name in groups() if name not in ("data", "exp", "optim", "hydra"))}; \
hydra/launcher sends a sweep's jobs elsewhere: {", ".join(options("hydra/launcher"))}.
-m, --multirun: a sweep; --config-dir DIR: experiments of your own; --cfg job: show the settings and end;
--hydra-help: Hydra's other options.

Every key, and its value where the command is 'run{"".join(f" {word}" for word in words)}':
{textwrap.indent(_settings(words), "  ")}"""


def described(experiment: str) -> tuple[str, str]:
    """The command at the head of an experiment's config, and the first sentence said of it."""
    head = (conf_dir() / "exp" / f"{experiment}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line[1:].strip() for line in head if line.startswith("#")]
    command = comments[1]
    about = " ".join(comments[comments.index("") + 1 :])
    return command, re.split(r"(?<=[.]) (?=[A-Z0-9])", about)[0].rstrip(".")


def _experiments() -> str:
    names = options("exp")
    width = max(map(len, names))
    lines = []
    for name in names:
        command, about = described(name)
        lines += textwrap.wrap(
            about,
            _WIDTH,
            initial_indent=f"  {name:{width}}  ",
            subsequent_indent=" " * (width + 4),
        )
        if command != f"python -m kernelstudy.run +exp={name}":
            lines.append(" " * (width + 4) + command.removeprefix("python -m "))
    return "\n".join(lines)


def _first() -> str:
    width = max(map(len, FIRST))
    sets, rules = (", ".join(options(group)) for group in ("data", "optim"))
    return "\n".join(
        f"  {key:{width}}  {what.replace('{data}', sets).replace('{optim}', rules)}"
        for key, what in FIRST.items()
    )


def _settings(words: Sequence[str]) -> str:
    with hydra.initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        settings = hydra.compose("config", compose.in_order(list(words)))
    return OmegaConf.to_yaml(settings)
