// Token ids against the reference implementations, see tests/golden/tokenizer.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/gguf/gguf.h"
#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

const std::string kFolder = "tests/golden/tokenizer/";

std::vector<std::string> Lines(const std::string& name) {
  std::ifstream file(kFolder + name);
  EXPECT_TRUE(file) << kFolder + name;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string Unescape(std::string_view line) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    switch (line[++i]) {
      case 'n':
        text += '\n';
        break;
      case 't':
        text += '\t';
        break;
      case 'r':
        text += '\r';
        break;
      case 'u':
        AppendUtf8(
            static_cast<uint32_t>(std::stoul(std::string(line.substr(i + 1, 4)), nullptr, 16)),
            text);
        i += 4;
        break;
      default:
        text += line[i];
    }
  }
  return text;
}

// `decodes`: the tokens hold the whole text.
void ExpectGolden(const Tokenizer& tokenizer, const std::string& name, bool add_special,
                  bool decodes) {
  const std::vector<std::string> texts = Lines("texts.txt"), rows = Lines(name);
  ASSERT_FALSE(texts.empty());
  ASSERT_EQ(texts.size(), rows.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    std::istringstream row(rows[i]);
    std::vector<TokenId> expected;
    for (TokenId id; row >> id;) expected.push_back(id);
    const std::string text = Unescape(texts[i]);
    const std::vector<TokenId> tokens = tokenizer.Encode(text, add_special);
    EXPECT_EQ(tokens, expected) << name << ", line " << i + 1 << ": " << texts[i];
    if (decodes) {
      EXPECT_EQ(tokenizer.Decode(tokens), text);
      StreamDecoder stream(tokenizer);
      std::string streamed;
      for (const TokenId token : tokens) streamed += stream.Push(token);
      EXPECT_EQ(streamed + stream.Finish(), text);
    }
  }
}

void ExpectGoldenOfModel(const std::string& model, const std::string& name) {
  const char* folder = std::getenv("HEARTH_MODELS");
  const char* home = std::getenv("HOME");
  const std::string path =
      (folder != nullptr ? std::string(folder)
                         : std::string(home != nullptr ? home : "") + "/.cache/hearth-models") +
      "/" + model;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there (HEARTH_MODELS)";
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::FromGguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectGolden(**tokenizer, name, false, true);
}

TEST(TokenizerGolden, SmolLm2) {
  ExpectGoldenOfModel("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2.txt");
}

TEST(TokenizerGolden, Qwen2) {
  ExpectGoldenOfModel("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.txt");
}

TEST(TokenizerGolden, SentencePiece) {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  TokenizerTables tables{.model = "llama"};
  for (const std::string& line : Lines("spm.vocab")) {
    const size_t tab = line.find('\t'), second = line.find('\t', tab + 1);
    ASSERT_NE(second, std::string::npos) << line;
    tokens.push_back(line.substr(0, tab));
    tables.scores.push_back(std::stof(line.substr(tab + 1, second - tab - 1)));
    types.push_back(std::stoll(line.substr(second + 1)));
  }
  tables.tokens = tokens;
  tables.types = types;
  tables.add_bos = false;
  const auto tokenizer = MakeTokenizer(tables);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectGolden(**tokenizer, "spm.txt", true, true);
}

TEST(TokenizerGolden, WordPiece) {
  std::vector<std::string> tokens;
  for (const std::string& line : Lines("wordpiece.vocab")) {
    // As a converter writes them: a mark where a word starts, none where it goes on.
    if (line.starts_with("[") && line.size() > 1) {
      tokens.push_back(line);
    } else {
      tokens.push_back(line.size() > 2 && line.starts_with("##") ? line.substr(2)
                                                                 : std::string(kSpaceMark) + line);
    }
  }
  TokenizerTables tables{.model = "bert", .tokens = tokens};
  const auto tokenizer = MakeTokenizer(tables);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectGolden(**tokenizer, "wordpiece.txt", true, false);
}

}  // namespace
}  // namespace hearth
