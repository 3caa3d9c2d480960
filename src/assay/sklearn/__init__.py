"""Estimators of scikit-learn."""

from assay.sklearn.classifier import AssayClassifier, EstimatorError

__all__ = ["AssayClassifier", "EstimatorError"]
