// 3 x 3 convolutions by Winograd's algorithm F(2x2, 3x3).
//
// Four neighbouring outputs are made of a tile of 4 x 4 inputs with 16 multiplications for each pair of
// channels in place of 36 (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015).
// The transforms of this size only add and halve, and each sum over the channels is a ninth as long, so
// that the results are nearer to the exact ones than those of the direct sum.
//
// Layouts: pictures are [rows, columns, channels] with the channels innermost, weights are
// [16, filters / 16, channels / depth, 16, depth]: with float32 the depth is 1, with bfloat16 2, as pairs of
// channels are multiplied and added in one instruction. Sums are float32 always. Tiles are worked on in blocks whose transforms stay in the cache of
// a core. What a tile gives depends on its inputs alone, not on the block or on the thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace winograd {

// Channels come in groups of this size.
constexpr int64_t kGroup = 16;

// Outputs of a tile along one axis, its inputs, and the products of a pair of channels.
constexpr int64_t kOut = 2, kIn = 4, kProducts = kIn * kIn;

struct Layer {
  const void* input;     // [pictures, height, width, channels]
  const void* weight;    // [16, filters / 16, channels / depth, 16, depth]
  const float* factors;  // [filters]
  const float* terms;    // [filters]
  const void* shortcut;  // as the output, or null
  void* output;          // [pictures, out_height, out_width, filters]
  int64_t pictures, channels, filters, height, width, out_height, out_width, pad_height, pad_width;
  float low, high;

  int64_t tile_rows() const { return (out_height + kOut - 1) / kOut; }
  int64_t tile_columns() const { return (out_width + kOut - 1) / kOut; }
  int64_t tiles() const { return pictures * tile_rows() * tile_columns(); }
  // Wide layers read megabytes of weights for a block: for more tiles, so that it pays.
  int64_t block() const { return channels * filters < 256 * 256 ? 24 : 48; }
  int64_t blocks() const { return (tiles() + block() - 1) / block(); }
  // Bytes of transformed inputs, and of products.
  int64_t scratch() const { return kProducts * block() * (channels + filters) * sizeof(float); }
};

#define WINOGRAD_INLINE __attribute__((always_inline)) inline

// A register from memory and back: neither is aligned.
template <typename Register>
WINOGRAD_INLINE Register read(const void* from) {
  Register lanes;
  __builtin_memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

template <typename Register>
WINOGRAD_INLINE void write(void* to, const Register& lanes) {
  __builtin_memcpy(to, &lanes, sizeof lanes);
}

// How numbers are kept and multiplied. `Lanes` is a register of float32,
// `Number` what one step multiplies with all `Factors`.
template <typename Vector>
struct Float32 {
  using Element = float;
  using Lanes = Vector;
  using Number = float;
  using Factors = Vector;
  static constexpr int64_t kLanes = sizeof(Vector) / sizeof(float), kDepth = 1;

  WINOGRAD_INLINE static Lanes load(const float* from) { return read<Lanes>(from); }
  WINOGRAD_INLINE static void store(float* to, const Lanes& lanes) { write(to, lanes); }
  WINOGRAD_INLINE static Number number(const float* from) { return *from; }
  WINOGRAD_INLINE static Factors factors(const float* from) { return load(from); }
  WINOGRAD_INLINE static void add(Lanes& sum, Number number, const Factors& factors) {
    sum += number * factors;
  }
};

// The registers of AVX2 and of AVX-512.
typedef float Lanes8 __attribute__((vector_size(32)));
typedef float Lanes16 __attribute__((vector_size(64)));

#if defined(__x86_64__)
// With AVX512_BF16, whose instructions are written out: the compiler's functions for them may only be
// called where the processor's are known, and what is here is inlined there.
struct Bfloat16 {
  using Element = uint16_t;
  using Lanes = Lanes16;
  typedef uint32_t Pairs __attribute__((vector_size(64)));
  typedef uint16_t Half __attribute__((vector_size(32)));
  using Number = Pairs;
  using Factors = Pairs;
  static constexpr int64_t kLanes = 16, kDepth = 2;

  WINOGRAD_INLINE static Lanes load(const Element* from) {
    const Pairs wide = __builtin_convertvector(read<Half>(from), Pairs) << 16;
    return read<Lanes>(&wide);
  }
  WINOGRAD_INLINE static void store(Element* to, const Lanes& lanes) {
    Half half;
    asm("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(lanes));
    write(to, half);
  }
  WINOGRAD_INLINE static Number number(const Element* from) {
    typedef uint32_t Pair __attribute__((aligned(2), may_alias));
    Number number;
    asm("vpbroadcastd %1, %0" : "=v"(number) : "m"(*reinterpret_cast<const Pair*>(from)));
    return number;
  }
  WINOGRAD_INLINE static Factors factors(const Element* from) {
    return read<Pairs>(from);
  }
  WINOGRAD_INLINE static void add(Lanes& sum, const Number& number, const Factors& factors) {
    Lanes next = sum;
    asm("vdpbf16ps %2, %1, %0" : "+v"(next) : "v"(number), "v"(factors));
    sum = next;
  }
};
#endif

// Where a tile lies.
struct Place {
  int64_t picture, row, column;  // of the tile's first output
};

WINOGRAD_INLINE Place place_of(const Layer& layer, int64_t tile) {
  const int64_t columns = layer.tile_columns(), rows = layer.tile_rows();
  return {tile / (rows * columns), tile / columns % rows * kOut, tile % columns * kOut};
}

// One axis of the transform of a tile: `step` lanes lie between the numbers.
template <typename Lanes>
WINOGRAD_INLINE void transform(const Lanes* in, int64_t step, Lanes* out) {
  out[0] = in[0] - in[2 * step];
  out[1] = in[step] + in[2 * step];
  out[2] = in[2 * step] - in[step];
  out[3] = in[step] - in[3 * step];
}

// One axis of the way back.
template <typename Lanes>
WINOGRAD_INLINE void restore(const Lanes* in, int64_t step, Lanes* out) {
  out[0] = in[0] + in[step] + in[2 * step];
  out[1] = in[step] - in[2 * step] - in[3 * step];
}

// The tile's inputs, transformed: [16, block, channels].
template <typename Kind>
WINOGRAD_INLINE void transform_tile(const Layer& layer, const Place& place, typename Kind::Element* to) {
  using Lanes = typename Kind::Lanes;
  const int64_t top = place.row - layer.pad_height, left = place.column - layer.pad_width;
  const auto* inputs = static_cast<const typename Kind::Element*>(layer.input);
  const auto* picture = inputs + place.picture * layer.height * layer.width * layer.channels;
  const bool is_inside = top >= 0 && left >= 0 && top + kIn <= layer.height && left + kIn <= layer.width;
  const int64_t next = layer.block() * layer.channels;
  for (int64_t channel = 0; channel < layer.channels; channel += Kind::kLanes) {
    Lanes tile[kProducts], half[kProducts], line[kIn];
    for (int64_t i = 0; i < kIn; ++i) {
      for (int64_t j = 0; j < kIn; ++j) {
        const int64_t row = top + i, column = left + j;
        const bool is_padding =
            !is_inside && (row < 0 || row >= layer.height || column < 0 || column >= layer.width);
        tile[i * kIn + j] =
            is_padding ? Lanes{}
                       : Kind::load(picture + (row * layer.width + column) * layer.channels + channel);
      }
    }
    for (int64_t j = 0; j < kIn; ++j) {
      transform(tile + j, kIn, line);
      for (int64_t i = 0; i < kIn; ++i) half[i * kIn + j] = line[i];
    }
    for (int64_t i = 0; i < kIn; ++i) {
      transform(half + i * kIn, 1, line);
      for (int64_t j = 0; j < kIn; ++j) Kind::store(to + (i * kIn + j) * next + channel, line[j]);
    }
  }
}

// The tile's outputs from its products, [16, block, filters], with all that follows the convolution.
template <typename Kind>
WINOGRAD_INLINE void restore_tile(const Layer& layer, const Place& place, const float* products) {
  using Lanes = typename Kind::Lanes;
  using Sums = Float32<Lanes>;
  using Element = typename Kind::Element;
  const int64_t rows = std::min(kOut, layer.out_height - place.row);
  const int64_t columns = std::min(kOut, layer.out_width - place.column);
  const int64_t first =
      ((place.picture * layer.out_height + place.row) * layer.out_width + place.column) * layer.filters;
  const int64_t next = layer.block() * layer.filters;
  const Lanes low = Lanes{} + layer.low, high = Lanes{} + layer.high;
  for (int64_t filter = 0; filter < layer.filters; filter += Kind::kLanes) {
    Lanes tile[kProducts], half[kOut * kIn], line[kOut];
    for (int64_t i = 0; i < kProducts; ++i) tile[i] = Sums::load(products + i * next + filter);
    for (int64_t j = 0; j < kIn; ++j) {
      restore(tile + j, kIn, line);
      for (int64_t i = 0; i < kOut; ++i) half[i * kIn + j] = line[i];
    }
    const Lanes factors = Sums::load(layer.factors + filter);
    const Lanes terms = Sums::load(layer.terms + filter);
    for (int64_t i = 0; i < kOut; ++i) {
      restore(half + i * kIn, 1, line);
      if (i >= rows) continue;
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t at = first + (i * layer.out_width + j) * layer.filters + filter;
        Lanes value = line[j] * factors + terms;
        if (layer.shortcut) value += Kind::load(static_cast<const Element*>(layer.shortcut) + at);
        value = value < low ? low : value;  // NaN stays NaN
        value = value > high ? high : value;
        Kind::store(static_cast<Element*>(layer.output) + at, value);
      }
    }
  }
}

// [Rows, channels] times [channels, 16 * Groups].
template <typename Kind, int Rows, int Groups>
WINOGRAD_INLINE void multiply_rows(const typename Kind::Element* rows, const typename Kind::Element* weight,
                                   int64_t channels, float* to, int64_t filters) {
  constexpr int64_t kDepth = Kind::kDepth;
  constexpr int kParts = kGroup / Kind::kLanes, kColumns = Groups * kParts;
  typename Kind::Lanes sums[Rows][kColumns] = {};
  for (int64_t channel = 0; channel < channels; channel += kDepth) {
    typename Kind::Factors factors[kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < kColumns; ++i) {
      const auto* group = weight + (i / kParts * channels + channel) * kGroup;
      factors[i] = Kind::factors(group + i % kParts * Kind::kLanes * kDepth);
    }
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      const auto number = Kind::number(rows + row * channels + channel);
#pragma GCC unroll 8
      for (int i = 0; i < kColumns; ++i) Kind::add(sums[row][i], number, factors[i]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
    for (int i = 0; i < kColumns; ++i)
      Float32<typename Kind::Lanes>::store(to + row * filters + i * Kind::kLanes, sums[row][i]);
  }
}

// As many rows as there are, `Rows` at a time.
template <typename Kind, int Rows, int Groups>
WINOGRAD_INLINE void multiply(const typename Kind::Element* rows, int64_t count,
                              const typename Kind::Element* weight, int64_t channels, float* to,
                              int64_t filters) {
  for (; count >= Rows; count -= Rows, rows += Rows * channels, to += Rows * filters)
    multiply_rows<Kind, Rows, Groups>(rows, weight, channels, to, filters);
  if constexpr (Rows > 1) {
    if (count > 0) multiply<Kind, (Rows + 1) / 2, Groups>(rows, count, weight, channels, to, filters);
  }
}

// The blocks from `first` on, before `last`. The sums of `Rows` tiles and `Groups` groups of filters are
// kept in registers.
template <typename Kind, int Rows, int Groups>
WINOGRAD_INLINE void convolve(const Layer& layer, int64_t first, int64_t last, void* scratch) {
  using Element = typename Kind::Element;
  const int64_t block = layer.block(), channels = layer.channels, filters = layer.filters;
  float* const products = static_cast<float*>(scratch);
  auto* const inputs = reinterpret_cast<Element*>(products + kProducts * block * filters);
  for (int64_t number = first; number < last; ++number) {
    const int64_t start = number * block, count = std::min(block, layer.tiles() - start);
    for (int64_t i = 0; i < count; ++i)
      transform_tile<Kind>(layer, place_of(layer, start + i), inputs + i * channels);
    for (int64_t product = 0; product < kProducts; ++product) {
      const Element* rows = inputs + product * block * channels;
      const auto* weight = static_cast<const Element*>(layer.weight) + product * channels * filters;
      float* to = products + product * block * filters;
      int64_t filter = 0;
      for (; filter + Groups * kGroup <= filters; filter += Groups * kGroup)
        multiply<Kind, Rows, Groups>(rows, count, weight + filter * channels, channels, to + filter, filters);
      for (; filter < filters; filter += kGroup)
        multiply<Kind, Rows, 1>(rows, count, weight + filter * channels, channels, to + filter, filters);
    }
    for (int64_t i = 0; i < count; ++i)
      restore_tile<Kind>(layer, place_of(layer, start + i), products + i * filters);
  }
}

#undef WINOGRAD_INLINE

}  // namespace winograd
