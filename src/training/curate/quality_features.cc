#include "training/curate/quality_features.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>
#include <unordered_set>

#include "training/curate/compared_text.h"

namespace hearth::forge {
namespace {

constexpr size_t kMaxBytes = 8192;  // of a text; long answers are judged by their two ends

constexpr std::array<std::string_view, 96> kFunctionWords = {
    "the",   "a",     "an",    "and",   "or",    "but",   "of",    "to",    "in",    "on",
    "at",    "by",    "for",   "with",  "from",  "as",    "is",    "are",   "was",   "were",
    "be",    "been",  "being", "am",    "it",    "its",   "this",  "that",  "these", "those",
    "he",    "she",   "they",  "we",    "you",   "i",     "his",   "her",   "their", "our",
    "your",  "my",    "him",   "them",  "us",    "me",    "who",   "which", "what",  "when",
    "where", "why",   "how",   "not",   "no",    "yes",   "do",    "does",  "did",   "have",
    "has",   "had",   "will",  "would", "can",   "could", "should", "may",  "might", "must",
    "if",    "then",  "than",  "so",    "because", "while", "after", "before", "into", "about",
    "over",  "under", "between", "there", "here", "all",  "some",  "any",   "each",  "every",
    "more",  "most",  "other", "such",  "only",  "also"};

uint32_t Hash(uint64_t x) {
  x *= 0x9e3779b97f4a7c15ULL;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9ULL;
  return static_cast<uint32_t>(x >> 32);
}

// The place of a lower-case word in the list, or -1.
int FunctionWord(std::string_view word) {
  struct Entry {
    std::string_view word;
    int place;
  };
  static const std::vector<Entry> sorted = [] {
    std::vector<Entry> all;
    for (size_t i = 0; i < kFunctionWords.size(); ++i)
      all.push_back({kFunctionWords[i], static_cast<int>(i)});
    std::ranges::sort(all, {}, &Entry::word);
    return all;
  }();
  const auto found = std::ranges::lower_bound(sorted, word, {}, &Entry::word);
  return found != sorted.end() && found->word == word ? found->place : -1;
}

bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '\'' || (c & 0x80);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// Classes: 1 the text's ends, 2 a line's end, 16 to 47 shapes, 64 + character, 512 + function word.
constexpr uint32_t kEnd = 1, kNewline = 2;

uint32_t ClassOf(std::string_view token, const std::string& lower) {
  if (!IsWordChar(token[0])) return 64 + static_cast<unsigned char>(token[0]);
  if (const int place = FunctionWord(lower); place >= 0)
    return 512 + static_cast<uint32_t>(place);
  size_t digits = 0, upper = 0, marked = 0;
  for (const char c : token) {
    digits += std::isdigit(static_cast<unsigned char>(c)) != 0 ? 1 : 0;
    upper += std::isupper(static_cast<unsigned char>(c)) != 0 ? 1 : 0;
    marked += (c & 0x80) != 0 ? 1 : 0;
  }
  if (digits == token.size()) return 16;
  if (digits > 0) return 17;
  if (marked > 0) return 18;
  const uint32_t length = token.size() <= 2    ? 0
                          : token.size() <= 5  ? 1
                          : token.size() <= 9  ? 2
                          : token.size() <= 14 ? 3
                                               : 4;
  const bool capital = std::isupper(static_cast<unsigned char>(token[0])) != 0;
  const uint32_t shape = upper == 0 ? 0 : capital && upper == 1 ? 1 : upper == token.size() ? 2 : 3;
  return 20 + shape * 5 + length;
}

// What is counted of one text while its tokens pass.
struct Counts {
  std::vector<uint32_t> buckets;  // of both kinds, with repetitions
  size_t class_pairs = 0, letter_triples = 0;
  size_t words = 0, function_words = 0, word_letters = 0, longest = 0;
  std::unordered_set<std::string> distinct, content;
  std::unordered_set<uint64_t> word_pairs;
};

void CountTokens(std::string_view text, Counts& counts) {
  uint32_t previous = kEnd;
  uint64_t previous_word = 0;
  const auto pair = [&](uint32_t next) {
    counts.buckets.push_back(Hash(previous * 4096ULL + next) % kClassPairBuckets);
    ++counts.class_pairs;
    previous = next;
  };
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\n') pair(kNewline);
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (IsWordChar(c) && end < text.size() && IsWordChar(text[end])) ++end;
    const std::string_view token = text.substr(i, end - i);
    i = end;
    const std::string lower = Lower(token);
    const uint32_t kind = ClassOf(token, lower);
    pair(kind);
    if (kind >= 64 && kind < 512) continue;  // punctuation
    ++counts.words;
    counts.word_letters += token.size();
    counts.longest = std::max(counts.longest, token.size());
    counts.distinct.insert(lower);
    if (kind >= 512)
      ++counts.function_words;
    else if (token.size() > 3)
      counts.content.insert(lower);
    const uint64_t word = std::hash<std::string>{}(lower);
    counts.word_pairs.insert(previous_word * 31 + word);
    previous_word = word;
    if (kind < 20) continue;  // numbers and names with digits are spelt as they please
    const std::string framed = "^" + lower + "$";
    for (size_t k = 0; k + 3 <= framed.size(); ++k) {
      const auto at = [&](size_t n) {
        return static_cast<uint64_t>(static_cast<unsigned char>(framed[k + n]));
      };
      counts.buckets.push_back(static_cast<uint32_t>(
          kClassPairBuckets + Hash((at(0) << 16 | at(1) << 8 | at(2)) + (1ULL << 32)) % kLetterBuckets));
      ++counts.letter_triples;
    }
  }
  pair(kEnd);
}

double Share(size_t part, size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

size_t CountIf(std::string_view text, bool (*is)(char)) {
  return static_cast<size_t>(std::ranges::count_if(text, is));
}

// 0 to 1 each.
std::array<double, kNumFigures> Figures(std::string_view prompt, std::string_view answer,
                                        const Counts& counts, const Counts& asked) {
  size_t shared = 0;
  for (const std::string& word : counts.content) shared += asked.content.count(word);
  const auto log_share = [](size_t value, double top) {
    return std::log1p(static_cast<double>(value)) / std::log1p(top);
  };
  size_t last = answer.size();
  while (last > 0 && std::isspace(static_cast<unsigned char>(answer[last - 1])) != 0) --last;
  const char end = last > 0 ? answer[last - 1] : ' ';
  const bool closed = std::string_view(".!?\"')]}:;>`*").find(end) != std::string_view::npos;
  return {
      log_share(counts.words, 1000),
      log_share(asked.words, 1000),
      Share(shared, counts.content.size()),
      Share(shared, asked.content.size()),
      closed ? 1.0 : 0.0,
      Share(counts.distinct.size(), counts.words),
      Share(counts.word_pairs.size(), counts.words),
      Share(counts.function_words, counts.words),
      Share(CountIf(answer, [](char c) { return c >= '0' && c <= '9'; }), answer.size()) * 2,
      Share(CountIf(answer, [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }),
            answer.size()) * 2,
      Share(CountIf(answer, [](char c) { return c >= 'A' && c <= 'Z'; }), answer.size()) * 4,
      Share(counts.word_letters, counts.words) / 12,
      log_share(counts.longest, 60),
      prompt.empty() ? 0.0 : 1.0,
  };
}

// The whole, or its two ends.
std::string Shortened(std::string_view text) {
  if (text.size() <= kMaxBytes) return std::string(text);
  return std::string(text.substr(0, kMaxBytes / 2)) + " " +
         std::string(text.substr(text.size() - kMaxBytes / 2));
}

}  // namespace

std::vector<Feature> ExtractFeatures(std::string_view prompt, std::string_view answer) {
  const std::string question = Shortened(prompt), reply = Shortened(answer);
  Counts counts, asked;
  CountTokens(reply, counts);
  CountTokens(question, asked);
  std::ranges::sort(counts.buckets);
  std::vector<Feature> features;
  for (size_t i = 0; i < counts.buckets.size();) {
    size_t end = i;
    while (end < counts.buckets.size() && counts.buckets[end] == counts.buckets[i]) ++end;
    // Evidence grows with the root of the length: words of one text are not independent.
    const size_t total = counts.buckets[i] < kClassPairBuckets ? counts.class_pairs
                                                               : counts.letter_triples;
    features.push_back({counts.buckets[i], static_cast<float>(static_cast<double>(end - i) /
                                                              std::sqrt(static_cast<double>(total)))});
    i = end;
  }
  const std::array<double, kNumFigures> figures = Figures(question, reply, counts, asked);
  for (size_t i = 0; i < kNumFigures; ++i) {
    const double at = std::clamp(figures[i], 0.0, 1.0) * (kKnots - 1);
    const size_t knot = std::min(static_cast<size_t>(at), kKnots - 2);
    const auto upper = static_cast<float>(at - static_cast<double>(knot));
    const auto first = static_cast<uint32_t>(kHashedFeatures + i * kKnots + knot);
    features.push_back({first, 1 - upper});
    features.push_back({first + 1, upper});
  }
  return features;
}

std::vector<Exchange> ExchangesOf(const Conversation& conversation) {
  std::vector<Exchange> exchanges;
  std::string_view prompt;
  for (const Message& message : conversation.messages) {
    if (message.role == "user") prompt = message.content;
    if (message.role == "assistant" || message.role == "text")
      exchanges.push_back({prompt, message.content});
  }
  return exchanges;
}

}  // namespace hearth::forge
