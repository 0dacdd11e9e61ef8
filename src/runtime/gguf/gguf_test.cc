#include "runtime/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/gguf/gguf_parser.h"
#include "runtime/gguf/gguf_writer.h"

namespace hearth {
namespace {

using testing::HasSubstr;

template <typename T>
std::string Le(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}
std::string Str(std::string_view text) { return Le<uint64_t>(text.size()) + std::string(text); }
std::string Header(uint64_t num_tensors, uint64_t num_keys, uint32_t version = 3) {
  return "GGUF" + Le(version) + Le(num_tensors) + Le(num_keys);
}
std::string Key(std::string_view name, uint32_t type, const std::string& value) {
  return Str(name) + Le(type) + value;
}
std::string Tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type,
                   uint64_t offset) {
  std::string out = Str(name) + Le<uint32_t>(shape.size());
  for (const uint64_t extent : shape) out += Le(extent);
  return out + Le(type) + Le(offset);
}
// Pads to the data section and adds `size_bytes` of data.
std::string WithData(std::string header, size_t size_bytes) {
  header.resize((header.size() + 31) / 32 * 32);
  return header + std::string(size_bytes, 'x');
}
Result<GgufContents> Parse(const std::string& bytes) {
  return ParseGguf(std::as_bytes(std::span(bytes)));
}

struct HostileCase {
  const char* name;
  std::string bytes;
  ErrorCode code;
  const char* message_part;
};

class HostileGguf : public testing::TestWithParam<HostileCase> {};

TEST_P(HostileGguf, IsRefusedByName) {
  const auto contents = Parse(GetParam().bytes);
  ASSERT_FALSE(contents);
  EXPECT_EQ(contents.error().code, GetParam().code) << contents.error().message;
  EXPECT_THAT(contents.error().message, HasSubstr(GetParam().message_part));
}

constexpr uint64_t kHuge = uint64_t{1} << 63;
constexpr uint32_t kF32 = 0, kQ4_0 = 2, kUint32 = 4, kBool = 7, kString = 8, kArray = 9,
                   kUint64 = 10;

INSTANTIATE_TEST_SUITE_P(
    All, HostileGguf,
    testing::Values(
        HostileCase{"Empty", "", ErrorCode::kCorrupt, "not a GGUF file"},
        HostileCase{"OtherMagic", "GGML" + std::string(40, '\0'), ErrorCode::kCorrupt,
                    "not a GGUF file"},
        HostileCase{"CutInHeader", Header(0, 0).substr(0, 15), ErrorCode::kCorrupt, "the header"},
        HostileCase{"VersionOne", Header(0, 0, 1), ErrorCode::kUnsupported, "version 1"},
        HostileCase{"BigEndian", Header(0, 0, 3u << 24), ErrorCode::kUnsupported, "big-endian"},
        HostileCase{"HugeKeyCount", Header(0, kHuge), ErrorCode::kCorrupt,
                    "9223372036854775808 keys"},
        HostileCase{"HugeTensorCount", Header(kHuge, 0), ErrorCode::kCorrupt,
                    "9223372036854775808 tensors"},
        HostileCase{"HugeString", Header(0, 1) + Key("a", kString, Le(kHuge)) + "zz",
                    ErrorCode::kCorrupt, "key \"a\" claims 9223372036854775808 bytes"},
        HostileCase{"HugeArray", Header(0, 1) + Key("a", kArray, Le(kUint32) + Le(kHuge)),
                    ErrorCode::kCorrupt, "key \"a\" claims 9223372036854775808 elements"},
        HostileCase{
            "NestedArray",
            Header(0, 1) + Key("a", kArray, Le(kArray) + Le<uint64_t>(1)) + std::string(16, '\0'),
            ErrorCode::kUnsupported, "array of arrays"},
        HostileCase{"TooManyElements",
                    Header(0, 1) + Key("a", kArray, Le(uint32_t{0}) + Le<uint64_t>(20 << 20)) +
                        std::string(20 << 20, '\0'),
                    ErrorCode::kCorrupt, "the limit is"},
        HostileCase{"UnknownValueType", Header(0, 1) + Key("a", 99, Le<uint64_t>(0)),
                    ErrorCode::kCorrupt, "unknown value type 99"},
        HostileCase{"IntegerAboveInt64", Header(0, 1) + Key("a", kUint64, Le(kHuge)),
                    ErrorCode::kCorrupt, "above 2^63"},
        HostileCase{"BoolOfTwo", Header(0, 1) + Key("abc", kBool, "\x02"), ErrorCode::kCorrupt,
                    "BOOL of value 2"},
        HostileCase{"EmptyKey", Header(0, 1) + Key("", kUint32, Le(1)), ErrorCode::kCorrupt,
                    "the name of key 0"},
        HostileCase{"LongKey", Header(0, 1) + Key(std::string(2000, 'k'), kUint32, Le(1)),
                    ErrorCode::kCorrupt, "2000 bytes"},
        HostileCase{"DuplicateKey",
                    Header(0, 2) + Key("a\n", kUint32, Le(1)) + Key("a\n", kUint32, Le(1)),
                    ErrorCode::kCorrupt, "key \"a\\x0a\" occurs twice"},
        HostileCase{"Split", Header(0, 1) + Key("split.count", 2, Le<uint16_t>(3)),
                    ErrorCode::kUnsupported, "split into 3 files"},
        HostileCase{"AlignmentZero", Header(0, 1) + Key("general.alignment", kUint32, Le(0)),
                    ErrorCode::kCorrupt, "general.alignment is 0"},
        HostileCase{"AlignmentOdd", Header(0, 1) + Key("general.alignment", kUint32, Le(33)),
                    ErrorCode::kCorrupt, "general.alignment is 33"},
        HostileCase{"AlignmentText", Header(0, 1) + Key("general.alignment", kString, Str("32")),
                    ErrorCode::kCorrupt, "general.alignment is not an integer"},
        HostileCase{"NoDimensions", Header(1, 0) + Tensor("t", {}, kF32, 0) + std::string(32, '\0'),
                    ErrorCode::kCorrupt, "0 dimensions"},
        HostileCase{"FiveDimensions", Header(1, 0) + Tensor("t", {1, 1, 1, 1, 1}, kF32, 0),
                    ErrorCode::kCorrupt, "5 dimensions"},
        HostileCase{"ZeroExtent", Header(1, 0) + Tensor("t", {4, 0}, kF32, 0), ErrorCode::kCorrupt,
                    "empty: [4, 0]"},
        HostileCase{"ShapeOverflow", Header(1, 0) + Tensor("t", {kHuge, 4}, kF32, 0),
                    ErrorCode::kCorrupt, "too large"},
        HostileCase{"ShapeWrapsToZero", Header(1, 0) + Tensor("t", {kHuge, 2}, kF32, 0),
                    ErrorCode::kCorrupt, "too large"},
        HostileCase{"TypeWeLack", Header(1, 0) + Tensor("t", {256}, 16, 0), ErrorCode::kUnsupported,
                    "IQ2_XXS"},
        HostileCase{"TypeNobodyHas", Header(1, 0) + Tensor("t", {256}, 4000, 0),
                    ErrorCode::kUnsupported, "4000"},
        HostileCase{"PartialBlock", Header(1, 0) + Tensor("t", {33}, kQ4_0, 0), ErrorCode::kCorrupt,
                    "rows of 33"},
        HostileCase{"UnalignedOffset", WithData(Header(1, 0) + Tensor("t", {8}, kF32, 4), 64),
                    ErrorCode::kCorrupt, "offset 4"},
        HostileCase{"CutData", WithData(Header(1, 0) + Tensor("t", {8}, kF32, 0), 31),
                    ErrorCode::kCorrupt, "beyond the file's end"},
        HostileCase{"OffsetOverflow",
                    WithData(Header(1, 0) + Tensor("t", {8}, kF32, ~uint64_t{0} - 31), 64),
                    ErrorCode::kCorrupt, "beyond the file's end"},
        HostileCase{
            "Overlap",
            WithData(Header(2, 0) + Tensor("s", {16}, kF32, 0) + Tensor("t", {8}, kF32, 32), 96),
            ErrorCode::kCorrupt, "\"s\" and \"t\" overlap"},
        HostileCase{
            "DuplicateTensor",
            WithData(Header(2, 0) + Tensor("t", {8}, kF32, 0) + Tensor("t", {8}, kF32, 32), 96),
            ErrorCode::kCorrupt, "tensor \"t\" occurs twice"}),
    [](const auto& test) { return test.param.name; });

TEST(Gguf, EveryTruncationIsAnErrorAndNothingElse) {
  const std::string whole =
      WithData(Header(1, 3) + Key("a", kString, Str("text")) +
                   Key("b", kArray, Le(kString) + Le<uint64_t>(2) + Str("x") + Str("yz")) +
                   Key("c", kUint32, Le(7)) + Tensor("t", {8}, kF32, 0),
               32);
  ASSERT_TRUE(Parse(whole));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(Parse(whole.substr(0, size))) << size;
}

class GgufRoundTrip : public testing::Test {
 protected:
  void SetUp() override { path_ = testing::TempDir() + "gguf_round_trip.gguf"; }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

TEST_F(GgufRoundTrip, WhatIsWrittenIsRead) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetUint32("llama.block_count", 7);
  writer.SetUint32("llama.block_count", 2);
  writer.SetFloat32("llama.rope.freq_base", 10000.0f);
  writer.SetBool("flag", true);
  writer.Set("small", {GgufValueType::kInt8, int64_t{-5}});
  writer.Set("wide", {GgufValueType::kUint64, int64_t{1} << 62});
  writer.SetStringArray("tokens", {"a", "", std::string("\0b", 2)});
  writer.SetInt32Array("ids", {-1, 0, 2147483647});
  writer.SetFloat32Array("scores", {0.5, -1.0});
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  writer.AddTensor("w", TensorType::kF32, {3, 2}, std::as_bytes(std::span(values)));
  writer.AddTensor("q", TensorType::kQ4_0, {64, 3},
                   [](const GgufWriter::TensorSink& sink) -> Status {
                     for (int row = 0; row < 3; ++row)
                       HEARTH_RETURN_IF_ERROR(sink(std::vector<std::byte>(36, std::byte(row))));
                     return {};
                   });
  ASSERT_TRUE(writer.Write(path_));

  const auto file = GgufFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->GetString("general.architecture").value(), "llama");
  EXPECT_EQ(file->GetInt("llama.block_count").value(), 2);
  EXPECT_EQ(file->GetFloat("llama.rope.freq_base").value(), 10000.0);
  EXPECT_EQ(file->GetFloat("llama.block_count").value(), 2.0);
  EXPECT_TRUE(file->GetBool("flag").value());
  EXPECT_EQ(file->GetInt("small").value(), -5);
  EXPECT_EQ(file->GetInt("wide").value(), int64_t{1} << 62);
  EXPECT_EQ(**file->GetStringArray("tokens"),
            (std::vector<std::string>{"a", "", std::string("\0b", 2)}));
  EXPECT_EQ(**file->GetIntArray("ids"), (std::vector<int64_t>{-1, 0, 2147483647}));
  EXPECT_EQ(**file->GetFloatArray("scores"), (std::vector<double>{0.5, -1.0}));
  const GgufTensor* w = file->FindTensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->num_columns(), 3u);
  EXPECT_EQ(w->num_rows(), 2u);
  EXPECT_EQ(w->row_bytes(), 12u);
  EXPECT_EQ(std::memcmp(w->data.data(), values.data(), 24), 0);
  const GgufTensor* q = file->FindTensor("q");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->file_offset % 32, 0u);
  EXPECT_EQ(q->data[36 * 2], std::byte(2));
  EXPECT_EQ(file->FindTensor("none"), nullptr);
}

TEST_F(GgufRoundTrip, WrongAccessNamesTheKey) {
  GgufWriter writer;
  writer.SetString("name", "x");
  writer.SetInt32Array("ids", {1});
  ASSERT_TRUE(writer.Write(path_));
  const auto file = GgufFile::Open(path_);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->GetInt("name").error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(file->GetInt("name").error().message,
              HasSubstr("key name is STRING, expected an integer"));
  EXPECT_THAT(file->GetStringArray("ids").error().message,
              HasSubstr("ARRAY of INT32, expected ARRAY of STRING"));
  EXPECT_EQ(file->GetInt("gone").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file->GetInt("gone").error().message, HasSubstr("gone"));
  EXPECT_EQ(file->GetIntOr("gone", 3).value(), 3);
  EXPECT_FALSE(file->GetIntOr("name", 3));
}

TEST_F(GgufRoundTrip, ASourceOfTheWrongSizeLeavesNoFile) {
  GgufWriter writer;
  writer.AddTensor("w", TensorType::kF32, {4}, std::vector<std::byte>(15));
  const auto status = writer.Write(path_);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("tensor w: fewer"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST(Gguf, MissingFileIsNamed) {
  const auto file = GgufFile::Open("/nowhere/model.gguf");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.error().message, HasSubstr("/nowhere/model.gguf"));
}

}  // namespace
}  // namespace hearth
