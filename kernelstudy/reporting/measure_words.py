"""What measures are called, in sentences and on axes."""

METRIC_WORDS = {
    "r2_sobel_centered": "R² with the steered Sobel pair (mean removed)",
    "r2_sobel": "R² with the steered Sobel pair",
    "r2_prewitt": "R² with the steered Prewitt pair",
    "best_abs_cos": "best |cos| over the bank",
    "odd": "odd (gradient-like) share",
}
# Where there is little room.
SHORT_WORDS = METRIC_WORDS | {
    "r2_sobel_centered": "R², steered Sobel, centred",
    "r2_sobel": "R², steered Sobel",
    "r2_prewitt": "R², steered Prewitt",
}
SECTOR_NAMES = {
    "dc": "mean",
    "isotropic": "isotropic",
    "b1": "B1",
    "b2": "B2",
    "odd": "odd",
}
SECTOR_WORDS = {
    "dc": "mean (DC)",
    "isotropic": "isotropic (Laplacian-like)",
    "b1": "B1 (xx − yy)",
    "b2": "B2 (xy)",
    "odd": "odd (gradient-like)",
}


def likeness(metric: str) -> str:
    """What a primary measure says, in plain words where it is a likeness to first derivatives."""
    return "likeness to an edge detector (R²)" if metric.startswith("r2") else METRIC_WORDS[metric]


_DATA_WORDS = {
    "mnist5k": "digits",
    "mnist": "digits",
    "fashion_mnist": "garments",
    "photo_patches": "photographs",
}


def data_words(name: str) -> str:
    """What is in a data set, with its name: 'digits (mnist5k)'."""
    return f"{_DATA_WORDS[name]} ({name})" if name in _DATA_WORDS else name
