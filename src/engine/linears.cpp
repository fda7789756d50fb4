// Small fully connected layers without what goes around their multiplication.
//
// A layer of a few neurons multiplies for a fraction of a microsecond. libtorch takes several more to
// turn the weight, to copy the bias into the result, to find its way through the dispatcher each time,
// and to run the activation as an operator of its own. Here the weight is turned once, and one operator
// does the rest. The multiplication is libtorch's own, so that not a bit of the result changes. Large
// layers, where all this is nothing, are left to libtorch's operator.

#include "linears.h"

#include "graph.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

// Numbers of a result that are written here.
constexpr int64_t kSmall = 16 << 10;

// True when the layer may be run here, where the dispatcher that knows all kinds of tensors is passed by.
// `turned` is [k, n].
bool is_small(const at::Tensor& input, const at::Tensor& turned) {
  return input.dim() == 2 && graph::is_plain(input, at::kFloat) && input.size(1) == turned.size(0) &&
         input.size(0) > 0 && input.size(1) > 0 && input.size(0) * turned.size(1) <= kSmall;
}

// `clamp(input * weight^T + bias, low, high)`. `turned` is a view of `weight`.
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& turned,
                  const at::Tensor& bias, double low, double high) {
  const bool is_bounded = !std::isinf(low) || !std::isinf(high);
  if (!is_small(input, turned)) {
    at::Tensor out = at::linear(input, weight, bias);
    return is_bounded ? at::clamp_(out, low, high) : out;
  }
  const int64_t rows = input.size(0), columns = turned.size(1);
  at::Tensor out = at::detail::empty_cpu({rows, columns}, at::kFloat);
  float* const to = out.mutable_data_ptr<float>();
  const float* const terms = bias.const_data_ptr<float>();
  for (int64_t row = 0; row < rows; ++row) std::copy_n(terms, columns, to + row * columns);
  at::cpu::addmm_(out, input, turned);
  if (is_bounded) {
    const float least = static_cast<float>(low), greatest = static_cast<float>(high);
    for (int64_t i = 0; i < rows * columns; ++i) to[i] = graph::bounded(to[i], least, greatest);
  }
  return out;
}

TORCH_LIBRARY_FRAGMENT(torchfront, library) {
  library.def(
      "linear(Tensor input, Tensor weight, Tensor turned, Tensor bias, float low, float high) -> Tensor",
      linear);
}

const auto kLinear = c10::Symbol::fromQualString("torchfront::linear");

// The tensor, if it is a constant of this rank that the kernel can read.
std::optional<at::Tensor> constant(const Value* value, int64_t rank) {
  const auto tensor = graph::constant(value);
  const bool is_known =
      tensor && graph::is_plain(*tensor, at::kFloat) && tensor->is_contiguous() && tensor->dim() == rank;
  return is_known ? tensor : std::nullopt;
}

// Puts one node in place of `layer` and its activation.
void fuse(const std::shared_ptr<Graph>& graph, Node* layer) {
  const auto weight = constant(layer->input(1), 2), bias = constant(layer->input(2), 1);
  if (!weight || !bias || bias->size(0) != weight->size(0)) return;
  std::vector<Node*> replaced = {layer};
  std::pair<double, double> bounds = {-graph::kInfinity, graph::kInfinity};
  if (Node* activation = graph::only_user(layer->output())) {
    const auto found = graph::bounds_of(activation);
    if (found && graph::is_kept(graph, layer->input(0), layer, activation, {})) {
      bounds = *found;
      replaced.push_back(activation);
    }
  }
  const torch::jit::WithInsertPoint here(replaced.back());
  Value* turned = graph->insertConstant(weight->t());
  Value* low = graph->insertConstant(bounds.first);
  Value* high = graph->insertConstant(bounds.second);
  graph::replace(replaced, graph->insertNode(graph->create(
      kLinear, {layer->input(0), layer->input(1), turned, layer->input(2), low, high})));
}

}  // namespace

void fuse_linears(Module& frozen) {
  graph::each_node(frozen, {c10::aten::linear}, fuse);
}
