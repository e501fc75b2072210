"""Step time of a deployment from the best evidence there is, compiled into a surface that the engine model looks up."""

from predictors.step_time.estimate import StepTime, available_evidence, datasheet_step_time, experts_family, step_time

__all__ = ["StepTime", "available_evidence", "datasheet_step_time", "experts_family", "step_time"]
