// The ways in which good answers are made bad, for the classifier to learn from.

#include <algorithm>
#include <array>
#include <cctype>

#include "training/curate/quality_training.h"

namespace hearth::forge {
namespace {

// splitmix64: the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  size_t Below(size_t bound) { return static_cast<size_t>(Next() % bound); }

 private:
  uint64_t state_;
};

std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
    size_t end = i;
    while (end < text.size() && std::isspace(static_cast<unsigned char>(text[end])) == 0) ++end;
    if (end > i) words.push_back(text.substr(i, end - i));
    i = end;
  }
  return words;
}

std::string Joined(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

std::string ShuffledWords(std::string_view answer, Random& random) {
  std::vector<std::string_view> words = SplitWords(answer);
  if (words.size() < 6) return "";
  for (size_t i = words.size() - 1; i > 0; --i) std::swap(words[i], words[random.Below(i + 1)]);
  return Joined(words);
}

std::string CutOff(std::string_view answer, Random& random) {
  if (answer.size() < 60) return "";
  size_t size = answer.size() * (30 + random.Below(50)) / 100;
  while (size > 0 && (static_cast<unsigned char>(answer[size]) & 0xc0) == 0x80) --size;
  // Not by chance at a sentence's end: that would be a good answer.
  while (size > 0 && std::string_view(".!?\n").find(answer[size - 1]) != std::string_view::npos) --size;
  return std::string(answer.substr(0, size));
}

std::string Misspelt(std::string_view answer, Random& random) {
  if (answer.size() < 12) return "";
  const size_t one_in = 5 + random.Below(15);
  std::string text;
  for (size_t i = 0; i < answer.size(); ++i) {
    const char c = answer[i];
    if (std::isalpha(static_cast<unsigned char>(c)) == 0 || random.Below(one_in) != 0) {
      text += c;
      continue;
    }
    switch (random.Below(3)) {
      case 0:
        break;  // lost
      case 1:
        text += static_cast<char>('a' + random.Below(26));
        break;
      default:
        text += static_cast<char>('a' + random.Below(26));
        text += c;
    }
  }
  return text;
}

std::string Repeated(std::string_view answer, Random& random) {
  const std::vector<std::string_view> words = SplitWords(answer);
  if (words.size() < 8) return "";
  const size_t length = 3 + random.Below(std::min<size_t>(words.size() / 2, 20));
  const size_t begin = random.Below(words.size() - std::min(length, words.size() - 1));
  std::string text(answer);
  const size_t times = 2 + random.Below(4);
  for (size_t i = 0; i < times; ++i)
    for (size_t k = begin; k < std::min(begin + length, words.size()); ++k)
      text += " " + std::string(words[k]);
  return text;
}

std::string Echo(std::string_view prompt, Random& random) {
  std::vector<std::string_view> words = SplitWords(prompt);
  if (words.size() < 6) return "";
  words.resize(words.size() * (60 + random.Below(40)) / 100);
  return Joined(words);
}

std::string WebDebris(std::string_view answer, Random& random) {
  static constexpr std::array<std::string_view, 12> kDebris = {
      "&nbsp;|&nbsp;Home&nbsp;|&nbsp;About us&nbsp;|&nbsp;Contact",
      "Share on Facebook Tweet this Pin it Email",
      "Click here to subscribe to our newsletter!",
      "</div></td></tr><br/>",
      "Posted by admin on 12/03/2014 | 0 comments | Reply",
      "Copyright 2013. All rights reserved. Privacy policy. Terms of use.",
      "Read more >> Previous | Next | Page 1 of 17",
      "You must be logged in to post a comment.",
      "&quot;&gt;&lt;a href=&quot;",
      "Buy now and save 50%!!! Free shipping!!!",
      "Loading... Please enable JavaScript to view this page",
      "Tags: news, local, top stories | Category: Uncategorized"};
  std::string text(answer.substr(0, 400));
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0) text.pop_back();
  const size_t pieces = 1 + random.Below(4);
  for (size_t i = 0; i < pieces; ++i) {
    const std::string_view piece = kDebris[random.Below(kDebris.size())];
    text = random.Below(2) == 0 ? std::string(piece) + "\n" + text : text + "\n" + std::string(piece);
  }
  return text;
}

}  // namespace

const std::vector<std::string>& DamageKinds() {
  static const std::vector<std::string> kinds = {
      "shuffled_words", "cut_off", "another_answer", "misspelt", "repeated", "echo", "web_debris"};
  return kinds;
}

std::string Damage(const std::string& kind, std::string_view prompt, std::string_view answer,
                   std::string_view other, uint64_t seed) {
  Random random(seed);
  std::string damaged;
  if (kind == "shuffled_words") damaged = ShuffledWords(answer, random);
  if (kind == "cut_off") damaged = CutOff(answer, random);
  if (kind == "another_answer" && other.size() >= 40) damaged = other;
  if (kind == "misspelt") damaged = Misspelt(answer, random);
  if (kind == "repeated") damaged = Repeated(answer, random);
  if (kind == "echo") damaged = Echo(prompt, random);
  if (kind == "web_debris") damaged = WebDebris(answer, random);
  return damaged == answer ? "" : damaged;
}

}  // namespace hearth::forge
