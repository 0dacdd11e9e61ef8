#pragma once
// Which rows hold something of an evaluation set. An item's text is cut into runs of 13 words; a
// row that holds one of them is contaminated by that item, except where that would prove nothing:
//
//   templates   runs that stand in many items of a set (more than 5% and more than 10) are the
//               set's wording, not an item
//   code        runs of which more than six words are operators are idioms, not an item; a worked
//               solution counts only when half of its runs are in the row
//   short items of 8 to 12 words must be there whole; of 3 to 7 words a message must consist of
//               them; shorter ones, and short answers, are not looked for
//
// Sets are JSONL or JSON: rows with prompt, question, input, turns, messages, ... and BIG-Bench-
// Hard's {"examples": [...]}. Tool schemas and tests are not looked at.
// Threads: immutable after Read; Find is safe from many.

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "training/curate/compared_text.h"

namespace hearth::forge {

class EvaluationIndex {
 public:
  static constexpr size_t kRunWords = 13;
  static constexpr size_t kMinShortWords = 8;
  static constexpr size_t kMinWholeWords = 3;

  // Errors: those of the files; kCorrupt for a file in which no text of an item is found, unless it
  // is one of answers alone ("ground_truth").
  static Result<EvaluationIndex> Read(const std::vector<std::string>& files);

  struct Set {
    std::string file;
    int64_t items = 0;
    int64_t runs = 0;       // looked for
    int64_t templates = 0;  // left out, see above
  };
  const std::vector<Set>& sets() const { return sets_; }

  struct Match {
    int set = 0;       // place in sets()
    std::string item;  // its id in the file, or "#N" by position from 1
    std::string how;   // "13 words", "whole item", "whole message", "half of the solution"
  };
  std::optional<Match> Find(const Conversation& conversation, const ComparedText& text) const;

 private:
  struct Passage {
    uint32_t set = 0;
    std::string item;
    bool solution = false;
    uint32_t runs = 0;
    std::vector<WordHash> words;  // of short items only
  };
  struct Posting {
    uint64_t run = 0;
    uint32_t passage = 0;
    auto operator<=>(const Posting&) const = default;
  };
  class Builder;

  Match MatchOf(const Passage& passage, const char* how) const;
  std::optional<Match> FindRuns(std::span<const WordHash> words) const;
  std::optional<Match> FindShort(std::span<const WordHash> words) const;

  std::vector<Set> sets_;
  std::vector<Passage> passages_;
  std::vector<Posting> postings_;  // sorted
  std::vector<uint64_t> filter_;   // bits of runs that exist, for the many that do not
  uint64_t filter_mask_ = 0;
  // The hash of an item's first kMinShortWords words -> passages; of all words of a shorter one.
  std::unordered_map<uint64_t, std::vector<uint32_t>> short_, whole_;
};

// The evaluation sets that lie in a folder of shared data, by the names they have there:
// humaneval*.jsonl, gsm8k_test_a.jsonl, vicuna_bench.jsonl, bbh/*.json, bfcl/*.json. Sorted; none
// where the folder does not exist.
std::vector<std::string> FindEvaluationSets(const std::string& folder);

}  // namespace hearth::forge
