#include "runtime/tokenizer/pre_tokenizer.h"

#include <string>

#include "runtime/tokenizer/char_class.h"
#include "runtime/tokenizer/word_patterns.h"

namespace hearth {

struct PreTokenizer::ClassifiedText {
  const char* bytes;
  const uint8_t* classes;
  char Byte(size_t position) const { return bytes[position]; }
  uint8_t Class(size_t position) const { return classes[position]; }
};

namespace {

using Text = PreTokenizer::ClassifiedText;
using NextWord = PreTokenizer::NextWord;
using namespace word_patterns;

constexpr ClassSet kPunctuationAndMath =
    SetOf(CharClass::kPunctuation) | SetOf(CharClass::kSlash) | SetOf(CharClass::kMathSymbol);

constexpr NextWord kGpt2[] = {Gpt2<Text>};
constexpr NextWord kDigitsThenGpt2[] = {SingleNumbers<Text>, Gpt2<Text>};
constexpr NextWord kLlama3[] = {Llama3<kLetters, 3, Text>};
constexpr NextWord kQwen2[] = {Llama3<kLetters, 1, Text>};
constexpr NextWord kQwen35[] = {Llama3<kLetters | kMarks, 1, Text>};
constexpr NextWord kGpt4o[] = {Cased<true, 3, Text>};
constexpr NextWord kTekken[] = {Cased<false, 1, Text>};
// llama.cpp's reading of files that name no pre-tokenizer.
constexpr NextWord kDefault[] = {Runs<kPunctuationAndMath, Text>, Gpt2<Text>, Runs<kNumbers, Text>,
                                 DigitTriples<Text>};

struct Entry {
  std::string_view name;
  std::span<const NextWord> stages;
  bool prefers_whole_words = false;
  bool adds_bos = false;
};

// Several names share one pattern, because converters name what they hash.
constexpr Entry kEntries[] = {
    {"", kDefault},
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"olmo", kGpt2},
    {"mpt", kGpt2},
    {"exaone4", kGpt2},
    {"smollm", kDigitsThenGpt2},
    {"starcoder", kDigitsThenGpt2},
    {"refact", kDigitsThenGpt2},
    {"command-r", kDigitsThenGpt2},
    {"codeshell", kDigitsThenGpt2},
    {"exaone", kDigitsThenGpt2},
    {"minerva-7b", kDigitsThenGpt2},
    {"llama-bpe", kLlama3, true, true},
    {"llama3", kLlama3, true, true},
    {"llama-v3", kLlama3, true, true},
    {"falcon3", kLlama3, true, true},
    {"lfm2", kLlama3, true, true},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"qwen2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"stablelm2", kQwen2},
    {"megrez", kQwen2},
    {"qwen35", kQwen35},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"tekken", kTekken, true, true},
};

void AppendWordEnds(std::span<const NextWord> stages, const Text& text, size_t begin, size_t end,
                    std::vector<size_t>& ends) {
  while (begin < end) {
    const size_t word_end = stages.front()(text, begin, end);
    if (stages.size() == 1) {
      ends.push_back(word_end);
    } else {
      AppendWordEnds(stages.subspan(1), text, begin, word_end, ends);
    }
    begin = word_end;
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::ForName(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name != name) continue;
    PreTokenizer pre;
    pre.stages_ = entry.stages;
    pre.prefers_whole_words_ = entry.prefers_whole_words;
    pre.adds_bos_ = entry.adds_bos;
    return pre;
  }
  return MakeError(ErrorCode::kUnsupported,
                   "pre-tokenizer '" + std::string(name) + "' (tokenizer.ggml.pre)");
}

std::vector<size_t> PreTokenizer::WordEnds(std::string_view text) const {
  const std::vector<uint8_t> classes = ClassifyBytes(text);
  std::vector<size_t> ends;
  ends.reserve(text.size() / 4);
  AppendWordEnds(stages_, {text.data(), classes.data()}, 0, text.size(), ends);
  return ends;
}

}  // namespace hearth
