#pragma once
// For tests: a chatml tokenizer of 256 bytes and a few special tokens, so that a token is a byte
// and marks can be read off the text.

#include <unistd.h>

#include <string>

#include "base/check.h"
#include "runtime/gguf/gguf_writer.h"
#include "training/data/tokenized_row.h"

namespace hearth::forge {

inline constexpr int32_t kTestImStart = 256, kTestImEnd = 257, kTestVocabSize = 258;
inline constexpr const char* kTestChatml =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

// The file's path; a GGUF without tensors.
inline std::string WriteTestTokenizer(const std::string& path, const std::string& chat_template) {
  // GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 on.
  std::vector<std::string> tokens;
  const auto append = [&](int code) {
    std::string text;
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xc0 | (code >> 6));
      text += static_cast<char>(0x80 | (code & 0x3f));
    }
    tokens.push_back(text);
  };
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    append(prints ? byte : next++);
  }
  tokens.emplace_back("<|im_start|>");
  tokens.emplace_back("<|im_end|>");
  std::vector<int64_t> types(256, 1);
  types.insert(types.end(), {3, 3});
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("tokenizer.ggml.model", "gpt2");
  writer.SetString("tokenizer.ggml.pre", "qwen2");
  writer.SetStringArray("tokenizer.ggml.tokens", std::move(tokens));
  writer.SetStringArray("tokenizer.ggml.merges", {});
  writer.SetInt32Array("tokenizer.ggml.token_type", std::move(types));
  writer.SetUint32("tokenizer.ggml.eos_token_id", kTestImEnd);
  writer.SetBool("tokenizer.ggml.add_bos_token", false);
  writer.SetString("tokenizer.chat_template", chat_template);
  HEARTH_CHECK(writer.Write(path));
  return path;
}

inline ChatTokenizer TestChat(const std::string& chat_template = kTestChatml) {
  const std::string path = WriteTestTokenizer(
      "/tmp/hearth_test_chat_" + std::to_string(getpid()) + ".gguf", chat_template);
  auto chat = ChatTokenizer::Load(path);
  unlink(path.c_str());
  HEARTH_CHECK(chat);
  return std::move(*chat);
}

// The row's bytes, what is learned in [], special tokens as < and >, the adapter's begin as @ where
// it is not the row's.
inline std::string ShowRow(const TokenizedRow& row) {
  std::string text;
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    const bool learned = row.learned[i] != 0, before = i > 0 && row.learned[i - 1] != 0;
    if (before && !learned) text += ']';
    if (i > 0 && static_cast<int64_t>(i) == row.adapter_begin) text += '@';
    if (learned && !before) text += '[';
    const int32_t id = row.tokens[i];
    text += id == kTestImStart ? '<' : id == kTestImEnd ? '>' : static_cast<char>(id);
  }
  if (!row.learned.empty() && row.learned.back() != 0) text += ']';
  return text;
}

}  // namespace hearth::forge
