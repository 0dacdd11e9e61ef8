#include "runtime/quant/quant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cfloat>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/quant/blocks.h"

namespace hearth {
namespace {

constexpr TensorType kAllTypes[] = {
    TensorType::kF32,  TensorType::kF16,  TensorType::kBF16, TensorType::kQ4_0,  TensorType::kQ4_1,
    TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kQ2_K,  TensorType::kQ3_K,
    TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kIQ4_NL};
constexpr TensorType kBlockTypes[] = {TensorType::kQ4_0, TensorType::kQ4_1,  TensorType::kQ5_0,
                                      TensorType::kQ5_1, TensorType::kQ8_0,  TensorType::kQ2_K,
                                      TensorType::kQ3_K, TensorType::kQ4_K,  TensorType::kQ5_K,
                                      TensorType::kQ6_K, TensorType::kIQ4_NL};

std::string Name(TensorType type) { return std::string(InfoOf(type).name); }

std::vector<std::byte> Quantize(TensorType type, const std::vector<float>& x) {
  std::vector<std::byte> blocks(RowBytes(type, x.size()));
  QuantizeRow(type, x, blocks);
  return blocks;
}

std::vector<float> Dequantize(TensorType type, const std::vector<std::byte>& blocks) {
  const TensorTypeInfo& info = InfoOf(type);
  std::vector<float> x(blocks.size() / info.block_bytes * info.block_size);
  DequantizeRow(type, blocks, x);
  return x;
}

std::vector<float> RoundTrip(TensorType type, const std::vector<float>& x) {
  return Dequantize(type, Quantize(type, x));
}

// The data of make_goldens.py's sample().
std::vector<float> Sample(const std::string& kind, size_t count) {
  uint32_t state = 12345;
  std::vector<float> x(count);
  for (float& value : x) {
    uint32_t total = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 1664525 + 1013904223;
      total += state >> 16;
    }
    const double bell = total / 65536.0 - 2;
    value = static_cast<float>(kind == "tailed"    ? bell * bell * bell
                               : kind == "shifted" ? bell + 1
                                                   : bell);
  }
  return x;
}

struct GoldenLine {
  std::string kind, type, source, input, output;
};

std::vector<GoldenLine> Goldens(const std::string& kind) {
  std::ifstream file("src/runtime/quant/testdata/goldens.txt");
  std::vector<GoldenLine> lines;
  std::string text;
  while (std::getline(file, text)) {
    GoldenLine line;
    std::istringstream(text) >> line.kind >> line.type >> line.source >> line.input >> line.output;
    if (line.kind == kind) lines.push_back(line);
  }
  return lines;
}

std::vector<std::byte> Bytes(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<float> Floats(const std::string& hex) {
  const std::vector<std::byte> bytes = Bytes(hex);
  std::vector<float> floats(bytes.size() / 4);
  std::memcpy(floats.data(), bytes.data(), floats.size() * 4);
  return floats;
}

std::vector<uint32_t> BitsOf(const std::vector<float>& x) {
  std::vector<uint32_t> bits(x.size());
  std::memcpy(bits.data(), x.data(), x.size() * sizeof(float));
  return bits;
}

TEST(Half, EveryFiniteHalfSurvivesTheRoundTrip) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const float value = HalfToFloat(static_cast<uint16_t>(half));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToHalf(value), half);
  }
}

TEST(Half, DecodesTheCornersOfTheFormat) {
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0x0400), 0x1p-14f);
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(HalfToFloat(0xfc00), -INFINITY);
  EXPECT_TRUE(std::signbit(HalfToFloat(0x8000)));
}

TEST(Half, RoundsToNearestAndTiesToEven) {
  // Between two neighbouring positive halves, at every exponent: below the middle down, above up,
  // the middle to the even one.
  for (uint16_t low = 0; low < 0x7bff; ++low) {
    const double a = HalfToFloat(low), b = HalfToFloat(static_cast<uint16_t>(low + 1));
    const auto middle = static_cast<float>((a + b) / 2);
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.0f)), low);
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, INFINITY)), low + 1);
    ASSERT_EQ(FloatToHalf(middle), low % 2 == 0 ? low : low + 1);
    ASSERT_EQ(FloatToHalf(-middle), 0x8000 | (low % 2 == 0 ? low : low + 1));
  }
}

TEST(Half, OverflowIsInfinityAndNanStaysNan) {
  EXPECT_EQ(FloatToHalf(65519.996f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(-FLT_MAX), 0xfc00);
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(HalfToFloat(0x7c01)));
}

TEST(Bfloat16, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(FloatToBfloat16(FLT_MAX), 0x7f80);
  EXPECT_TRUE(std::isnan(Bfloat16ToFloat(FloatToBfloat16(std::bit_cast<float>(0xff800001u)))));
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = Bfloat16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToBfloat16(value), bits);
  }
}

TEST(PackedScales, UnpackWhatWasPacked) {
  for (int j = 0; j < 8; ++j) {
    ScalesAndMins values = {};
    for (int i = 0; i < 8; ++i) {
      values.scales[i] = static_cast<uint8_t>((i * 9 + j * 7) & 63);
      values.mins[i] = static_cast<uint8_t>((i * 23 + j * 5 + 32) & 63);
    }
    uint8_t packed[12];
    PackScalesAndMins(values, packed);
    const ScalesAndMins unpacked = UnpackScalesAndMins(packed);
    EXPECT_THAT(unpacked.scales, testing::ElementsAreArray(values.scales));
    EXPECT_THAT(unpacked.mins, testing::ElementsAreArray(values.mins));
  }
  uint8_t scales[16], unpacked[16], packed[12];
  for (int j = 0; j < 16; ++j) scales[j] = static_cast<uint8_t>((j * 37 + 11) & 63);
  PackQ3Scales(scales, packed);
  UnpackQ3Scales(packed, unpacked);
  EXPECT_THAT(unpacked, testing::ElementsAreArray(scales));
}

TEST(DequantizeRow, GivesTheReferencesBits) {
  std::map<std::string, int> seen;
  for (const GoldenLine& line : Goldens("decode")) {
    SCOPED_TRACE(line.type + " " + line.source);
    const auto type = TensorTypeFromName(line.type);
    ASSERT_TRUE(type.has_value());
    EXPECT_EQ(BitsOf(Dequantize(*type, Bytes(line.input))), BitsOf(Floats(line.output)));
    ++seen[line.type];
  }
  EXPECT_EQ(seen.size(), std::size(kAllTypes)) << "goldens.txt misses a type";
}

TEST(QuantizeRow, SpanningTypesGiveTheReferencesBytes) {
  std::map<std::string, int> seen;
  for (const GoldenLine& line : Goldens("encode")) {
    SCOPED_TRACE(line.type + " " + line.source);
    EXPECT_EQ(Quantize(*TensorTypeFromName(line.type), Floats(line.input)), Bytes(line.output));
    ++seen[line.type];
  }
  EXPECT_EQ(seen.size(), 5u);
}

TEST(QuantizeRow, SearchedTypesErrAtMostOnePercentMoreThanTheReference) {
  int num_lines = 0;
  for (const GoldenLine& line : Goldens("rmse")) {
    SCOPED_TRACE(line.type + " " + line.source);
    const std::vector<float> x = Sample(line.source, 64 * 256);
    const std::vector<float> back = RoundTrip(*TensorTypeFromName(line.type), x);
    double square = 0;
    for (size_t i = 0; i < x.size(); ++i) square += std::pow(double{back[i]} - x[i], 2);
    EXPECT_LE(std::sqrt(square / static_cast<double>(x.size())), 1.01 * std::stod(line.input));
    ++num_lines;
  }
  EXPECT_EQ(num_lines, 18);
}

TEST(QuantizeRow, ZerosStayZero) {
  for (const TensorType type : kAllTypes) {
    EXPECT_THAT(RoundTrip(type, std::vector<float>(512, 0.0f)), testing::Each(0.0f)) << Name(type);
  }
}

TEST(QuantizeRow, ConstantBlocksKeepTheirValue) {
  for (const TensorType type : kAllTypes) {
    for (const float value : {0.7f, -0.7f, 300.0f, -1e-3f}) {
      for (const float back : RoundTrip(type, std::vector<float>(256, value))) {
        ASSERT_NEAR(back, value, std::fabs(value) * 0.005f) << Name(type);
      }
    }
  }
}

TEST(QuantizeRow, AZeroGroupBesideALargeOneStaysSmall) {
  std::vector<float> x(256, 0.0f);
  for (size_t i = 0; i < 16; ++i) x[i] = i % 2 == 0 ? 100.0f : -100.0f;
  for (const TensorType type : kBlockTypes) {
    const std::vector<float> back = RoundTrip(type, x);
    for (size_t i = 32; i < x.size(); ++i) ASSERT_EQ(back[i], 0.0f) << Name(type) << " at " << i;
  }
}

TEST(QuantizeRow, ScalingByAPowerOfTwoScalesTheResult) {
  const std::vector<float> x = Sample("bell", 512);
  for (const TensorType type : kBlockTypes) {
    const std::vector<float> back = RoundTrip(type, x);
    std::vector<float> scaled = x;
    for (float& value : scaled) value *= 64;
    const std::vector<float> scaled_back = RoundTrip(type, scaled);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(scaled_back[i], 64 * back[i]) << Name(type);
  }
}

TEST(QuantizeRow, ExtremeWeightsDecodeToFiniteOnes) {
  const std::vector<float> patterns[] = {
      {FLT_MAX, -FLT_MAX},
      {FLT_MAX, 1.0f, -1e-30f},
      {-FLT_MAX, -FLT_MAX / 3},
      {FLT_MIN, -FLT_MIN / 7, FLT_TRUE_MIN},
      {FLT_TRUE_MIN},
      {1e-38f, 3e-39f, -2e-41f, 0.0f},
      {65504 * 8.0f, -1e6f, 123456.0f},
      {1e-7f, -3e-8f, 2e-8f},
  };
  for (const TensorType type : kBlockTypes) {
    for (const std::vector<float>& pattern : patterns) {
      std::vector<float> x(256);
      float largest = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        x[i] = pattern[i % pattern.size()];
        largest = std::max(largest, std::fabs(x[i]));
      }
      for (const float back : RoundTrip(type, x)) {
        ASSERT_TRUE(std::isfinite(back)) << Name(type) << ' ' << pattern[0];
        // Scales below binary16's unit are rounded to it, which a code multiplies.
        ASSERT_LE(std::fabs(back), largest * 1.1f + 128 * 0x1p-24f)
            << Name(type) << ' ' << pattern[0];
      }
    }
  }
}

TEST(QuantizeRow, SaturatesWhereTheScaleExceedsBinary16) {
  // 1e6 / 8 is no finite half: the block keeps the sign and the largest magnitude it can hold.
  const std::vector<float> back = RoundTrip(TensorType::kQ4_0, std::vector<float>(32, -1e6f));
  EXPECT_THAT(back, testing::Each(-8 * 65504.0f));
}

TEST(QuantizeRow, NanIsNoUndefinedBehaviour) {
  std::vector<float> x = Sample("bell", 256);
  x[3] = NAN;
  x[77] = INFINITY;
  x[200] = -INFINITY;
  for (const TensorType type : kBlockTypes) EXPECT_FALSE(Quantize(type, x).empty());
}

TEST(RowBytes, CountsWholeBlocks) {
  EXPECT_EQ(RowBytes(TensorType::kF32, 5), 20u);
  EXPECT_EQ(RowBytes(TensorType::kQ4_1, 64), 40u);
  EXPECT_EQ(RowBytes(TensorType::kQ6_K, 512), 420u);
  EXPECT_EQ(RowBytes(TensorType::kQ6_K, 0), 0u);
}

}  // namespace
}  // namespace hearth
