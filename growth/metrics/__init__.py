"""Measures of continual learning, of masks, of work, and of single predictions."""

from growth.metrics.curves import (
    adaptation_rate,
    learning_curve_area,
    minimum_accuracy,
    stability_gap,
    worst_case_accuracy,
)
from growth.metrics.masks import Overlap, overlap
from growth.metrics.matrix import (
    FORGETTING,
    Measure,
    accuracy_bound,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    check_bound,
    forgetting,
    forward_transfer,
    intransigence,
    learning_accuracy,
    measures,
)
from growth.metrics.scores import (
    Accuracies,
    HitRate,
    Report,
    accuracies,
    adjusted_rand,
    confusion_of,
    identity_hits,
    report,
)
from growth.metrics.work import (
    SynapticOperations,
    activation_sparsity,
    connection_sparsity,
    footprint,
    membrane_updates,
    synaptic_operations,
)

__all__ = [
    "FORGETTING", "Accuracies", "HitRate", "Measure", "Overlap", "Report",
    "SynapticOperations", "accuracies", "accuracy_bound", "activation_sparsity", "adaptation_rate",
    "adjusted_rand", "average_accuracy", "average_incremental_accuracy", "backward_transfer",
    "check_bound", "confusion_of", "connection_sparsity", "footprint", "forgetting",
    "forward_transfer",
    "identity_hits", "intransigence", "learning_accuracy", "learning_curve_area", "measures",
    "membrane_updates", "minimum_accuracy", "overlap", "report", "stability_gap",
    "synaptic_operations", "worst_case_accuracy",
]  # fmt: skip
