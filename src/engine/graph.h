// What the passes over a frozen graph (norms.cpp, linears.cpp, pools.cpp, winograd.cpp) ask of it.
#pragma once

#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/script.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace graph {

using torch::jit::AliasDb;
using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A tensor that a kernel may read past the dispatcher: numbers of this type in the CPU's memory, as they are.
inline bool is_plain(const at::Tensor& tensor, at::ScalarType type) {
  return tensor.device().is_cpu() && tensor.scalar_type() == type && tensor.layout() == at::kStrided &&
         !tensor.is_neg();
}

// The constant tensor behind `value`, if it is one.
inline std::optional<at::Tensor> constant(const Value* value) {
  const auto found = torch::jit::toIValue(value);
  if (!found || !found->isTensor() || !found->toTensor().defined()) return std::nullopt;
  return found->toTensor();
}

// Not below `low` and not above `high`, and NaN stays NaN: as ATen's clamp.
inline float bounded(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// The least and the greatest number that an activation lets through; none for another node.
inline std::optional<std::pair<double, double>> bounds_of(const Node* node) {
  const auto kind = node->kind();
  if (kind == c10::aten::relu || kind == c10::aten::relu_) return std::pair(0.0, kInfinity);
  if (kind == c10::aten::relu6 || kind == c10::aten::relu6_) return std::pair(0.0, 6.0);
  if (kind != c10::aten::hardtanh && kind != c10::aten::hardtanh_) return std::nullopt;
  const auto low = torch::jit::toIValue(node->input(1)), high = torch::jit::toIValue(node->input(2));
  if (!low || !high || !low->isScalar() || !high->isScalar()) return std::nullopt;
  return std::pair(low->toScalar().toDouble(), high->toScalar().toDouble());
}

// The one node that uses `value`, if it is of `value`'s own block.
inline Node* only_user(const Value* value) {
  if (value->uses().size() != 1) return nullptr;
  Node* user = value->uses().front().user;
  return user->owningBlock() == value->node()->owningBlock() ? user : nullptr;
}

// What is added to `sum` by its only user, unscaled: the shortcut around a block of layers.
inline Value* shortcut_of(const Node* node, const Value* sum) {
  const bool in_place = node->kind() == c10::aten::add_;
  if ((node->kind() != c10::aten::add && !in_place) || node->inputs().size() != 3) return nullptr;
  const auto scale = torch::jit::toIValue(node->input(2));
  if (!scale || !scale->isInt() || scale->toInt() != 1) return nullptr;
  if (in_place && node->input(0) != sum) return nullptr;
  Value* other = node->input(node->input(0) == sum ? 1 : 0);
  return other->type()->kind() == c10::TypeKind::TensorType && other != sum ? other : nullptr;
}

// The nodes of this kind, at any depth.
inline void nodes_of(Block* block, c10::Symbol kind, std::vector<Node*>& found) {
  for (Node* node : block->nodes()) {
    if (node->kind() == kind) found.push_back(node);
    for (Block* inner : node->blocks()) nodes_of(inner, kind, found);
  }
}

// True when nothing that runs between the two, nodes of one block, can change what `read` holds; `but` is
// not looked at. Nearly always nothing there writes at all.
inline bool is_kept(const std::shared_ptr<Graph>& graph, const Value* read, Node* first, Node* last,
                    const std::vector<Node*>& but) {
  if (first == last) return true;
  std::vector<Node*> writing;
  for (Node* node = first->next(); node != last; node = node->next()) {
    if (std::find(but.begin(), but.end(), node) != but.end()) continue;
    const auto* schema = node->maybeSchema();
    if (!node->blocks().empty() || node->hasSideEffects() || (schema && schema->is_mutable()))
      writing.push_back(node);
  }
  if (writing.empty()) return true;
  const AliasDb aliases(graph);
  return std::none_of(writing.begin(), writing.end(),
                      [&](Node* node) { return aliases.writesToAlias(node, {read}); });
}

// Puts `fused` in the place of nodes that follow each other.
inline void replace(const std::vector<Node*>& replaced, Node* fused) {
  Value* last = replaced.back()->output();
  fused->output()->setType(last->type());
  last->replaceAllUsesWith(fused->output());
  for (auto node = replaced.rbegin(); node != replaced.rend(); ++node) (*node)->destroy();
}

// Calls `change` with the graph and each of the nodes that are of these kinds before the first call.
template <typename Change>
void each_node(torch::jit::Module& frozen, std::initializer_list<c10::Symbol> kinds, Change change) {
  const auto graph = frozen.get_method("forward").graph();
  std::vector<Node*> found;
  for (const auto kind : kinds) nodes_of(graph->block(), kind, found);
  const c10::InferenceMode guard;
  for (Node* node : found) change(graph, node);
}

}  // namespace graph
