// Max pooling without the places of the maxima.
//
// libtorch's writes down for each maximum where it was found, eight bytes for four, which only training
// reads: for a batch of eight photographs behind the first layer of a resnet that is 13 MB. Here only the
// maxima are written, the same to the last bit.

#include "pools.h"

#include "capability.h"
#include "graph.h"

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/ops/max_pool2d.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>

using torch::jit::Module;
using torch::jit::Node;

namespace {

// One axis of a pooling.
struct Axis {
  int64_t size, kernel, stride, padding, dilation, out;

  // The window of an output: places in the input, those in the padding left out.
  std::pair<int64_t, int64_t> window(int64_t at) const {
    int64_t first = at * stride - padding;
    const int64_t end = std::min(first + (kernel - 1) * dilation + 1, size);
    if (first < 0) first += (-first + dilation - 1) / dilation * dilation;
    return {first, end};
  }
};

struct Pool {
  const float* input;  // [pictures, rows, columns, channels]
  float* output;       // as many pictures and channels
  int64_t channels;
  Axis rows, columns;
};

__attribute__((always_inline)) inline void pool_rows(const Pool& pool, int64_t from, int64_t to) {
  const int64_t channels = pool.channels;
  for (int64_t line = from; line < to; ++line) {
    const float* picture =
        pool.input + line / pool.rows.out * pool.rows.size * pool.columns.size * channels;
    const auto [top, bottom] = pool.rows.window(line % pool.rows.out);
    for (int64_t column = 0; column < pool.columns.out; ++column) {
      float* __restrict out = pool.output + (line * pool.columns.out + column) * channels;
      const auto [left, right] = pool.columns.window(column);
      std::fill_n(out, channels, -std::numeric_limits<float>::infinity());
      for (int64_t i = top; i < bottom; i += pool.rows.dilation) {
        for (int64_t j = left; j < right; j += pool.columns.dilation) {
          const float* __restrict in = picture + (i * pool.columns.size + j) * channels;
          // What is no number is kept, as libtorch does.
          for (int64_t k = 0; k < channels; ++k) out[k] = in[k] > out[k] || in[k] != in[k] ? in[k] : out[k];
        }
      }
    }
  }
}

using PoolRows = void (*)(const Pool& pool, int64_t from, int64_t to);

void pool_rows_anywhere(const Pool& pool, int64_t from, int64_t to) { pool_rows(pool, from, to); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void pool_rows_avx2(const Pool& pool, int64_t from, int64_t to) {
  pool_rows(pool, from, to);
}

PoolRows fastest() { return capability() == Capability::kAny ? pool_rows_anywhere : pool_rows_avx2; }
#else
PoolRows fastest() { return pool_rows_anywhere; }
#endif

// The axis, if libtorch would not refuse it. Lists have one number for both axes, or two; no stride is the
// kernel's size.
std::optional<Axis> axis_of(int64_t which, int64_t size, at::IntArrayRef kernel, at::IntArrayRef stride,
                            at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  const auto of = [which](at::IntArrayRef list) { return list.size() == 1 ? list[0] : list[which]; };
  for (const auto list : {kernel, padding, dilation}) {
    if (list.size() != 1 && list.size() != 2) return std::nullopt;
  }
  if (stride.size() > 2) return std::nullopt;
  Axis axis{size, of(kernel), of(stride.empty() ? kernel : stride), of(padding), of(dilation), 0};
  const bool is_sound = axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0 && axis.padding >= 0 &&
                        axis.padding <= axis.kernel / 2;
  const int64_t room = size + 2 * axis.padding - axis.dilation * (axis.kernel - 1) - 1;
  if (!is_sound || room < 0) return std::nullopt;
  axis.out = (room + (ceil_mode ? axis.stride - 1 : 0)) / axis.stride + 1;
  // A window that would begin in the padding behind is none.
  if (ceil_mode && (axis.out - 1) * axis.stride >= size + axis.padding) --axis.out;
  return axis;
}

at::Tensor maxima_of(const at::Tensor& input, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  constexpr auto kLast = at::MemoryFormat::ChannelsLast;
  const bool is_known = input.dim() == 4 && input.numel() > 0 && graph::is_plain(input, at::kFloat) &&
                        input.suggest_memory_format() == kLast && input.is_contiguous(kLast);
  const auto axis = [&](int64_t which) {
    return axis_of(which, input.size(2 + which), kernel_size, stride, padding, dilation, ceil_mode);
  };
  const auto rows = is_known ? axis(0) : std::nullopt, columns = is_known ? axis(1) : std::nullopt;
  if (!rows || !columns) return at::max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode);
  at::Tensor out =
      at::detail::empty_cpu({input.size(0), input.size(1), rows->out, columns->out}, at::kFloat,
                            std::nullopt, std::nullopt, std::nullopt, kLast);
  const Pool pool{input.const_data_ptr<float>(), out.mutable_data_ptr<float>(), input.size(1), *rows, *columns};
  static const PoolRows rows_of = fastest();
  at::parallel_for(0, input.size(0) * rows->out, 8, [&](int64_t from, int64_t to) { rows_of(pool, from, to); });
  return out;
}

TORCH_LIBRARY_FRAGMENT(torchfront, library) {
  library.def(
      "max_pool2d(Tensor input, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, "
      "bool ceil_mode) -> Tensor",
      maxima_of);
}

const auto kMaxPool2d = c10::Symbol::fromQualString("torchfront::max_pool2d");

}  // namespace

void replace_pools(Module& frozen) {
  graph::each_node(frozen, {c10::aten::max_pool2d}, [](const auto& graph, Node* node) {
    const torch::jit::WithInsertPoint here(node);
    graph::replace({node}, graph->insertNode(graph->create(kMaxPool2d, node->inputs())));
  });
}
