#include "training/curate/language.h"

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

#include <algorithm>
#include <cctype>

#include "training/curate/prose.h"

namespace hearth::forge {
namespace {

// Fewer letters of the Latin alphabet tell nothing: names, exclamations, single words.
constexpr size_t kMinLatinLetters = 60;
// Letters of other alphabets say much more.
constexpr size_t kMinOtherLetters = 10;
constexpr size_t kMaxBytes = size_t{64} << 10;  // of the prose; more does not change the verdict
constexpr double kEnoughWanted = 0.25;          // translations and glosses stay
constexpr double kEnoughOther = 0.60;           // of one unwanted language

struct Letters {
  size_t latin = 0, other = 0;
};

Letters CountLetters(std::string_view text) {
  Letters letters;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (std::isalpha(c) != 0) ++letters.latin;
    if (c < 0xc2) continue;
    // U+0080 to U+024F are Latin with marks, U+0300 to U+036F the marks alone, U+1E00 to U+1EFF
    // more Latin, U+2000 to U+2BFF punctuation and symbols, beyond U+FFFF mostly pictures.
    const bool latin = c <= 0xc9 || (c == 0xe1 && i + 1 < text.size() &&
                                     static_cast<unsigned char>(text[i + 1]) >= 0xb8 &&
                                     static_cast<unsigned char>(text[i + 1]) <= 0xbb);
    const bool neither = c == 0xcc || c == 0xcd || c == 0xe2 || c >= 0xef;
    if (latin) ++letters.latin;
    if (!latin && !neither) ++letters.other;
  }
  return letters;
}

std::string_view Cut(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xc0) == 0x80) --max_bytes;
  return text.substr(0, max_bytes);
}

}  // namespace

Result<LanguageFilter> LanguageFilter::Create(const std::vector<std::string>& codes) {
  LanguageFilter filter;
  for (const std::string& code : codes) {
    const CLD2::Language language = CLD2::GetLanguageFromName(code.c_str());
    if (language == CLD2::UNKNOWN_LANGUAGE)
      return MakeError(ErrorCode::kInvalidArgument,
                       "\"" + code + "\" is no language code that CLD2 knows, such as en or de");
    filter.wanted_.push_back(language);
  }
  if (filter.wanted_.empty())
    return MakeError(ErrorCode::kInvalidArgument, "no language is wanted");
  return filter;
}

LanguageVerdict LanguageFilter::Judge(const Conversation& conversation) const {
  std::string prose;
  for (const Message& message : conversation.messages) {
    prose += StripCode(Cut(message.content, kMaxBytes));
    if (prose.size() > kMaxBytes) break;
  }
  LanguageVerdict verdict;
  const Letters letters = CountLetters(prose);
  if (letters.latin < kMinLatinLetters && letters.other < kMinOtherLetters) return verdict;

  CLD2::Language languages[3];
  int percents[3], text_bytes = 0;
  double scores[3];
  bool reliable = false;
  const CLD2::CLDHints hints = {nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  CLD2::ExtDetectLanguageSummary(prose.data(), static_cast<int>(prose.size()),
                                 /*is_plain_text=*/true, &hints, /*flags=*/0, languages, percents,
                                 scores, nullptr, &text_bytes, &reliable);
  double other = 0;
  for (int i = 0; i < 3; ++i) {
    if (languages[i] == CLD2::UNKNOWN_LANGUAGE) continue;
    if (std::ranges::find(wanted_, static_cast<int>(languages[i])) != wanted_.end())
      verdict.share_wanted += percents[i] / 100.0;
    else
      other = std::max(other, percents[i] / 100.0);
  }
  verdict.decided = reliable && languages[0] != CLD2::UNKNOWN_LANGUAGE;
  if (!verdict.decided) return verdict;
  verdict.language = CLD2::LanguageCode(languages[0]);
  verdict.wanted = verdict.share_wanted >= kEnoughWanted || other < kEnoughOther;
  return verdict;
}

}  // namespace hearth::forge
