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
#include <bit>
#include <limits>

using torch::jit::Module;
using torch::jit::Node;

namespace {

// Channels whose maxima are kept at a time.
constexpr int64_t kTogether = 64;

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
  const void* input;  // [pictures, rows, columns, channels]
  void* output;       // as many pictures and channels
  int64_t channels;
  Axis rows, columns;
};

// bfloat16 is the upper half of a float32.
inline float wide(float number) { return number; }
inline float wide(uint16_t number) { return std::bit_cast<float>(static_cast<uint32_t>(number) << 16); }
inline void narrow(float number, float& to) { to = number; }
inline void narrow(float number, uint16_t& to) { to = std::bit_cast<uint32_t>(number) >> 16; }

// `Number` is float, or uint16_t for bfloat16.
template <typename Number>
__attribute__((always_inline)) inline void pool_rows(const Pool& pool, int64_t from, int64_t to) {
  const int64_t channels = pool.channels;
  const auto* const input = static_cast<const Number*>(pool.input);
  for (int64_t line = from; line < to; ++line) {
    const Number* picture = input + line / pool.rows.out * pool.rows.size * pool.columns.size * channels;
    const auto [top, bottom] = pool.rows.window(line % pool.rows.out);
    for (int64_t column = 0; column < pool.columns.out; ++column) {
      Number* out = static_cast<Number*>(pool.output) + (line * pool.columns.out + column) * channels;
      const auto [left, right] = pool.columns.window(column);
      // The compiler keeps a whole group in registers, where it knows the count.
      const auto pool_channels = [&](int64_t first, auto count) __attribute__((always_inline)) {
        float maxima[kTogether];
        std::fill_n(maxima, kTogether, -std::numeric_limits<float>::infinity());
        for (int64_t i = top; i < bottom; i += pool.rows.dilation) {
          for (int64_t j = left; j < right; j += pool.columns.dilation) {
            const Number* in = picture + (i * pool.columns.size + j) * channels + first;
            for (int64_t k = 0; k < count; ++k) {
              const float next = wide(in[k]);
              // What is no number is kept, as libtorch does.
              maxima[k] = next > maxima[k] || next != next ? next : maxima[k];
            }
          }
        }
        for (int64_t k = 0; k < count; ++k) narrow(maxima[k], out[first + k]);
      };
      int64_t first = 0;
      for (; first + kTogether <= channels; first += kTogether)
        pool_channels(first, std::integral_constant<int64_t, kTogether>());
      if (first < channels) pool_channels(first, channels - first);
    }
  }
}

using PoolRows = void (*)(const Pool& pool, int64_t from, int64_t to);

template <typename Number>
void pool_rows_anywhere(const Pool& pool, int64_t from, int64_t to) {
  pool_rows<Number>(pool, from, to);
}

#if defined(__x86_64__)
template <typename Number>
__attribute__((target("avx2"))) void pool_rows_avx2(const Pool& pool, int64_t from, int64_t to) {
  pool_rows<Number>(pool, from, to);
}

template <typename Number>
PoolRows fastest() {
  return capability() == Capability::kAny ? pool_rows_anywhere<Number> : pool_rows_avx2<Number>;
}
#else
template <typename Number>
PoolRows fastest() {
  return pool_rows_anywhere<Number>;
}
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
  const at::ScalarType type = input.scalar_type();
  const bool is_known = input.dim() == 4 && input.numel() > 0 && (type == at::kFloat || type == at::kBFloat16) &&
                        graph::is_plain(input, type) && input.suggest_memory_format() == kLast && input.is_contiguous(kLast);
  const auto axis = [&](int64_t which) {
    return axis_of(which, input.size(2 + which), kernel_size, stride, padding, dilation, ceil_mode);
  };
  const auto rows = is_known ? axis(0) : std::nullopt, columns = is_known ? axis(1) : std::nullopt;
  if (!rows || !columns) return at::max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode);
  at::Tensor out =
      at::detail::empty_cpu({input.size(0), input.size(1), rows->out, columns->out}, type,
                            std::nullopt, std::nullopt, std::nullopt, kLast);
  const Pool pool{input.const_data_ptr(), out.mutable_data_ptr(), input.size(1), *rows, *columns};
  static const PoolRows of_float = fastest<float>(), of_bfloat16 = fastest<uint16_t>();
  const PoolRows rows_of = type == at::kFloat ? of_float : of_bfloat16;
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
