"""What several families fit with: boosting, conformal calibration, least squares, features of texts."""
