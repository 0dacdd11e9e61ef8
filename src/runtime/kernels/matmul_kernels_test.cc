// Products with quantised weights and with floats: every instruction set must give the very bits of
// the scalar kernels, whatever the shape.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "runtime/kernels/dispatch.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/kernels/tables.h"
#include "runtime/kernels/testing_kernels.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

constexpr int kNumInputs = 512;
constexpr int kNumBlocks = kNumInputs / 32;

// Rows in file format with random codes (or all bytes `fill`) and moderate scales. Every f16 field
// gets a finite value.
std::vector<std::byte> RandomRows(TensorType type, int num_rows, std::mt19937& rng, int fill = -1,
                                  int num_inputs = kNumInputs) {
  std::vector<std::byte> rows(num_rows * RowBytes(type, num_inputs));
  for (std::byte& byte : rows)
    byte = static_cast<std::byte>(fill >= 0 ? fill : static_cast<int>(rng() & 255));
  const TensorTypeInfo& info = InfoOf(type);
  const auto put_half = [&](size_t offset) {
    const uint16_t half = FloatToHalf(std::uniform_real_distribution<float>(-0.1f, 0.1f)(rng));
    std::memcpy(&rows[offset], &half, 2);
  };
  for (size_t block = 0; block < rows.size(); block += info.block_bytes) {
    switch (type) {
      case TensorType::kQ2_K:
        put_half(block + 80), put_half(block + 82);
        break;
      case TensorType::kQ3_K:
        put_half(block + 108);
        break;
      case TensorType::kQ6_K:
        put_half(block + 208);
        break;
      case TensorType::kQ4_1:
      case TensorType::kQ5_1:
      case TensorType::kQ4_K:
      case TensorType::kQ5_K:
        put_half(block), put_half(block + 2);
        break;
      default:
        put_half(block);
        break;
    }
  }
  return rows;
}

// In tiles of `tile_columns`.
std::vector<ActBlock> QuantizedColumns(const std::vector<float>& x, int num_columns,
                                       int tile_columns, int num_inputs = kNumInputs) {
  const int num_blocks = num_inputs / 32;
  std::vector<ActBlock> tiles(static_cast<size_t>(num_columns) * num_blocks);
  for (int c = 0; c < num_columns; ++c) {
    const int first = c / tile_columns * tile_columns;
    ScalarKernels().quantize(&x[static_cast<size_t>(c) * num_inputs], num_blocks,
                             &tiles[static_cast<size_t>(first) * num_blocks + c - first],
                             std::min(tile_columns, num_columns - first));
  }
  return tiles;
}

class EachProduct : public testing::TestWithParam<const KernelTable*> {};
INSTANTIATE_TEST_SUITE_P(Isa, EachProduct, testing::ValuesIn(AvailableKernels()),
                         [](const auto& param) { return std::string(param.param->name); });

// All of one tile, and several tiles with and without a rest.
std::vector<int> ColumnCounts(int tile_columns) {
  std::vector<int> counts;
  for (int columns = 1; columns <= tile_columns; ++columns) counts.push_back(columns);
  counts.insert(counts.end(), {tile_columns + 1, 2 * tile_columns, 3 * tile_columns - 2});
  return counts;
}

TEST_P(EachProduct, IntegerProductsEqualScalarForEveryFormatAndColumnCount) {
  std::mt19937 rng(1);
  for (int f = 0; f < kNumStripFormats; ++f) {
    const TensorType type = TensorTypeOf(static_cast<StripFormat>(f));
    for (const int num_rows : {16, 5}) {
      const std::vector<std::byte> rows = RandomRows(type, num_rows, rng);
      std::vector<std::byte> strip(StripBytes(type, kNumInputs));
      PackStrip(type, rows, num_rows, kNumInputs, strip);
      const MatmulKernels& kernels = GetParam()->matmul[f];
      std::vector<PanelBlock> panel(kNumBlocks), truth_panel(kNumBlocks);
      kernels.unpack(strip.data(), kNumBlocks, panel.data());
      ScalarKernels().matmul[f].unpack(strip.data(), kNumBlocks, truth_panel.data());
      for (const int columns : ColumnCounts(GetParam()->tile_columns)) {
        const std::vector<float> x = RandomFloats(columns * kNumInputs, rng);
        const std::vector<ActBlock> tile = QuantizedColumns(x, columns, GetParam()->tile_columns);
        std::vector<float> truth(columns * 16), few(columns * 16), many(columns * 16);
        ScalarKernels().matmul[f].many(
            truth_panel.data(), 1, kNumBlocks,
            QuantizedColumns(x, columns, ScalarKernels().tile_columns).data(), columns,
            truth.data(), 16, {});
        kernels.many(panel.data(), 1, kNumBlocks, tile.data(), columns, many.data(), 16,
                     {strip.data(), strip.size()});
        EXPECT_THAT(many, SameBits(truth))
            << InfoOf(type).name << " many, " << columns << " columns";
        if (columns > kFewColumns) continue;
        kernels.few(strip.data(), kNumBlocks, tile.data(), columns, few.data(), 16);
        EXPECT_THAT(few, SameBits(truth)) << InfoOf(type).name << " few, " << columns << " columns";
      }
    }
  }
}

TEST_P(EachProduct, IntegerProductsEqualScalarAtTheWidthsOfModels) {
  // Widths of models people use, and the shortest; K-quants where 256 divides them.
  std::mt19937 rng(11);
  for (const int num_inputs : {32, 96, 256, 576, 896, 960, 1536, 2304, 8960}) {
    const int num_blocks = num_inputs / 32;
    for (int f = 0; f < kNumStripFormats; ++f) {
      const TensorType type = TensorTypeOf(static_cast<StripFormat>(f));
      if (num_inputs % static_cast<int>(InfoOf(type).block_size) != 0) continue;
      constexpr int kRows = 13;
      const std::vector<std::byte> rows = RandomRows(type, kRows, rng, -1, num_inputs);
      std::vector<std::byte> strip(StripBytes(type, num_inputs));
      PackStrip(type, rows, kRows, num_inputs, strip);
      const MatmulKernels& kernels = GetParam()->matmul[f];
      const MatmulKernels& scalar = ScalarKernels().matmul[f];
      std::vector<PanelBlock> panel(num_blocks), truth_panel(num_blocks);
      kernels.unpack(strip.data(), num_blocks, panel.data());
      scalar.unpack(strip.data(), num_blocks, truth_panel.data());
      for (const int columns : {1, 6, GetParam()->tile_columns + 1}) {
        const std::vector<float> x = RandomFloats(static_cast<size_t>(columns) * num_inputs, rng);
        const auto tiles = [&](const KernelTable& table) {
          return QuantizedColumns(x, columns, table.tile_columns, num_inputs);
        };
        std::vector<float> truth(columns * 16), few(columns * 16), many(columns * 16);
        scalar.many(truth_panel.data(), 1, num_blocks, tiles(ScalarKernels()).data(), columns,
                    truth.data(), 16, {});
        kernels.many(panel.data(), 1, num_blocks, tiles(*GetParam()).data(), columns, many.data(),
                     16, {});
        EXPECT_THAT(many, SameBits(truth))
            << InfoOf(type).name << " many, " << num_inputs << " x " << columns;
        if (columns > kFewColumns) continue;
        kernels.few(strip.data(), num_blocks, tiles(*GetParam()).data(), columns, few.data(), 16);
        EXPECT_THAT(few, SameBits(truth))
            << InfoOf(type).name << " few, " << num_inputs << " x " << columns;
      }
    }
  }
}

TEST_P(EachProduct, TwoPanelsGiveWhatEachGives) {
  // Several batches of several chunks, parts of tiles, and a stride that leaves room between the
  // columns, which nobody may write to.
  std::mt19937 rng(12);
  constexpr int kStride = 37;
  constexpr float kUntouched = 1234.0f;
  const int tile = GetParam()->tile_columns;
  for (int f = 0; f < kNumStripFormats; ++f) {
    const TensorType type = TensorTypeOf(static_cast<StripFormat>(f));
    const MatmulKernels& kernels = GetParam()->matmul[f];
    for (const int num_inputs : {256, 1280}) {
      const int num_blocks = num_inputs / 32;
      std::vector<PanelBlock> panels(size_t{2} * num_blocks);
      for (int p = 0; p < 2; ++p) {
        std::vector<std::byte> strip(StripBytes(type, num_inputs));
        PackStrip(type, RandomRows(type, 16, rng, -1, num_inputs), 16, num_inputs, strip);
        kernels.unpack(strip.data(), num_blocks, &panels[static_cast<size_t>(p) * num_blocks]);
      }
      for (const int columns : {1, 5, tile, tile + 7, 33 * tile + 10}) {
        const std::vector<ActBlock> x =
            QuantizedColumns(RandomFloats(static_cast<size_t>(columns) * num_inputs, rng), columns,
                             tile, num_inputs);
        std::vector<float> truth(static_cast<size_t>(columns) * kStride, kUntouched);
        std::vector<float> both = truth;
        for (int p = 0; p < 2; ++p) {
          kernels.many(&panels[static_cast<size_t>(p) * num_blocks], 1, num_blocks, x.data(),
                       columns, truth.data() + 16 * p, kStride, {});
        }
        kernels.many(panels.data(), 2, num_blocks, x.data(), columns, both.data(), kStride, {});
        EXPECT_THAT(both, SameBits(truth))
            << InfoOf(type).name << ", " << num_inputs << " x " << columns;
        for (size_t i = 32; i < kStride; ++i) EXPECT_EQ(both[i], kUntouched);
      }
    }
  }
}

TEST_P(EachProduct, ManyColumnsAreWhatTheirPartsAre) {
  // Against single tiles, whose product the tests above compare with scalar.
  std::mt19937 rng(13);
  constexpr int kInputs = 1280, kBlocks = kInputs / 32;
  const int tile = GetParam()->tile_columns, columns = 35 * tile + 3;
  for (const StripFormat format : {StripFormat::kQ4_K, StripFormat::kQ6_K, StripFormat::kQ8_0}) {
    const TensorType type = TensorTypeOf(format);
    const MatmulKernels& kernels = GetParam()->matmul[static_cast<int>(format)];
    std::vector<std::byte> strip(StripBytes(type, kInputs));
    PackStrip(type, RandomRows(type, 16, rng, -1, kInputs), 16, kInputs, strip);
    std::vector<PanelBlock> panel(kBlocks);
    kernels.unpack(strip.data(), kBlocks, panel.data());
    const std::vector<ActBlock> x = QuantizedColumns(
        RandomFloats(static_cast<size_t>(columns) * kInputs, rng), columns, tile, kInputs);
    std::vector<float> parts(columns * 16), whole(columns * 16);
    for (int first = 0; first < columns; first += tile) {
      kernels.many(panel.data(), 1, kBlocks, &x[static_cast<size_t>(first) * kBlocks],
                   std::min(tile, columns - first), &parts[static_cast<size_t>(first) * 16], 16,
                   {});
    }
    kernels.many(panel.data(), 1, kBlocks, x.data(), columns, whole.data(), 16, {});
    EXPECT_THAT(whole, SameBits(parts)) << InfoOf(type).name;
  }
}

TEST_P(EachProduct, ExtremeCodesDoNotSaturate) {
  // Codes at their largest and smallest against activations at +-127: 16-bit intermediates would
  // overflow.
  std::mt19937 rng(2);
  for (const float sign : {1.0f, -1.0f}) {
    const std::vector<ActBlock> tile =
        QuantizedColumns(std::vector<float>(kNumInputs, sign * 127.0f), 1, 1);
    for (int f = 0; f < kNumStripFormats; ++f) {
      const TensorType type = TensorTypeOf(static_cast<StripFormat>(f));
      for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
        const std::vector<std::byte> rows = RandomRows(type, 16, rng, fill);
        std::vector<std::byte> strip(StripBytes(type, kNumInputs));
        PackStrip(type, rows, 16, kNumInputs, strip);
        const MatmulKernels& kernels = GetParam()->matmul[f];
        std::vector<PanelBlock> panel(kNumBlocks);
        kernels.unpack(strip.data(), kNumBlocks, panel.data());
        std::vector<float> truth(16), few(16), many(16);
        ScalarKernels().matmul[f].few(strip.data(), kNumBlocks, tile.data(), 1, truth.data(), 16);
        kernels.few(strip.data(), kNumBlocks, tile.data(), 1, few.data(), 16);
        kernels.many(panel.data(), 1, kNumBlocks, tile.data(), 1, many.data(), 16, {});
        EXPECT_THAT(few, SameBits(truth)) << InfoOf(type).name << " few, fill " << fill;
        EXPECT_THAT(many, SameBits(truth)) << InfoOf(type).name << " many, fill " << fill;
      }
    }
  }
}

TEST_P(EachProduct, ScalesThatAreNoNumbersGiveWhatScalarGives) {
  // A hostile file's scales: infinities and NaNs must neither spread to other rows nor turn into
  // other values.
  std::mt19937 rng(10);
  constexpr int kColumns = 20;
  const std::vector<float> x = RandomFloats(kColumns * kNumInputs, rng);
  for (const StripFormat format : {StripFormat::kQ4_1, StripFormat::kQ8_0, StripFormat::kQ6_K}) {
    const TensorType type = TensorTypeOf(format);
    std::vector<std::byte> rows = RandomRows(type, 16, rng);
    const size_t row_bytes = RowBytes(type, kNumInputs),
                 field = type == TensorType::kQ6_K ? 208 : 0;
    const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00};  // infinity, minus infinity, NaN
    for (int row = 0; row < 3; ++row) std::memcpy(&rows[row * row_bytes + field], &halves[row], 2);
    std::vector<std::byte> strip(StripBytes(type, kNumInputs));
    PackStrip(type, rows, 16, kNumInputs, strip);
    const auto many = [&](const KernelTable& table) {
      const MatmulKernels& kernels = table.matmul[static_cast<int>(format)];
      std::vector<PanelBlock> panel(kNumBlocks);
      kernels.unpack(strip.data(), kNumBlocks, panel.data());
      std::vector<float> out(kColumns * 16);
      kernels.many(panel.data(), 1, kNumBlocks,
                   QuantizedColumns(x, kColumns, table.tile_columns).data(), kColumns, out.data(),
                   16, {});
      for (float& value : out) {
        if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
      }
      return out;
    };
    const std::vector<float> truth = many(ScalarKernels());
    EXPECT_FALSE(std::isfinite(truth[0]) || std::isfinite(truth[1]) || std::isfinite(truth[2]));
    EXPECT_TRUE(std::isfinite(truth[3]));
    EXPECT_THAT(many(*GetParam()), SameBits(truth)) << InfoOf(type).name;
  }
}

TEST_P(EachProduct, IntegerProductsApproximateTheDequantisedProduct) {
  std::mt19937 rng(3);
  for (int f = 0; f < kNumStripFormats; ++f) {
    const TensorType type = TensorTypeOf(static_cast<StripFormat>(f));
    const std::vector<std::byte> rows = RandomRows(type, 16, rng);
    std::vector<std::byte> strip(StripBytes(type, kNumInputs));
    PackStrip(type, rows, 16, kNumInputs, strip);
    const std::vector<float> x = RandomFloats(kNumInputs, rng);
    const std::vector<ActBlock> tile = QuantizedColumns(x, 1, 1);
    std::vector<float> out(16);
    GetParam()->matmul[f].few(strip.data(), kNumBlocks, tile.data(), 1, out.data(), 16);
    const size_t row_bytes = RowBytes(type, kNumInputs);
    for (int row = 0; row < 16; ++row) {
      std::vector<float> weights(kNumInputs), from_strip(kNumInputs);
      DequantizeRow(type, std::span(rows).subspan(row * row_bytes, row_bytes), weights);
      DequantizeStripRow(type, strip, row, from_strip);
      ASSERT_THAT(from_strip, SameBits(weights)) << InfoOf(type).name;
      double expected = 0, magnitude = 0;
      for (int k = 0; k < kNumInputs; ++k) {
        expected += static_cast<double>(weights[k]) * x[k];
        magnitude += std::pow(static_cast<double>(weights[k]) * x[k], 2);
      }
      // int8 rounding: each product is off by about 1/254 of the block's largest activation.
      EXPECT_NEAR(out[row], expected, 0.05 * std::sqrt(magnitude) + 1e-4)
          << InfoOf(type).name << " row " << row;
    }
  }
}

TEST_P(EachProduct, FloatProductsEqualScalar) {
  std::mt19937 rng(4);
  const std::vector<float> panel = RandomFloats(kNumInputs * 16, rng);
  for (int columns = 1; columns <= 9; ++columns) {
    const std::vector<float> x = RandomFloats(columns * kNumInputs, rng);
    std::vector<float> truth(columns * 16), out(columns * 16);
    ScalarKernels().float_matmul(panel.data(), kNumInputs, x.data(), kNumInputs, columns,
                                 truth.data(), 16);
    GetParam()->float_matmul(panel.data(), kNumInputs, x.data(), kNumInputs, columns, out.data(),
                             16);
    EXPECT_THAT(out, SameBits(truth)) << columns << " columns";
  }
}

}  // namespace
}  // namespace hearth
