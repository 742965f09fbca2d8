"""What the measures of alignment are called in figures."""

NAMES = {
    "retrieval": "retrieval",
    "mexa": "MEXA",
    "dali": "DALI",
    "cka": "debiased CKA",
    "anc": "ANC",
    "pc1_pearson": "PC1 Pearson",
    "cosine_gap": "cosine gap",
    "centred_cosine_gap": "centred cosine gap",
    "centroid_distance": "centroid distance",
    "anisotropy": "anisotropy",
    "retrieval_from_pivot": "retrieval from pivot",
    "retrieval_to_pivot": "retrieval to pivot",
    "dali_from_pivot": "DALI from pivot",
    "dali_to_pivot": "DALI to pivot",
    "accuracy": "accuracy",
    "auc": "AUC",
}
