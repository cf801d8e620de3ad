"""Sentences on one finished layer."""

from __future__ import annotations

import numpy as np

from kernelstudy.analysis.gradients import OPERATORS
from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.ladder import MARGIN
from kernelstudy.analysis.population import PopulationInterval
from kernelstudy.analysis.verdict import Verdict
from kernelstudy.analysis.wording import claim_of_a, claims

from .measure import LayerMeasures

_NAMED = ("Prewitt", "Sobel", "Scharr", "central difference")


def network_claims(layer: LayerMeasures) -> tuple[str, ...]:
    """The verdict in plain sentences, first the answer; of several networks, `claims` of their verdict."""
    v = layer.verdict
    if layer.networks > 1:
        return claims(v)
    if not v.live:
        return (f"No verdict: none of the {v.kernels} kernels is alive and varies.",)
    lines = [
        f"{v.significant} of {v.live} kernels are derivative-like beyond chance ({_q(v.level)}), "
        f"and {v.significant_permuted} of {v.live} beyond their own permuted taps."
    ]
    for row in layer.ladder.itertuples(index=False):
        lines.append(_rung(row))
    if layer.a is not None:
        lines.append(_population(layer.a, v))
    lines += [*_colours(layer), *_fits(layer)]
    return tuple(lines)


def headline_claims(layer: LayerMeasures) -> list[str]:
    """The first of `network_claims`, and the sentence on a where there is one."""
    v, lines = layer.verdict, [network_claims(layer)[0]]
    if layer.networks == 1 and v.live and layer.a is not None:
        lines.append(_population(layer.a, v))
    if layer.networks > 1 and v.a is not None and np.isfinite(v.a.phi):
        lines.append(claim_of_a(v))
    return lines


def what_one_cannot_tell(layer: LayerMeasures) -> str:
    """The limits of n = 1, or nothing where there are enough networks for tests over them."""
    if layer.networks >= FEWEST:
        return ""
    if layer.networks > 1:
        return (
            f"No tests over networks below {FEWEST}: with {layer.networks} an exact sign-flip test cannot give "
            f"less than {2 / 2**layer.networks:.2g}."
        )
    known = layer.subject.start is not None
    start = "" if known else " Nor what training added, for the start is not known."
    return (
        "What one network cannot tell: whether another seed, trained the same way, would learn the same "
        f"(n = 1, so there is no inference over networks).{start} p and q here say "
        "that these kernels are not what the null would draw, no more. An operator is named only over several "
        "networks."
    )


def left_out(layer: LayerMeasures) -> str:
    """How many kernels were excluded as dead or constant."""
    dead, constant = (int((layer.flags == flag).sum()) for flag in ("dead", "constant"))
    if not dead + constant:
        return "No kernel is dead (below 1% of the layer's largest norm) or constant."
    return (
        f"{dead} dead (below 1% of the layer's largest norm) and {constant} constant of "
        f"{layer.flags.size} kernels are flagged in kernels.csv and left out of everything else."
    )


def _rung(row) -> str:
    if row.null == "N1":
        return f"The same network at step 0 (N1) had a mean R² of {row.chance:.3f}, now {row.value:.3f}."
    against = {
        "N0": "isotropic kernels (N0)",
        "N2": "the same kernels with permuted taps (N2)",
        "N3": "the same kernels with their energies on the images' axes or their spectra alone (N3)",
    }[row.null]
    tested = f"p of an excess over {MARGIN:g}" if row.null == "N3" else "p"
    return (
        f"Against {against}: mean R² with the steered derivative pair, means removed, {row.value:.3f}, by "
        f"chance {row.chance:.3f} [{row.chance_low:.3f}, {row.chance_high:.3f}], {tested} = {row.p:.2g}."
    )


def _population(a: PopulationInterval, verdict: Verdict) -> str:
    """a of one network's kernels, in the derivative-like part of them; nothing is named where there is none."""
    images = verdict.a_images
    beside = f" (image statistics would give {images:.2g})" if np.isfinite(images) else ""
    if np.isnan(a.a):
        return f"The population has no a: {a.reason}."
    if 2 * verdict.significant < verdict.live:
        return (
            f"a says little here, for {verdict.significant} of {verdict.live} kernels are derivative-like: "
            f"{_a(a.a)}{beside}."
        )
    if not a.resolved:
        return f"The population's a is {_a(a.a)}{beside}, unresolved: {a.reason}."
    text = (
        f"The population's a is {_a(a.a)} [{_a(a.low)}, {_a(a.high)}]{beside}: {position_of(a.a)}, "
    )
    operators = a.names()
    if len(operators) == 1:
        # One name alone is also what kernels of any a give, at the precision of one network.
        return text + (
            f"an interval over this network's kernels that holds {operators[0]} and no other named operator; "
            "that does not name them, for kernels of other a often give such an interval, too."
        )
    if operators:
        return text + f"unresolved (the interval holds {', '.join(operators)})."
    return text + "and no named operator lies in the interval."


def position_of(a: float) -> str:
    """Between which of the well-known operators a lies."""
    at = [n for n in _NAMED if OPERATORS[n] == a or abs(OPERATORS[n] - a) < 1e-6]
    if at:
        return f"at {at[0]}"
    if a < 1:
        return "below Prewitt"
    below = max((n for n in _NAMED if OPERATORS[n] <= a), key=lambda n: OPERATORS[n])
    above = min((n for n in _NAMED if OPERATORS[n] > a), key=lambda n: OPERATORS[n])
    return f"between {below} and {above}"


def _colours(layer: LayerMeasures) -> list[str]:
    """Of a colour network: how much of its filters' energy is achromatic, and how much opponent."""
    rows = layer.layer.set_index("measure")
    if "achromatic" not in rows.index:
        return []
    words = {"achromatic": "achromatic", "red_green": "red-green", "blue_yellow": "blue-yellow"}
    told = ", ".join(f"{rows.loc[name, 'value']:.0%} {text}" for name, text in words.items())
    low, high = rows.loc["achromatic", ["chance_low", "chance_high"]]
    return [
        f"Colour, if the channels are R, G and B: of a filter's energy {told}; with its colours turned at "
        f"random 33% each [{low:.0%}, {high:.0%}]."
    ]


def _fits(layer: LayerMeasures) -> list[str]:
    table, lines = layer.kernels, []
    live = table[table["live"]]
    for name, words in (
        ("gauss1", "a first Gaussian derivative"),
        ("gauss012", "Gaussian derivatives up to 2nd order"),
        ("gabor", "a Gabor function"),
    ):
        if f"{name}_q" in table:
            rows = live[live[f"{name}_p"].notna()]
            count = int((rows[f"{name}_q"] <= layer.verdict.level).sum())
            lines.append(
                f"{count} of {len(rows)} kernels are fitted by {words} better than noise is "
                f"({_q(layer.verdict.level)}; median R² {rows[f'{name}_r2'].median():.2f})."
            )
    return lines


def _a(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.2g}"


def _q(level: float) -> str:
    return f"q < {level:g}".replace("0.", ".", 1)
