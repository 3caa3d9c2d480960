"""Estimators of scikit-learn."""

from assay.sklearn.classifier import AssayClassifier
from assay.sklearn.estimator import EstimatorError
from assay.sklearn.regressor import AssayRegressor

__all__ = ["AssayClassifier", "AssayRegressor", "EstimatorError"]
