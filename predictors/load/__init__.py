"""Load to come: quantile forecasts of a series, the best method by its past loss, calibrated and backtested."""

from predictors.load.forecast import forecast

__all__ = ["forecast"]
