"""A calibrated roofline over any device: the time of one kernel, from the datasheet and a few shared coefficients."""

from predictors.step_time.roofline.attention import decode_attention_s, prefill_attention_s
from predictors.step_time.roofline.coefficients import Coefficients, GemmCoefficients, coefficients, relative_error
from predictors.step_time.roofline.experts import Kernels, experts_s, experts_touched
from predictors.step_time.roofline.gemm import anchors_from_gemms, gemm_s
from predictors.step_time.roofline.links import all_reduce_s, all_to_all_s, point_to_point_s
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from predictors.step_time.roofline.streaming import elementwise_s

__all__ = [
    "Anchors", "Coefficients", "GemmCoefficients", "Kernels", "all_reduce_s", "all_to_all_s", "anchors_from_gemms",
    "bytes_per_weight", "coefficients", "decode_attention_s", "elementwise_s", "experts_s", "experts_touched",
    "gemm_s", "memory_gb_per_s", "point_to_point_s", "prefill_attention_s", "relative_error", "tensor_tflops",
]  # fmt: skip
