// Any tables make an error or a tokenizer; any text in any segments encodes to ids of the
// vocabulary, control tokens only from trusted text; any ids decode to valid UTF-8, whole or
// streamed.

#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

constexpr const char* kModels[] = {"gpt2", "llama", "bert"};
constexpr const char* kPreTokenizers[] = {"",      "gpt-2",  "smollm", "llama-bpe",
                                          "qwen2", "gpt-4o", "tekken"};

struct OwnedTables {
  std::vector<std::string> tokens, merges;
  std::vector<int64_t> types;
  TokenizerTables tables;
};

void AddBytes(OwnedTables& owned) {
  for (int byte = 0; byte < 256; ++byte)
    owned.tokens.emplace_back(ByteSpelling(static_cast<uint8_t>(byte)));
}

void FillTables(FuzzedDataProvider& data, OwnedTables& owned) {
  TokenizerTables& tables = owned.tables;
  tables.model = data.PickValueInArray(kModels);
  tables.pre = data.PickValueInArray(kPreTokenizers);
  if (data.ConsumeBool()) AddBytes(owned);
  const auto num_tokens = data.ConsumeIntegralInRange<size_t>(0, 24);
  for (size_t i = 0; i < num_tokens; ++i) {
    // Half of them are what two others make, so that merges have something to do.
    if (owned.tokens.size() > 1 && data.ConsumeBool()) {
      const auto pick = [&] {
        return owned.tokens[data.ConsumeIntegralInRange<size_t>(0, owned.tokens.size() - 1)];
      };
      const std::string left = pick(), right = pick();
      owned.merges.push_back(left + " " + right);
      owned.tokens.push_back(left + right);
    } else {
      owned.tokens.push_back(data.ConsumeRandomLengthString(12));
    }
  }
  if (data.ConsumeBool()) owned.merges.push_back(data.ConsumeRandomLengthString(8));
  if (data.ConsumeBool()) {
    owned.types.assign(owned.tokens.size(), 1);
    for (size_t i = 0; i < 8 && !owned.types.empty(); ++i) {
      owned.types[data.ConsumeIntegralInRange<size_t>(0, owned.types.size() - 1)] =
          data.ConsumeIntegralInRange<int64_t>(-1, 7);
    }
  }
  if (data.ConsumeBool()) {
    for (size_t i = 0; i < owned.tokens.size(); ++i)
      tables.scores.push_back(data.ConsumeFloatingPoint<float>());
  }
  const auto id = [&]() -> std::optional<TokenId> {
    if (owned.tokens.empty() || data.ConsumeBool()) return std::nullopt;
    return static_cast<TokenId>(data.ConsumeIntegralInRange<size_t>(0, owned.tokens.size() - 1));
  };
  tables.bos = id();
  tables.eos = id();
  tables.unknown = id();
  tables.add_space_prefix = data.ConsumeBool();
  tables.tokens = owned.tokens;
  tables.types = owned.types;
  tables.merges = owned.merges;
}

void CheckValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = DecodeUtf8(text);
    HEARTH_CHECK(unit.kind == Utf8Unit::Kind::kValid);
    text.remove_prefix(unit.size_bytes);
  }
}

void CheckText(FuzzedDataProvider& data, const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  std::vector<TextSegment> segments;
  bool any_trusted = false;
  for (int i = 0; i < 3; ++i) texts.push_back(data.ConsumeRandomLengthString(64));
  for (const std::string& text : texts) {
    segments.push_back({text, data.ConsumeBool()});
    any_trusted |= segments.back().parse_special;
  }
  const std::vector<TokenId> tokens = tokenizer.Encode(segments, false);
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const TokenId token : tokens) {
    HEARTH_CHECK(token >= 0 && token < tokenizer.vocab_size());
    // Only trusted text holds marks of the format. (The unknown token may be filed as one.)
    HEARTH_CHECK(any_trusted || !tokenizer.IsControl(token) || tokenizer.model_name() != "gpt2");
    streamed += stream.Push(token);
  }
  streamed += stream.Finish();
  CheckValidUtf8(streamed);
  HEARTH_CHECK(streamed == tokenizer.Decode(tokens));
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  hearth::OwnedTables owned;
  hearth::FillTables(data, owned);
  const auto tokenizer = hearth::MakeTokenizer(owned.tables);
  if (!tokenizer) {
    HEARTH_CHECK(!tokenizer.error().message.empty());
    return 0;
  }
  while (data.remaining_bytes() > 0) hearth::CheckText(data, **tokenizer);
  return 0;
}
