// Every operator of Setun: the index. Kernels register themselves beside their code (ops/cpu,
// ops/autograd); numbers are arguments, never parts of a name.
#include <torch/library.h>

TORCH_LIBRARY(setun, m) {
  m.def("quantize_absmax(Tensor x, int bits, float eps) -> (Tensor codes, Tensor scale)");
  m.def("fake_quantize_absmax(Tensor x, int bits, float eps) -> Tensor");
  m.def("quantize_absmean(Tensor w, int group, float eps) -> (Tensor codes, Tensor scale)");
  m.def("dequantize_absmax(Tensor codes, Tensor scale) -> Tensor");
  m.def("dequantize_absmean(Tensor codes, Tensor scale) -> Tensor");
  m.def("rms_norm(Tensor x, Tensor? gain, float eps) -> Tensor");
  m.def("rms_norm_forward(Tensor x, Tensor? gain, float eps) -> (Tensor y, Tensor factor)");
  m.def(
      "rms_norm_backward(Tensor grad, Tensor x, Tensor? gain, Tensor factor) -> (Tensor grad_x, "
      "Tensor grad_gain)");
  m.def("layer_norm(Tensor x, float eps) -> Tensor");
  m.def("layer_norm_forward(Tensor x, float eps) -> (Tensor y, Tensor factor)");
  m.def("layer_norm_backward(Tensor grad, Tensor y, Tensor factor) -> Tensor");
}
