#include "kit/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

namespace hearth {
namespace {

using ::testing::HasSubstr;

// A file of a header and so many bytes of data, 0, 1, 2, ...
std::string File(const std::string& header, size_t data_bytes, uint64_t header_bytes) {
  std::string file(sizeof(header_bytes), '\0');
  std::memcpy(file.data(), &header_bytes, sizeof(header_bytes));
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}
std::string File(const std::string& header, size_t data_bytes) {
  return File(header, data_bytes, header.size());
}

auto Parse(const std::string& file) { return ParseSafetensors(std::as_bytes(std::span(file))); }

Error ParseError(const std::string& file) {
  const auto tensors = Parse(file);
  EXPECT_FALSE(tensors);
  return tensors ? Error() : tensors.error();
}

TEST(Safetensors, TensorsAreViewsOfTheirBytes) {
  const std::string file = File(R"({"__metadata__": {"format": "pt"},
      "half": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
      "ids": {"dtype": "I64", "shape": [1], "data_offsets": [16, 24]},
      "one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})",
                                24);
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 2u);
  for (const SafeTensor& tensor : *tensors) {
    const bool is_half = tensor.name == "half";
    EXPECT_EQ(tensor.type, is_half ? TensorType::kBF16 : TensorType::kF32);
    EXPECT_EQ(tensor.shape, is_half ? std::vector<uint64_t>({2, 3}) : std::vector<uint64_t>());
    ASSERT_EQ(tensor.data.size(), is_half ? 12u : 4u);
    EXPECT_EQ(tensor.data.front(), static_cast<std::byte>(is_half ? 4 : 0));
  }
}

TEST(Safetensors, ClaimedHeaderSizeIsChecked) {
  const std::string header = R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})";
  ASSERT_TRUE(Parse(File(header, 4)));
  for (const uint64_t claimed :
       {header.size() + 5, size_t{1} << 26, size_t{1} << 60, ~size_t{0}, ~size_t{7}}) {
    const Error error = ParseError(File(header, 4, claimed));
    EXPECT_EQ(error.code, ErrorCode::kCorrupt);
    EXPECT_THAT(error.message, HasSubstr(std::to_string(claimed)));
  }
  for (size_t size = 0; size < 8 + header.size(); ++size) {
    EXPECT_EQ(ParseError(File(header, 0).substr(0, size)).code, ErrorCode::kCorrupt) << size;
  }
}

TEST(Safetensors, HeaderMustBeAnObject) {
  for (const char* header :
       {"", "[]", "null", "7", "{", "{\"a\": }", "garbage", "{\"\xC0\xAF\": {}}"}) {
    EXPECT_EQ(ParseError(File(header, 4)).code, ErrorCode::kCorrupt) << header;
  }
}

struct BadEntry {
  const char* entry;
  const char* why;
};

TEST(Safetensors, ImpossibleTensorsAreNamed) {
  for (const BadEntry& bad : {
           BadEntry{R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]})",
                    "8 bytes for three floats"},
           BadEntry{R"({"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 16]})",
                    "16 bytes for four halves"},
           BadEntry{R"({"dtype": "F32", "shape": [4], "data_offsets": [8, 24]})", "beyond the end"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]})",
                    "ends before it begins"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]})",
                    "negative offset"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [18446744073709551608, 0]})",
                    "offset near 2^64"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [0, 1e30]})",
                    "offset of a float"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [0]})", "one offset"},
           BadEntry{R"({"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]})",
                    "three offsets"},
           BadEntry{R"({"dtype": "F32", "shape": [2]})", "no offsets"},
           BadEntry{
               R"({"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]})",
               "elements overflow"},
           BadEntry{R"({"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 0]})",
                    "bytes overflow"},
           BadEntry{R"({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]})",
                    "negative extent"},
           BadEntry{R"({"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]})",
                    "fractional extent"},
           BadEntry{R"({"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,2], "data_offsets": [0, 8]})",
                    "nine dimensions"},
           BadEntry{R"({"dtype": "F32", "shape": "2", "data_offsets": [0, 8]})", "shape of text"},
           BadEntry{R"({"shape": [2], "data_offsets": [0, 8]})", "no type"},
           BadEntry{R"({"dtype": 7, "shape": [2], "data_offsets": [0, 8]})", "type of a number"},
           BadEntry{"[]", "no object"},
       }) {
    const Error error =
        ParseError(File(std::string(R"({"layers.3.weight": )") + bad.entry + "}", 16));
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << bad.why;
    EXPECT_THAT(error.message, HasSubstr("layers.3.weight")) << bad.why;
  }
}

TEST(Safetensors, OverlapsAreNamed) {
  const Error overlap =
      ParseError(File(R"({"first": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
      "second": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}})",
                      16));
  EXPECT_EQ(overlap.code, ErrorCode::kCorrupt);
  EXPECT_THAT(overlap.message, HasSubstr("first"));
  EXPECT_THAT(overlap.message, HasSubstr("second"));
}

TEST(Safetensors, OtherTypesAreUnsupported) {
  const Error error =
      ParseError(File(R"({"w": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}})", 8));
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("F8_E4M3"));
}

// The JSON library prints values recursively, so the message about a deep one must not.
TEST(Safetensors, DeepNestingIsRefused) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_EQ(
      ParseError(
          File(R"({"w": {"dtype": "F32", "shape": [)" + deep + R"(], "data_offsets": [0, 8]}})", 8))
          .code,
      ErrorCode::kCorrupt);
  EXPECT_EQ(
      ParseError(
          File(R"({"w": {"dtype": "F32", "shape": [2], "data_offsets": [)" + deep + ", 8]}}", 8))
          .code,
      ErrorCode::kCorrupt);
}

// A minute where looking a name up is linear in the number of names, else a second.
TEST(Safetensors, ManyTensorsTakeLinearTime) {
  std::string header = "{";
  constexpr int kNumTensors = 300'000;
  for (int i = 0; i < kNumTensors; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  const std::string file = File(header + "}", 0);
  const auto start = std::chrono::steady_clock::now();
  const auto tensors = Parse(file);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
  ASSERT_TRUE(tensors) << tensors.error().message;
  EXPECT_EQ(tensors->size(), size_t{kNumTensors});
}

}  // namespace
}  // namespace hearth
