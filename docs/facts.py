"""Numbers that pages tell, from the package and from the tables in results/, by the name they have there."""

import inspect
from pathlib import Path

import pandas as pd

import kernelstudy
from kernelstudy import analysis
from kernelstudy.analysis.inference import FEWEST
from kernelstudy.compare import compare

RESULTS = Path(__file__).resolve().parents[1] / "results"
LAYER = 16  # kernels


def facts() -> dict[str, str]:
    chance = analysis.r2_distribution(
        2, 8
    )  # a 3 x 3 kernel less its mean, in the plane of Sobel's two
    rare = float(chance.sf(0.8))
    sobel, prewitt = (kernelstudy.kernel(name).ravel() for name in ("sobel_x", "prewitt_x"))
    cosine = sobel @ prewitt / (sobel @ sobel * (prewitt @ prewitt)) ** 0.5
    return {
        "kernels": str(len(kernelstudy.names())),
        "chance_3": f"{chance.mean():.2f}",
        "one_in": f"{1 / rare:.0f}",
        "one_layer_in": f"{1 / (1 - (1 - rare) ** LAYER):.0f}",
        "layer": str(LAYER),
        **{f"best_of_{n}": f"{chance.ppf(0.5 ** (1 / n)):.2f}" for n in (16, 64)},
        "sobel_prewitt": f"{cosine:.2f}",
        "fewest": str(FEWEST),
        # all networks on one side: two of all patterns of signs
        "smallest_p": f"{2 / 2**FEWEST:.3f}",
        "smallest_p_below": f"{2 / 2 ** (FEWEST - 1):.3f}",
        "level": f"{inspect.signature(compare).parameters['level'].default:g}",
        **_main_run(),
        **_calibration(),
        **_zoo(),
        **_speed(),
        **_splits(),
        **_deeper_start(),
    }


def _main_run() -> dict[str, str]:
    table = pd.read_csv(RESULTS / "mnist" / "tables" / "summary.csv")
    last = table[table.step == table.step.max()].set_index(["arm", "measure"])["mean"]
    found = {"steps": f"{table.step.max():,}"}
    for name, arm in (("kept", "he_normal"), ("forgot", "he_normal/wd=2")):
        found[f"memory_{name}"] = f"{last[arm, 'memory']:.0%}"
        found[f"moved_{name}"] = f"{last[arm, 'movement']:.0%}"
        found[f"r2_{name}"] = f"{last[arm, 'r2_sobel_centered']:.2f}"
        found[f"accuracy_{name}"] = f"{last[arm, 'test_accuracy']:.0%}"
    found["r2_added"] = f"{last['he_normal', 'delta_r2_sobel_centered']:.2f}"
    return found


def _calibration() -> dict[str, str]:
    table = pd.read_csv(RESULTS / "calibration" / "false_positives.csv")
    is_asked = (table["size"] == 3) | ~table.claim.isin(["Sobel", "any name"])  # names are of 3 x 3
    held = table[table.must_hold & is_asked]
    if not held.holds.all():
        raise ValueError("docs/statistics.md says that all rates keep to their nominal level")
    sobel = table[(table.claim == "Sobel") & is_asked]
    kinds = pd.read_csv(RESULTS / "calibration" / "kinds.csv")
    if not kinds.holds.all():
        raise ValueError("docs/statistics.md says that counts of kinds keep to their nominal level")
    return {
        "studies_of_chance": f"{sobel.studies.sum():,}",
        "called_sobel": f"{sobel['count'].sum():,}",
        "rates": str(len(held)),
        "worst_rate": f"{held.rate.max():.1%}",
        "worst_kind": f"{kinds.rate.max():.1%}",
        "kind_rates": str(int(kinds.rate.notna().sum())),
        "nominal": f"{held.nominal.iloc[0]:.1%}",
    }


def _zoo() -> dict[str, str]:
    table = pd.read_csv(RESULTS / "zoo" / "networks.csv")
    table = table[table.copy_of.isna()]  # near-copies once
    share = table.derivative_like.sum() / (table.kernels - table.dead - table.constant).sum()
    return {"zoo_networks": str(len(table)), "zoo_share": f"{share:.0%}"}


def _splits() -> dict[str, str]:
    """How much wider an interval for R² with decay would be that also covers the training images."""
    table = pd.read_csv(RESULTS / "splits" / "tables" / "variance.csv")
    of_r2 = table[(table.measure == "value") & table.arm.str.contains("wd=")]
    return {"wider": f"{of_r2.wider.item():.1f}"}


def _deeper_start() -> dict[str, str]:
    """What changes where all layers but the first start from He's distribution in place of LeCun's."""
    table = pd.read_csv(RESULTS / "initialisation" / "tables" / "deeper_start.csv")
    rows = table.set_index(["arm", "measure"])
    found = {}
    for name, arm in (("kept", "he_normal"), ("forgot", "he_normal/wd=2")):
        moved, r2 = rows.loc[(arm, "movement")], rows.loc[(arm, "r2_sobel_centered")]
        found[f"moved_lecun_{name}"] = f"{moved.lecun:.0%}"
        found[f"moved_he_{name}"] = f"{moved.he:.0%}"
        found[f"r2_less_{name}"] = f"{r2.he_less_lecun:+.2f}".replace("-", "−")
        for end in ("low", "high"):
            found[f"r2_less_{end}_{name}"] = f"{r2[f'ci_{end}']:+.2f}".replace("-", "−")
    return found


def _speed() -> dict[str, str]:
    """Medians within rounds: of families over PyTorch's eager form, of the built-in network over modules."""
    found = {}
    for work in ("vgg", "resnet", "convnext"):
        table = pd.read_csv(RESULTS / "throughput" / f"rates_{work}.csv", index_col=0)
        peer = table["PyTorch eager, channels_last, 2 threads"]
        found[f"over_eager_{work}"] = f"{(table['kernelstudy'] / peer).median():.2f}"
    for work in ("mnist", "colour", "norm"):
        table = pd.read_csv(RESULTS / "throughput" / f"own_{work}.csv", index_col=0)
        slower = table["kernelstudy"] / table["the same network as a Flax module"]
        found[f"module_slower_{work}"] = f"{slower.median():.1f}"
    table = pd.read_csv(RESULTS / "throughput" / "own_mnist.csv", index_col=0)
    slower = table["kernelstudy"] / table["the same, with XLA's convolutions and pools"]
    return found | {"module_slower_xla": f"{slower.median():.0f}"}
