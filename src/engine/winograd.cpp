// 3 x 3 convolutions with less than half of the multiplications.
//
// libtorch's own convolution in float32 runs at the processor's peak: what is left to gain is to
// multiply less. `torchfront::winograd` does so (winograd_kernel.h), and writes its result once, with the
// batch norm, the shortcut and the activation that follow. Its weights are transformed when the graph is
// made. It takes the convolutions of residual networks, of VGG, of most detectors and segmenters: stride
// 1, no dilation, one group, and numbers of channels that are multiples of 16, on processors with AVX2 or
// AVX-512; in bfloat16, on those with AVX512_BF16, but not where AMX multiplies ten times as fast.

#include "winograd.h"

#include "capability.h"
#include "graph.h"
#include "winograd_kernel.h"

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/library.h>

#include <cmath>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

using winograd::Layer;
using Blocks = void (*)(const Layer& layer, int64_t first, int64_t last, void* scratch);

#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))

__attribute__((target("avx2,fma"))) void blocks_avx2(const Layer& layer, int64_t first, int64_t last,
                                                      void* scratch) {
  winograd::convolve<winograd::Float32<winograd::Lanes8>, 6, 1>(layer, first, last, scratch);
}

AVX512 void blocks_avx512(const Layer& layer, int64_t first, int64_t last, void* scratch) {
  winograd::convolve<winograd::Float32<winograd::Lanes16>, 12, 2>(layer, first, last, scratch);
}

AVX512 void blocks_avx512_bf16(const Layer& layer, int64_t first, int64_t last, void* scratch) {
  winograd::convolve<winograd::Bfloat16, 12, 2>(layer, first, last, scratch);
}

// AVX512_BF16, and no AMX_BF16 (Intel's manual, CPUID leaf 7).
bool multiplies_pairs() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool has_pairs = __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 5 & 1);
  const bool has_tiles = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx >> 22 & 1);
  return has_pairs && !has_tiles;
}

// Null where nobody has measured that it pays.
Blocks fastest(at::ScalarType type) {
  const bool has_avx512 = capability() == Capability::kAvx512;
  if (type == at::kBFloat16) return has_avx512 && multiplies_pairs() ? blocks_avx512_bf16 : nullptr;
  if (type != at::kFloat) return nullptr;
  return has_avx512 ? blocks_avx512 : capability() == Capability::kAvx2 ? blocks_avx2 : nullptr;
}
#else
Blocks fastest(at::ScalarType) { return nullptr; }
#endif

// Channels that are multiplied together.
int64_t depth_of(at::ScalarType type) { return type == at::kBFloat16 ? 2 : 1; }

// `clamp(convolution(input, weight) * factors + terms + shortcut, low, high)`. `input` is
// [pictures, channels, height, width] or without the pictures; `weight` is
// [16, filters / 16, channels / depth, 16, depth], transformed. float32 or bfloat16.
at::Tensor convolved(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& factors,
                     const at::Tensor& terms, const std::optional<at::Tensor>& shortcut,
                     at::IntArrayRef padding, double low, double high) {
  constexpr auto kLast = at::MemoryFormat::ChannelsLast;
  const at::ScalarType type = weight.scalar_type();
  const int64_t channels = weight.size(2) * weight.size(4), filters = factors.numel();
  TORCH_CHECK(input.dim() == 3 || input.dim() == 4,
              "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: ",
              input.sizes());
  TORCH_CHECK(graph::is_plain(input, type), "Input type (", input.toString(), ") and weight type (", weight.toString(),
              ") should be the same");
  const bool is_batch = input.dim() == 4;
  const at::Tensor pictures = (is_batch ? input : input.unsqueeze(0)).contiguous(kLast);
  TORCH_CHECK(pictures.size(1) == channels, "Given weight of size [", filters, ", ", channels,
              ", 3, 3], expected input", input.sizes(), " to have ", channels, " channels, but got ",
              pictures.size(1), " channels instead");
  Layer layer{};
  layer.pictures = pictures.size(0), layer.channels = channels, layer.filters = filters;
  layer.height = pictures.size(2), layer.width = pictures.size(3);
  layer.pad_height = padding[0], layer.pad_width = padding[1];
  layer.out_height = layer.height + 2 * layer.pad_height - 2;
  layer.out_width = layer.width + 2 * layer.pad_width - 2;
  TORCH_CHECK(layer.out_height > 0 && layer.out_width > 0, "Calculated padded input size per channel: (",
              layer.out_height + 2, " x ", layer.out_width + 2,
              "). Kernel size: (3 x 3). Kernel size can't be greater than actual input size");
  at::Tensor out = at::detail::empty_cpu({layer.pictures, filters, layer.out_height, layer.out_width},
                                         type, std::nullopt, std::nullopt, std::nullopt, kLast);
  // One that is spread over the result comes behind it.
  const bool has_shortcut = shortcut && shortcut->defined();
  const bool fits = has_shortcut && graph::is_plain(*shortcut, type) && is_batch && shortcut->sizes() == out.sizes();
  const at::Tensor added = fits ? shortcut->contiguous(kLast) : at::Tensor();
  const bool is_bounded = !std::isinf(low) || !std::isinf(high);
  const bool is_whole = fits || !has_shortcut;
  layer.low = static_cast<float>(is_whole ? low : -graph::kInfinity);
  layer.high = static_cast<float>(is_whole ? high : graph::kInfinity);
  layer.input = pictures.const_data_ptr();
  layer.weight = weight.const_data_ptr();
  layer.factors = factors.const_data_ptr<float>();
  layer.terms = terms.const_data_ptr<float>();
  layer.shortcut = fits ? added.const_data_ptr() : nullptr;
  layer.output = out.mutable_data_ptr();
  static const Blocks of_float = fastest(at::kFloat), of_bfloat16 = fastest(at::kBFloat16);
  const Blocks blocks = type == at::kFloat ? of_float : of_bfloat16;
  at::parallel_for(0, layer.blocks(), 1, [&](int64_t first, int64_t last) {
    const at::Tensor scratch = at::detail::empty_cpu({layer.scratch()}, at::kByte);
    blocks(layer, first, last, scratch.mutable_data_ptr());
  });
  if (!is_batch) out = out.squeeze(0);
  if (is_whole) return out;
  out = out + *shortcut;
  return is_bounded ? at::clamp(out, low, high) : out;
}

TORCH_LIBRARY_FRAGMENT(torchfront, library) {
  library.def(
      "winograd(Tensor input, Tensor weight, Tensor factors, Tensor terms, Tensor? shortcut, int[2] padding, "
      "float low, float high) -> Tensor",
      convolved);
}

const auto kWinograd = c10::Symbol::fromQualString("torchfront::winograd");
const auto kNorm = c10::Symbol::fromQualString("torchfront::norm");

// True when the input is a list of two (or one, for both axes) that are all `expected`.
bool all_are(const Node* node, size_t input, int64_t expected) {
  const auto found = torch::jit::toIValue(node->input(input));
  if (!found || !found->isIntList()) return false;
  const auto list = found->toIntVector();
  return list.size() <= 2 && std::all_of(list.begin(), list.end(), [&](int64_t i) { return i == expected; });
}

bool is_one(const Node* node, size_t input) {
  const auto found = torch::jit::toIValue(node->input(input));
  return found && found->isInt() && found->toInt() == 1;
}

// The padding of a convolution that is suited. A traced graph has it as `_convolution`.
std::optional<std::vector<int64_t>> padding_of(const Node* node) {
  const bool is_traced = node->kind() == c10::aten::_convolution;
  if (node->kind() != c10::aten::conv2d && !is_traced) return std::nullopt;
  if (!all_are(node, 3, 1) || !all_are(node, 5, 1) || !is_one(node, is_traced ? 8 : 6)) return std::nullopt;
  if (is_traced) {
    const auto transposed = torch::jit::toIValue(node->input(6));
    if (!transposed || !transposed->isBool() || transposed->toBool()) return std::nullopt;
  }
  const auto weight = graph::constant(node->input(1));
  if (!weight || weight->dim() != 4 || !fastest(weight->scalar_type())) return std::nullopt;
  if (!graph::is_plain(*weight, weight->scalar_type())) return std::nullopt;
  const auto sizes = weight->sizes();
  const bool is_suited = sizes[0] > 0 && sizes[0] % winograd::kGroup == 0 && sizes[1] > 0 &&
                         sizes[1] % winograd::kGroup == 0 && sizes[2] == 3 && sizes[3] == 3;
  const auto padding = torch::jit::toIValue(node->input(4));
  if (!is_suited || !padding || !padding->isIntList()) return std::nullopt;
  auto list = padding->toIntVector();
  if (list.size() == 1) list.push_back(list[0]);
  const bool is_known = list.size() == 2 && list[0] >= 0 && list[1] >= 0;
  return is_known ? std::optional(list) : std::nullopt;
}

// The same number of each filter of a group.
typedef double Filters __attribute__((vector_size(winograd::kGroup * sizeof(double))));

// One axis of the filters' transform: `step` numbers lie between the three.
inline void transform_filters(const Filters* in, int64_t step, Filters* out) {
  const Filters outer = in[0] + in[2 * step];
  out[0] = in[0];
  out[1] = (outer + in[step]) / 2;
  out[2] = (outer - in[step]) / 2;
  out[3] = in[2 * step];
}

// [16, filters / 16, channels / depth, 16, depth] of [filters, channels, 3, 3], rounded once.
at::Tensor transformed(const at::Tensor& given) {
  using winograd::kGroup, winograd::kIn, winograd::kProducts;
  const at::Tensor weight = given.to(at::kFloat);
  const int64_t filters = weight.size(0), channels = weight.size(1);
  at::Tensor out = at::empty({kProducts, filters / kGroup, channels, kGroup}, at::kFloat);
  const auto from = weight.accessor<float, 4>();
  float* const to = out.mutable_data_ptr<float>();
  const auto transform = [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      for (int64_t channel = 0; channel < channels; ++channel) {
        Filters taps[9], half[kIn * 3], line[kIn];
        for (int64_t k = 0; k < kGroup; ++k) {
          for (int64_t i = 0; i < 9; ++i) taps[i][k] = from[group * kGroup + k][channel][i / 3][i % 3];
        }
        for (int64_t j = 0; j < 3; ++j) {
          transform_filters(taps + j, 3, line);
          for (int64_t i = 0; i < kIn; ++i) half[i * 3 + j] = line[i];
        }
        float* const at = to + (group * channels + channel) * kGroup;
        for (int64_t i = 0; i < kIn; ++i) {
          transform_filters(half + i * 3, 1, line);
          for (int64_t j = 0; j < kIn; ++j) {
            float* const product = at + (i * kIn + j) * filters * channels;
            for (int64_t k = 0; k < kGroup; ++k) product[k] = static_cast<float>(line[j][k]);
          }
        }
      }
    }
  };
  // Readiness waits for this: a large one is made by two.
  const int64_t groups = filters / kGroup, half = filters * channels < 128 * 128 ? 0 : groups / 2;
  std::thread beside;
  if (half > 0) beside = std::thread(transform, 0, half);
  transform(half, groups);
  if (half > 0) beside.join();
  const int64_t depth = depth_of(given.scalar_type());
  return out.reshape({kProducts, filters / kGroup, channels / depth, depth, kGroup})
      .transpose(3, 4)
      .to(given.scalar_type())
      .contiguous();
}

// Puts one node in place of `layer` and of what can be done in the same pass; false where it is not suited.
bool fuse(const std::shared_ptr<Graph>& graph, Node* layer) {
  const auto padding = padding_of(layer);
  if (!padding) return false;
  const at::Tensor weight = *graph::constant(layer->input(1));
  const int64_t filters = weight.size(0);
  const auto bias = torch::jit::toIValue(layer->input(2));
  if (!bias || !(bias->isNone() || (bias->isTensor() && bias->toTensor().device().is_cpu()))) return false;
  at::Tensor factors = at::ones({filters}), terms = at::zeros({filters});
  if (bias->isTensor() && bias->toTensor().defined()) terms = bias->toTensor().to(at::kFloat).contiguous();
  std::vector<Node*> replaced = {layer};
  Value* shortcut = nullptr;
  std::pair<double, double> bounds = {-graph::kInfinity, graph::kInfinity};
  Node* next = graph::only_user(layer->output());
  if (next && next->kind() == kNorm && next->input(0) == layer->output()) {
    const at::Tensor scale = graph::constant(next->input(1))->reshape({filters});
    terms = terms * scale + graph::constant(next->input(2))->reshape({filters});
    factors = scale.contiguous();
    shortcut = next->input(3);
    bounds = {torch::jit::toIValue(next->input(4))->toDouble(), torch::jit::toIValue(next->input(5))->toDouble()};
    replaced.push_back(next);
  } else {
    if (next && (shortcut = graph::shortcut_of(next, layer->output()))) {
      replaced.push_back(next);
      next = graph::only_user(next->output());
    }
    if (const auto found = next ? graph::bounds_of(next) : std::nullopt) {
      bounds = *found;
      replaced.push_back(next);
    }
  }
  const bool is_kept =
      graph::is_kept(graph, layer->input(0), layer, replaced.back(), replaced) &&
      (!shortcut || graph::is_kept(graph, shortcut, replaced[1], replaced.back(), replaced));
  if (!is_kept) return false;
  const torch::jit::WithInsertPoint here(replaced.back());
  if (!shortcut) shortcut = graph->insertNode(graph->createNone())->output();
  graph::replace(replaced, graph->insertNode(graph->create(
      kWinograd, {layer->input(0), graph->insertConstant(transformed(weight)), graph->insertConstant(factors),
                  graph->insertConstant(terms), shortcut, graph->insertConstant(*padding),
                  graph->insertConstant(bounds.first), graph->insertConstant(bounds.second)})));
  return true;
}

}  // namespace

int fuse_winograd(Module& frozen) {
  int count = 0;
  graph::each_node(frozen, {c10::aten::conv2d, c10::aten::_convolution}, [&](const auto& graph, Node* node) {
    count += fuse(graph, node) ? 1 : 0;
  });
  // The weights of before.
  torch::jit::EliminateDeadCode(frozen.get_method("forward").graph());
  return count;
}
