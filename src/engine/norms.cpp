// Batch norms in one pass with what follows them, and not a bit different.
//
// Freezing as libtorch does it folds a batch norm into the weights of its convolution. That is fast,
// and rounds every weight anew: probabilities move by some 1e-6. Here the norm stays what it is, one
// multiplication and one addition for each number, but is written over the convolution's own result,
// together with the addition of a shortcut and the activation that follow: the memory is read and
// written once, as by the activation alone.

#include "norms.h"

#include "capability.h"
#include "graph.h"

#include <ATen/TensorIterator.h>
#include <torch/library.h>

#include <cmath>
#include <unordered_set>

using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

// Lengths and distances of one block of numbers, as TensorIterator gives it: operands are the result,
// which is the input too, the factors, the terms, and perhaps a shortcut.
struct Rows {
  char** data;
  const int64_t* strides;
  int64_t length, rows;
  int operands;
};

__attribute__((always_inline)) inline void norm_rows(const Rows& block, float low, float high) {
  constexpr int64_t kNext = sizeof(float);
  const int64_t *inner = block.strides, *outer = block.strides + block.operands;
  const bool has_shortcut = block.operands == 4;
  const bool is_packed = inner[0] == kNext && (!has_shortcut || inner[3] == kNext);
  for (int64_t row = 0; row < block.rows; ++row) {
    char* out = block.data[0] + row * outer[0];
    const char* factor = block.data[1] + row * outer[1];
    const char* term = block.data[2] + row * outer[2];
    const char* shortcut = has_shortcut ? block.data[3] + row * outer[3] : nullptr;
    float* __restrict to = reinterpret_cast<float*>(out);
    const float* __restrict factors = reinterpret_cast<const float*>(factor);
    const float* __restrict terms = reinterpret_cast<const float*>(term);
    const float* more = reinterpret_cast<const float*>(shortcut);
    if (is_packed && inner[1] == kNext && inner[2] == kNext) {
      if (has_shortcut) {
        for (int64_t i = 0; i < block.length; ++i)
          to[i] = graph::bounded(to[i] * factors[i] + terms[i] + more[i], low, high);
      } else {
        for (int64_t i = 0; i < block.length; ++i)
          to[i] = graph::bounded(to[i] * factors[i] + terms[i], low, high);
      }
    } else if (is_packed && inner[1] == 0 && inner[2] == 0) {
      const float a = *factors, b = *terms;
      if (has_shortcut) {
        for (int64_t i = 0; i < block.length; ++i)
          to[i] = graph::bounded(to[i] * a + b + more[i], low, high);
      } else {
        for (int64_t i = 0; i < block.length; ++i) to[i] = graph::bounded(to[i] * a + b, low, high);
      }
    } else {
      for (int64_t i = 0; i < block.length; ++i) {
        float* here = reinterpret_cast<float*>(out + i * inner[0]);
        const float a = *reinterpret_cast<const float*>(factor + i * inner[1]);
        const float b = *reinterpret_cast<const float*>(term + i * inner[2]);
        float value = *here * a + b;
        if (has_shortcut) value += *reinterpret_cast<const float*>(shortcut + i * inner[3]);
        *here = graph::bounded(value, low, high);
      }
    }
  }
}

using NormRows = void (*)(const Rows& block, float low, float high);

void norm_rows_anywhere(const Rows& block, float low, float high) { norm_rows(block, low, high); }

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void norm_rows_avx2(const Rows& block, float low, float high) {
  norm_rows(block, low, high);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))) void norm_rows_avx512(
    const Rows& block, float low, float high) {
  norm_rows(block, low, high);
}

NormRows fastest() {
  switch (capability()) {
    case Capability::kAvx512: return norm_rows_avx512;
    case Capability::kAvx2: return norm_rows_avx2;
    case Capability::kAny: break;
  }
  return norm_rows_anywhere;
}
#else
NormRows fastest() { return norm_rows_anywhere; }
#endif

// `input` becomes `clamp(input * factors + terms + shortcut, low, high)`, in its own memory where the
// types allow. The first two have the input's rank.
at::Tensor norm(at::Tensor input, const at::Tensor& factors, const at::Tensor& terms,
                const std::optional<at::Tensor>& shortcut, double low, double high) {
  const bool has_shortcut = shortcut && shortcut->defined();
  const auto is_float = [](const at::Tensor& tensor) { return graph::is_plain(tensor, at::kFloat); };
  if (!is_float(input) || (has_shortcut && (!is_float(*shortcut) || shortcut->sizes() != input.sizes()))) {
    at::Tensor out = input * factors + terms;
    if (has_shortcut) out = out + *shortcut;
    return std::isinf(low) && std::isinf(high) ? out : at::clamp(out, low, high);
  }
  auto config = at::TensorIteratorConfig();
  config.set_check_mem_overlap(false).resize_outputs(false).check_all_same_dtype(true);
  config.add_output(input).add_const_input(factors).add_const_input(terms);
  if (has_shortcut) config.add_const_input(*shortcut);
  auto iterator = config.build();
  const int operands = iterator.ntensors();
  static const NormRows rows_of = fastest();
  iterator.for_each([&](char** data, const int64_t* strides, int64_t length, int64_t rows) {
    rows_of({data, strides, length, rows, operands}, static_cast<float>(low), static_cast<float>(high));
  });
  return input;
}

TORCH_LIBRARY_FRAGMENT(torchfront, library) {
  library.def(
      "norm(Tensor(a!) input, Tensor factors, Tensor terms, Tensor? shortcut, float low, float high) "
      "-> Tensor(a!)",
      norm);
}

const auto kNorm = c10::Symbol::fromQualString("torchfront::norm");

bool convolves(const Node* node) {
  static const std::unordered_set<c10::Symbol> kConvolutions = {
      c10::aten::conv1d,           c10::aten::conv2d,           c10::aten::conv3d,
      c10::aten::conv_transpose1d, c10::aten::conv_transpose2d, c10::aten::conv_transpose3d,
      c10::aten::_convolution,     c10::aten::convolution,
  };
  return kConvolutions.count(node->kind()) != 0;
}

// A norm's parameters as one factor and one term for each channel, with the input's rank.
struct Line {
  at::Tensor factors, terms;
};

// libtorch itself is asked, so that they have its rounding.
std::optional<Line> line_of(const Node* node) {
  const auto constant = [&](size_t i) { return torch::jit::toIValue(node->input(i)); };
  const auto mean = constant(3), variance = constant(4), training = constant(5), eps = constant(7);
  const auto weight = constant(1), bias = constant(2);
  if (!mean || !variance || !training || !eps || !weight || !bias) return std::nullopt;
  if (!mean->isTensor() || !variance->isTensor() || !training->isBool() || training->toBool()) return std::nullopt;
  if (!mean->toTensor().defined() || !variance->toTensor().defined()) return std::nullopt;
  const auto kernel = torch::jit::toIValue(node->input(0)->node()->input(1));
  if (!kernel || !kernel->isTensor()) return std::nullopt;
  const auto optional = [](const c10::IValue& value) {
    return value.isTensor() ? std::optional<at::Tensor>(value.toTensor()) : std::nullopt;
  };
  const at::Tensor means = mean->toTensor(), variances = variance->toTensor();
  if (!means.device().is_cpu() || means.scalar_type() != at::kFloat) return std::nullopt;
  const auto of = [&](const at::Tensor& input, const at::Tensor& mean, const std::optional<at::Tensor>& bias) {
    return at::batch_norm(input, optional(*weight), bias, mean, variances, false, 0.0, eps->toDouble(), false);
  };
  const at::Tensor zeros = at::zeros({1, means.numel()}, means.options());
  const at::Tensor none = at::zeros_like(means);
  // [1, channels, 1, 1] for pictures.
  std::vector<int64_t> shape(kernel->toTensor().dim(), 1);
  shape.at(1) = means.numel();
  return Line{of(at::ones_like(zeros), none, none).reshape(shape), of(zeros, means, optional(*bias)).reshape(shape)};
}

// Puts one node in place of `norm` and of what can be done in the same pass.
void fuse(const std::shared_ptr<Graph>& graph, Node* norm) {
  Value* input = norm->input(0);
  if (!convolves(input->node()) || graph::only_user(input) != norm) return;
  const auto line = line_of(norm);
  if (!line) return;
  std::vector<Node*> replaced = {norm};
  const auto next = [&] { return graph::only_user(replaced.back()->output()); };
  Value* shortcut = nullptr;
  if (Node* sum = next(); sum && (shortcut = graph::shortcut_of(sum, norm->output()))) replaced.push_back(sum);
  std::pair<double, double> bounds = {-graph::kInfinity, graph::kInfinity};
  if (Node* activation = next()) {
    if (const auto found = graph::bounds_of(activation)) {
      bounds = *found;
      replaced.push_back(activation);
    }
  }
  if (shortcut && !graph::is_kept(graph, shortcut, replaced[1], replaced.back(), replaced)) return;
  const torch::jit::WithInsertPoint here(replaced.back());
  Value* factors = graph->insertConstant(line->factors);
  Value* terms = graph->insertConstant(line->terms);
  if (!shortcut) shortcut = graph->insertNode(graph->createNone())->output();
  Value* low = graph->insertConstant(bounds.first);
  Value* high = graph->insertConstant(bounds.second);
  graph::replace(replaced,
                 graph->insertNode(graph->create(kNorm, {input, factors, terms, shortcut, low, high})));
}

}  // namespace

void fuse_norms(Module& frozen) {
  graph::each_node(frozen, {c10::aten::batch_norm}, fuse);
}
