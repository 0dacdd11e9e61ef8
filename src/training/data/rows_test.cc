#include "training/data/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>

namespace hearth::forge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class Rows : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = testing::TempDir() + "hearth_rows_" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // Each conversation as "role:content|...", each error as its message.
  std::vector<std::string> ReadAll(std::vector<std::string> paths,
                                   size_t max_row_bytes = RawRowReader::kMaxRowBytes) {
    auto reader = RowReader::Open(std::move(paths), max_row_bytes);
    if (!reader) return {reader.error().message};
    std::vector<std::string> all;
    while (reader->can_continue()) {
      const auto row = reader->Next();
      if (row && !*row) break;
      all.push_back(row ? Show(**row) : row.error().message);
    }
    return all;
  }
  static std::string Show(const Conversation& conversation) {
    std::string text;
    for (const Message& message : conversation.messages)
      text += (text.empty() ? "" : "|") + message.role + ":" + message.content;
    return text;
  }
  static std::string Shown(std::string_view json) {
    const auto rows = ParseRow(json);
    if (!rows) return rows.error().message;
    std::string text;
    for (const Conversation& one : *rows)
      text +=
          (text.empty() ? "" : " & ") + std::string(RowFormatName(one.format)) + " " + Show(one);
    return text;
  }
};

TEST_F(Rows, EveryShapeBecomesMessages) {
  EXPECT_EQ(
      Shown(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})"),
      "messages user:a|assistant:b");
  EXPECT_EQ(Shown(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
                  R"({"type":"text","text":"b"}]},{"role":"assistant","content":null}]})"),
            "messages user:ab|assistant:");
  EXPECT_EQ(Shown(R"({"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},)"
                  R"({"from":"gpt","value":"b"}]})"),
            "sharegpt system:s|user:a|assistant:b");
  EXPECT_EQ(Shown(R"({"instruction":"do","input":"this","output":"done"})"),
            "alpaca user:do\n\nthis|assistant:done");
  EXPECT_EQ(Shown(R"({"instruction":"do","input":"","response":"done"})"),
            "alpaca user:do|assistant:done");
  EXPECT_EQ(Shown(R"({"instruction":"c","history":[["a","b"]],"system":"s","output":"d"})"),
            "alpaca system:s|user:a|assistant:b|user:c|assistant:d");
  EXPECT_EQ(Shown(R"({"instruction":"do","instances":[{"input":"x","output":"1"},)"
                  R"({"input":"y","output":"2"}]})"),
            "alpaca user:do\n\nx|assistant:1 & alpaca user:do\n\ny|assistant:2");
  EXPECT_EQ(Shown(R"({"prompt":"a","completion":"b"})"), "prompt_completion user:a|assistant:b");
  EXPECT_EQ(Shown(R"({"prompt":[{"role":"user","content":"a"}],)"
                  R"("completion":[{"role":"assistant","content":"b"}]})"),
            "prompt_completion user:a|assistant:b");
  EXPECT_EQ(Shown(R"({"question":"a","answer":"b"})"), "prompt_completion user:a|assistant:b");
  EXPECT_EQ(Shown(R"({"question_id":1,"turns":["a","b"]})"), "prompt_completion user:a|user:b");
  EXPECT_EQ(Shown(R"({"text":"a"})"), "text text:a");
}

TEST_F(Rows, WhatIsWrongIsNamed) {
  EXPECT_THAT(Shown("{"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Shown("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Shown("{\"text\":\"\xff\"}"), HasSubstr("not UTF-8"));
  EXPECT_THAT(Shown(R"({"text":"\ud800"})"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Shown(R"({"text":5})"), HasSubstr("\"text\" is number"));
  EXPECT_THAT(Shown(R"({"messages":[]})"), HasSubstr("\"messages\" is empty"));
  EXPECT_THAT(Shown(R"({"messages":{"role":"user"}})"), HasSubstr("expected a list"));
  EXPECT_THAT(Shown(R"({"messages":["hi"]})"), HasSubstr("holds no messages"));
  EXPECT_THAT(Shown(R"({"messages":[{"content":"hi"}]})"), HasSubstr("no role"));
  EXPECT_THAT(Shown(R"({"messages":[{"role":"user"}]})"), HasSubstr("no content"));
  EXPECT_THAT(Shown(R"({"messages":[{"role":"wizard","content":"hi"}]})"),
              HasSubstr("unknown role \"wizard\""));
  EXPECT_THAT(Shown(R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})"),
              HasSubstr("not text"));
  EXPECT_THAT(Shown(R"({"a":1,"b":2})"), HasSubstr("its fields are \"a\", \"b\""));
  EXPECT_THAT(Shown(std::string(100'000, '[')), HasSubstr("deep"));
}

TEST_F(Rows, ReadsLinesAndArraysAlikeWithTheirPlaces) {
  const std::string a = R"({"prompt":"a [1], {","completion":"b\"]"})", b = R"({"text":"c"})";
  const std::string lines = Write("lines", "\xef\xbb\xbf\n" + a + "\r\n\n  " + b);
  const std::string array = Write("array", "[\n" + a + ",\n\n " + b + "\n]\n");
  auto reader = RowReader::Open({lines, array});
  ASSERT_TRUE(reader);
  std::vector<std::string> places;
  while (const auto row = reader->Next().value()) {
    places.push_back(std::to_string(row->source) + ":" + std::to_string(row->line) + " " +
                     Show(*row));
    EXPECT_TRUE(reader->raw().starts_with("{"));
  }
  EXPECT_THAT(places, ElementsAre("0:2 user:a [1], {|assistant:b\"]", "0:4 text:c",
                                  "1:2 user:a [1], {|assistant:b\"]", "1:4 text:c"));
  EXPECT_EQ(reader->progress(), 1.0);
}

TEST_F(Rows, ABrokenRowIsAnErrorAndReadingGoesOn) {
  const std::string path =
      Write("broken", "{\"text\":\"a\"}\n{\"text\":\n{\"text\":\"" + std::string(200, 'x') +
                          "\"}\n{\"text\":\"\xc0\x80\"}\n{\"text\":\"b\"}\n");
  EXPECT_THAT(ReadAll({path}, 100), ElementsAre("text:a", StartsWith(path + ":2: "),
                                                path + ":3: the row has more than 100 bytes",
                                                path + ":4: the row is not UTF-8", "text:b"));
}

TEST_F(Rows, ABrokenArrayEndsTheFile) {
  const std::string a = R"({"text":"a"})";
  EXPECT_THAT(ReadAll({Write("open", "[" + a)}), ElementsAre("text:a", HasSubstr("not closed")));
  EXPECT_THAT(ReadAll({Write("cut", "[" + a + ",{\"te")}),
              ElementsAre("text:a", HasSubstr("cut off")));
  EXPECT_THAT(ReadAll({Write("comma", "[" + a + a + "]")}),
              ElementsAre("text:a", HasSubstr("comma")));
  EXPECT_THAT(ReadAll({Write("end", "[" + a + "] x")}),
              ElementsAre("text:a", HasSubstr("behind the array")));
  EXPECT_THAT(ReadAll({Write("commas", "[" + a + ",,]")}),
              ElementsAre("text:a", HasSubstr("no row between")));
  EXPECT_THAT(ReadAll({Write("none", "[]")}), ElementsAre());
  EXPECT_THAT(ReadAll({Write("empty", "")}), ElementsAre());
  EXPECT_THAT(ReadAll({testing::TempDir() + "hearth_rows_absent"}),
              ElementsAre(HasSubstr("hearth_rows_absent")));
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(Rows, CompressionIsSeenByTheBytesAndMembersFollowEachOther) {
  std::string first, second;
  for (int i = 0; i < 20'000; ++i)
    (i % 2 == 0 ? first : second) += "{\"text\":\"row " + std::to_string(i) + "\"}\n";
  const auto plain = ReadAll({Write("plain", first + second)});
  ASSERT_EQ(plain.size(), 20'000u);
  EXPECT_EQ(ReadAll({Write("gz", Gzip(first) + Gzip("") + Gzip(second))}), plain);
  EXPECT_EQ(ReadAll({Write("zst", Zstd(first) + Zstd("") + Zstd(second))}), plain);
}

TEST_F(Rows, DamagedCompressionIsAnErrorThatEndsTheFile) {
  const std::string text = "{\"text\":\"a\"}\n";
  for (const std::string& whole : {Gzip(text), Zstd(text)}) {
    for (size_t size = 4; size < whole.size(); ++size) {
      const auto rows = ReadAll({Write("damaged", whole.substr(0, size))});
      ASSERT_FALSE(rows.empty()) << size;
      EXPECT_THAT(rows.back(), testing::AnyOf(HasSubstr("cut off"), HasSubstr("damaged"))) << size;
    }
  }
}

TEST_F(Rows, WhatIsWrittenReadsBack) {
  Conversation conversation;
  conversation.messages = {{"user", "a\n\"\\\xe2\x82\xac"}, {"assistant", "\x01"}};
  const auto again = ParseRow(ToJsonLine(conversation));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->front().messages, conversation.messages);
  EXPECT_EQ(ToJsonLine(conversation).find('\n'), std::string::npos);
}

TEST_F(Rows, ReadsTheSharedData) {
  const char* variable = std::getenv("HEARTH_DATA");
  const std::string folder = variable != nullptr ? variable : "../shared/data";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no data at " << folder;
  const std::vector<std::pair<std::string, size_t>> files = {
      {"gsm8k_train.jsonl", 7473},
      {"gpteacher_codegen.json", 4535},
      {"gpteacher_toolformer.json", 7673},
      {"gpteacher_roleplay.json", 1923},
      {"self_instruct_seed_tasks.jsonl", 175},
      {"user_oriented_instructions.jsonl", 252},
      {"vicuna_bench.jsonl", 80},
      {"humaneval.jsonl", 164}};
  for (const auto& [name, count] : files) {
    auto reader = RowReader::Open({folder + "/" + name});
    ASSERT_TRUE(reader) << reader.error().message;
    size_t rows = 0;
    for (;; ++rows) {
      const auto row = reader->Next();
      ASSERT_TRUE(row) << row.error().message;
      if (!*row) break;
    }
    EXPECT_EQ(rows, count) << name;
  }
}

}  // namespace
}  // namespace hearth::forge
