"""All layers in words: likeness against depth, and in depthwise layers beside dense ones."""

import pandas as pd
import scipy
from maker_words import expected, over_makers


def with_places(layers: pd.DataFrame) -> pd.DataFrame:
    """The measured layers with their place (0 first, 1 last), whether depthwise, and R2 less chance."""
    last = layers.groupby("network")["depth"].transform("max")
    found = layers.assign(
        place=(layers["depth"] - 1) / (last - 1).clip(lower=1),
        depthwise=_depthwise(layers),
        beyond=layers["r2"] - layers["r2_chance"],
    )
    return found[found["r2"].notna()]


def _depthwise(layers: pd.DataFrame) -> pd.Series:
    """By the file, or, where it does not tell, one input a filter past the first layer."""
    one_input = layers["shape"].str.contains(", 1 -> ") & ~layers["shape"].str.contains("-> 1$")
    return layers["shape"].str.contains("depthwise") | (one_input & (layers["depth"] > 1))


def all_layers(layers: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Likeness against depth and by kind of layer, each as it was expected, over distinct networks."""
    placed = with_places(layers)
    placed = placed[placed["network"].isin(table["network"])]
    makers = table.set_index("network")["maker"]
    slopes, kinds = {}, {}
    for name, part in placed.groupby("network"):
        if len(part) >= 6 and part["beyond"].nunique() > 1:
            slopes[name] = scipy.stats.spearmanr(part["place"], part["beyond"]).statistic
        dense = part[~part["depthwise"] & (part["depth"] > 1)]["beyond"]
        depthwise = part[part["depthwise"]]["beyond"]
        if len(dense) and len(depthwise):
            kinds[name] = depthwise.mean() - dense.mean()
    lines = [
        f"{len(layers):,} convolutions, {len(placed):,} of them of distinct networks and with a shape in "
        f"space; {placed['verdict'].str.startswith('more').mean():.0%} are more derivative-like on average "
        f"than isotropic kernels, {placed['verdict'].str.startswith('less').mean():.0%} less (q < .05 over a "
        "network's layers)."
    ]
    falls = sum(slope < 0 for slope in slopes.values())
    claim = "likeness falls with depth in most networks of at least six measured layers"
    lines.append(
        expected("L1", claim, falls > len(slopes) / 2)
        + f" It falls in {falls} of {len(slopes)}; Spearman's correlation is {over_makers(slopes, makers)}."
    )
    larger = sum(value > 0 for value in kinds.values())
    dense, depthwise = (
        placed[(placed["depthwise"] == kind) & (placed["depth"] > 1)]
        .groupby("network")["beyond"]
        .mean()
        .mean()
        for kind in (False, True)
    )
    claim = "in networks that have both, depthwise layers are more edge-like than dense ones past the first"
    lines += [
        f"Past the first layer R² exceeds chance by {depthwise:.2f} in depthwise layers and by {dense:.2f} "
        "in dense ones, means over networks.",
        expected("L2", claim, larger > len(kinds) / 2)
        + f" So it is in {larger} of {len(kinds)}; depthwise less dense is {over_makers(kinds, makers)}.",
    ]
    return lines
