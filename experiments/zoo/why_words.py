"""Why a lies nearer Sobel's than Prewitt's, in words."""

import numpy as np
import pandas as pd
import scipy
from maker_words import expected, sobels_side

from kernelstudy.analysis.gradients import phi_of_a


def why(table: pd.DataFrame, photographs: pd.DataFrame) -> list[str]:
    """What could account for it, each as it was expected, over distinct networks whose a is resolved."""
    named = table[table["a_resolved"].astype(bool)]
    phi = np.degrees(phi_of_a(named["a"].to_numpy(float)))
    stride = named["stride"].astype(str).str[:1].to_numpy()
    one, two = phi[stride == "1"], phi[stride == "2"]
    lines = []
    if len(one) > 2 and len(two) > 2:
        p = scipy.stats.mannwhitneyu(one, two).pvalue
        medians = [np.sqrt(2) * np.tan(np.radians(np.median(x))) for x in (one, two)]
        claim = "layers of stride 2 have the larger a"
        lines.append(
            expected("W1", claim, medians[1] > medians[0] and p < 0.05)
            + f" The median a is {medians[1]:.2f} in {len(two)} layers of stride 2 and {medians[0]:.2f} in "
            f"{len(one)} of stride 1 (Mann and Whitney's p = {p:.2g}; the rest do not tell)."
        )
    sobel = named[sobels_side(named["a"])]
    for column, words, number in (
        ("a_achromatic", "of the achromatic part alone (colour does not matter)", "W2"),
        ("a_unit", "with every kernel at norm 1 (a few large kernels do not matter)", "W3"),
    ):
        stay = (sobels_side(named[column]) == sobels_side(named["a"])).sum()
        of_sobel = sobels_side(sobel[column]).sum()
        claim = f"a {words} is on the same side of √2 in most layers"
        lines.append(
            expected(number, claim, stay > len(named) / 2)
            + f" It is so in {stay} of {len(named)}, and of the {len(sobel)} on Sobel's side {of_sobel} stay "
            "there."
        )
    a = photographs.set_index(["treatment", "amount"])["a"]
    whole = a.loc["as they are"].iloc[0]
    smaller = pd.concat([a.loc["made smaller by area"], a.loc["every so many pixels"]])
    blurred = a.loc["blurred, sigma in pixels"]
    fourth = (blurred < whole).all() and (smaller > whole).all() and (smaller < np.sqrt(2)).all()
    claim = (
        "blurred photographs have an a nearer 1, and photographs made smaller a larger one than they are, but "
        "below √2"
    )
    lines.append(
        expected("W4", claim, fourth)
        + f" Their patches have a of {whole:.2f}, blurred {blurred.min():.2f} to {blurred.max():.2f}, made "
        f"smaller {smaller.min():.2f} to {smaller.max():.2f}. Whatever is done to them, none of it comes "
        "near 2."
    )
    positive = ((named["coherence"] > 0) & (named["coherence_p"] < 0.05)).sum()
    of_sobel = ((sobel["coherence"] > 0) & (sobel["coherence_p"] < 0.05)).sum()
    claim = "the fine gradient goes along with the smooth one, beyond random signs, in most layers"
    lines += [
        expected("W5", claim, positive > len(named) / 2)
        + f" It is so in {positive} of {len(named)} (of those on Sobel's side {of_sobel} of {len(sobel)}; "
        f"median coherence {named['coherence'].median():.2f}).",
        "An a beyond that of the patches and such a coherence are one thing said twice. What is found is "
        "that the energies on the patches' axes do not bring it about, whitened or not, and that it points "
        "one way. The patches themselves have none, for so their axes are defined.",
        "It is a matter of phase, which second moments do not hold. What in the images or in the training "
        "makes it, weights cannot tell.",
    ]
    return lines
