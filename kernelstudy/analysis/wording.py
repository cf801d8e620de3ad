"""A verdict in words."""

from __future__ import annotations

import numpy as np

from .verdict import TIERS, UNRESOLVED, Verdict


def claims(verdict: Verdict) -> tuple[str, ...]:
    """The verdict in plain sentences, numbers and refusals included; first the answer."""
    v = verdict
    found = []
    if v.derivative_like is None:
        found.append(f"No verdict: {v.rungs[0].reason}.")
    elif v.derivative_like:
        beyond = v.tier == TIERS[-1]
        known = any(rung.null == "N3" for rung in v.rungs)
        more = "more so than" if beyond else "not shown to be more so than"
        more = f", {more} their energies on the images' own axes imply."
        found.append("The kernels are derivative-like" + (more if known else "."))
    else:
        found.append(f"The kernels are not shown to be derivative-like (tier: {v.tier}).")
    for rung in v.rungs:
        if rung.n == 0:
            found.append(f"{rung.null}: {rung.reason}.")
            continue
        tested = f"p = {rung.p:.3g}" if np.isfinite(rung.p) else f"no p: {rung.reason}"
        found.append(
            f"{rung.null}: {rung.measure} {rung.value:.3f} against {rung.chance:.3f} by chance, "
            f"difference {rung.difference:+.3f} [{rung.low:.3f}, {rung.high:.3f}], {tested}."
        )
    dead = v.kernels - v.live
    found.append(
        f"{v.significant} of {v.live} live kernels are above isotropic chance "
        f"(q <= {v.level:g}); {dead} dead kernels left out"
        + (f", {v.excluded} networks excluded as not finite." if v.excluded else ".")
    )
    if v.significant_permuted is not None:
        found.append(f"{v.significant_permuted} of {v.live} are above their own permuted taps.")
    if v.a is not None:
        found.append(claim_of_a(v))
    return tuple(found)


def claim_of_a(v: Verdict) -> str:
    """What a verdict on 3 x 3 kernels says of a."""
    a = v.a
    assert a is not None
    if np.isnan(a.a):
        return f"a: none, {a.reason}."
    interval = f" [{a.low:.3g}, {a.high:.3g}]" if a.resolved else ""
    images = f"; image statistics give {v.a_images:.3g}" if np.isfinite(v.a_images) else ""
    named = v.operator if v.operator != UNRESOLVED else f"{UNRESOLVED} ({v.reason})"
    return f"a = {a.a:.3g}{interval}, gap {a.gap:.2f}{images}: {named}."
