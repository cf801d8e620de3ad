"""Measures of kernels, the ladder of chance, and inference over networks. NumPy and SciPy only."""

from .dog import DogFit, dog_fit
from .fits import GaborFit, GaussianDerivativeFit, gabor_fit, gaussian_derivative_fit
from .gradients import (
    OPERATORS,
    DerivativeFit,
    a_of_phi,
    derivative_fit,
    gradient_matrix,
    phi_of_a,
    wrap_phi,
)
from .inference import benjamini_hochberg, cliffs_delta, max_statistic, sign_flip_test
from .intervals import bootstrap_t_interval, cluster_bootstrap, mean_test, t_interval
from .kind_counts import KindAgreement, kind_agreement, kinds_by_chance
from .kinds import KINDS, Kind, count_kinds, kind_of
from .ladder import Rung, gradient_plane, permutation_p
from .layer import (
    SeedMatch,
    cka,
    energy_profile,
    explained_variance,
    filter_kl,
    live_kernels,
    match_seeds,
    movement,
    orthogonality,
    sparsity,
    variance_entropy,
)
from .memory import Memory, memory_of_kernels, memory_of_start, new_part
from .naming import Naming, name_operator
from .nulls import (
    cos2_distribution,
    covariance_matched,
    isotropic,
    permute_taps,
    phase_scrambled,
    r2_distribution,
)
from .opponency import Opponency, layer_opponency, opponent_shares
from .population import PopulationA, PopulationInterval, population_a, population_a_interval
from .sectors import SECTORS, sector_energies, sector_growth, sector_products, sectors
from .similarity import (
    BestMatch,
    ColourSpatial,
    best_match,
    colour_spatial,
    cosine,
    spectrum_similarity,
    steered_r2,
)
from .theory import a_pca, patch_pca, predicted_profile, predicted_update
from .verdict import TIERS, UNRESOLVED, Verdict, as_family, judge
from .wording import claims

__all__ = [
    "KINDS",
    "OPERATORS",
    "SECTORS",
    "TIERS",
    "UNRESOLVED",
    "BestMatch",
    "ColourSpatial",
    "DerivativeFit",
    "DogFit",
    "GaborFit",
    "GaussianDerivativeFit",
    "Kind",
    "KindAgreement",
    "Memory",
    "Naming",
    "Opponency",
    "PopulationA",
    "PopulationInterval",
    "Rung",
    "SeedMatch",
    "Verdict",
    "a_of_phi",
    "a_pca",
    "as_family",
    "benjamini_hochberg",
    "best_match",
    "bootstrap_t_interval",
    "cka",
    "claims",
    "cliffs_delta",
    "cluster_bootstrap",
    "colour_spatial",
    "cos2_distribution",
    "cosine",
    "count_kinds",
    "covariance_matched",
    "derivative_fit",
    "dog_fit",
    "energy_profile",
    "explained_variance",
    "filter_kl",
    "gabor_fit",
    "gaussian_derivative_fit",
    "gradient_matrix",
    "gradient_plane",
    "isotropic",
    "judge",
    "kind_agreement",
    "kind_of",
    "kinds_by_chance",
    "layer_opponency",
    "live_kernels",
    "match_seeds",
    "max_statistic",
    "mean_test",
    "memory_of_kernels",
    "memory_of_start",
    "movement",
    "name_operator",
    "new_part",
    "opponent_shares",
    "orthogonality",
    "patch_pca",
    "permutation_p",
    "permute_taps",
    "phase_scrambled",
    "phi_of_a",
    "population_a",
    "population_a_interval",
    "predicted_profile",
    "predicted_update",
    "r2_distribution",
    "sector_energies",
    "sector_growth",
    "sector_products",
    "sectors",
    "sign_flip_test",
    "sparsity",
    "spectrum_similarity",
    "steered_r2",
    "t_interval",
    "variance_entropy",
    "wrap_phi",
]
