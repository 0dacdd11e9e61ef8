#pragma once
// In which language a conversation is, by CLD2 (Debian's, tables within the library), over its
// prose alone. Nothing is rejected without evidence: too few letters, an answer that CLD2 itself
// calls unreliable, or a fair share of a wanted language pass.
// Threads: immutable after construction; safe from many threads.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/data/rows.h"

namespace hearth::forge {

struct LanguageVerdict {
  bool wanted = true;
  bool decided = false;      // false: too little text or an unsure detector
  std::string language;      // CLD2's code of the language with most text, "" where undecided
  double share_wanted = 0;   // of the text, 0 to 1
};

class LanguageFilter {
 public:
  // Codes as CLD2 has them ("en", "de", "zh", ...). Errors: kInvalidArgument naming an unknown one
  // or for none at all.
  static Result<LanguageFilter> Create(const std::vector<std::string>& codes);

  LanguageVerdict Judge(const Conversation& conversation) const;

 private:
  std::vector<int> wanted_;  // CLD2::Language
};

}  // namespace hearth::forge
