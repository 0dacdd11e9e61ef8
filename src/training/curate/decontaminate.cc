#include "training/curate/decontaminate.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "kit/json_file.h"

namespace hearth::forge {
namespace {

constexpr int kMaxOperators = 6;

constexpr uint64_t kBase = 0xd6e8feb86659fd93ULL;
constexpr uint64_t Mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

uint64_t HashOf(std::span<const WordHash> words) {
  uint64_t hash = 0;
  for (const WordHash word : words) hash = hash * kBase + word;
  return Mix(hash);
}

// Calls visit(hash, number of operators, begin) for every run of `width` words.
template <typename Visit>
void ForEachRun(std::span<const WordHash> words, size_t width, Visit&& visit) {
  uint64_t hash = 0, power = 1;
  int operators = 0;
  for (size_t i = 0; i < width; ++i) power *= kBase;
  for (size_t i = 0; i < words.size(); ++i) {
    hash = hash * kBase + words[i];
    operators += IsOperator(words[i]) ? 1 : 0;
    if (i >= width) {
      hash -= words[i - width] * power;
      operators -= IsOperator(words[i - width]) ? 1 : 0;
    }
    if (i + 1 >= width && !visit(Mix(hash), operators, i + 1 - width)) return;
  }
}

enum class Field { kPrompt, kAnswer, kSolution };
constexpr std::array<std::pair<const char*, Field>, 17> kFields = {{
    {"prompt", Field::kPrompt},
    {"question", Field::kPrompt},
    {"instruction", Field::kPrompt},
    {"input", Field::kPrompt},
    {"turns", Field::kPrompt},
    {"messages", Field::kPrompt},
    {"conversations", Field::kPrompt},
    {"text", Field::kPrompt},
    {"content", Field::kPrompt},
    {"answer", Field::kAnswer},
    {"response", Field::kAnswer},
    {"output", Field::kAnswer},
    {"completion", Field::kAnswer},
    {"target", Field::kAnswer},
    {"reference", Field::kAnswer},
    {"canonical_solution", Field::kSolution},
    {"solution", Field::kSolution},
}};

// Every text in a field: a string, a list of them, or messages.
void CollectTexts(const Json& value, std::vector<std::string>& texts) {
  if (value.is_string()) {
    texts.push_back(value.get<std::string>());
  } else if (value.is_array()) {
    for (const Json& item : value) CollectTexts(item, texts);
  } else if (value.is_object()) {
    for (const char* field : {"content", "value", "text"})
      if (const auto found = value.find(field); found != value.end()) CollectTexts(*found, texts);
  }
}

std::string IdOf(const Json& item, int64_t position) {
  for (const char* field : {"task_id", "id", "question_id", "name"}) {
    const auto found = item.find(field);
    if (found == item.end()) continue;
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number_integer()) return std::to_string(found->get<int64_t>());
  }
  return "#" + std::to_string(position);
}

}  // namespace

class EvaluationIndex::Builder {
 public:
  Status AddFile(const std::string& path) {
    set_ = static_cast<uint32_t>(index_.sets_.size());
    index_.sets_.push_back({path});
    item_ = 0;
    answers_only_ = true;
    runs_.clear();
    HEARTH_RETURN_IF_ERROR(AddItems(path));
    if (texts_ == 0 && !(answers_only_ && item_ > 0))
      return MakeError(ErrorCode::kCorrupt,
                       path + ": no text of an evaluation's item is found in this file");
    texts_ = 0;
    KeepRuns();
    index_.sets_[set_].items = item_;
    return {};
  }

  EvaluationIndex Finish() {
    std::ranges::sort(index_.postings_);
    uint64_t bits = 1 << 16;
    while (bits < index_.postings_.size() * 16) bits *= 2;
    index_.filter_mask_ = bits - 1;
    index_.filter_.assign(bits / 64, 0);
    for (const Posting& posting : index_.postings_) {
      const uint64_t bit = posting.run & index_.filter_mask_;
      index_.filter_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
    return std::move(index_);
  }

 private:
  Status AddItems(const std::string& path) {
    // One object that holds the examples, or rows.
    if (path.ends_with(".json")) {
      const Result<Json> whole = ReadJsonObject(path);
      if (!whole && whole.error().code != ErrorCode::kCorrupt) return tl::unexpected(whole.error());
      const Json* examples = whole ? JsonChild(*whole, "examples") : nullptr;
      if (examples != nullptr) {
        for (const Json& item : *examples) AddItem(item);
        return {};
      }
    }
    HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(path));
    for (;;) {
      HEARTH_ASSIGN_OR_RETURN(const std::optional<RawRowReader::Row> row, reader.Next());
      if (!row) return {};
      const Result<Json> item = ParseJsonObject(row->json, path);
      if (!item)
        return MakeError(item.error().code,
                         path + ":" + std::to_string(row->line) + ": " + item.error().message);
      AddItem(*item);
    }
  }

  void AddItem(const Json& item) {
    ++item_;
    if (!item.is_object()) return;
    answers_only_ &= item.contains("ground_truth");
    const std::string id = IdOf(item, item_);
    for (const auto& [field, kind] : kFields) {
      const auto found = item.find(field);
      if (found == item.end()) continue;
      std::vector<std::string> texts;
      CollectTexts(*found, texts);
      for (const std::string& text : texts) AddPassage(text, kind, id);
    }
  }

  void AddPassage(const std::string& text, Field kind, const std::string& id) {
    std::vector<WordHash> words;
    AppendWordHashes(NormalizeText(text), words);
    if (words.empty()) return;
    ++texts_;
    const auto number = static_cast<uint32_t>(index_.passages_.size());
    Passage passage{set_, id, kind == Field::kSolution, 0, {}};
    if (words.size() >= kRunWords) {
      ForEachRun(words, kRunWords, [&](uint64_t run, int operators, size_t) {
        if (passage.solution || operators <= kMaxOperators) runs_[run].push_back({number, item_});
        return true;
      });
    } else if (kind == Field::kPrompt && words.size() >= kMinShortWords) {
      index_.short_[HashOf(std::span(words).first(kMinShortWords))].push_back(number);
      passage.words = std::move(words);
    } else if (kind == Field::kPrompt && words.size() >= kMinWholeWords) {
      index_.whole_[HashOf(words)].push_back(number);
    } else {
      return;
    }
    index_.passages_.push_back(std::move(passage));
  }

  // The set's runs, without those of its templates.
  void KeepRuns() {
    Set& set = index_.sets_[set_];
    const int64_t many = std::max<int64_t>(10, item_ / 20);
    for (auto& [run, places] : runs_) {
      std::set<int64_t> items;
      for (const Place& place : places) items.insert(place.item);
      if (static_cast<int64_t>(items.size()) > many) {
        ++set.templates;
        continue;
      }
      ++set.runs;
      std::set<uint32_t> passages;
      for (const Place& place : places) passages.insert(place.passage);
      for (const uint32_t passage : passages) {
        index_.postings_.push_back({run, passage});
        ++index_.passages_[passage].runs;
      }
    }
  }

  struct Place {
    uint32_t passage = 0;
    int64_t item = 0;
  };
  EvaluationIndex index_;
  uint32_t set_ = 0;
  int64_t item_ = 0;
  int64_t texts_ = 0;
  bool answers_only_ = true;
  std::map<uint64_t, std::vector<Place>> runs_;
};

Result<EvaluationIndex> EvaluationIndex::Read(const std::vector<std::string>& files) {
  Builder builder;
  for (const std::string& file : files) HEARTH_RETURN_IF_ERROR(builder.AddFile(file));
  return builder.Finish();
}

EvaluationIndex::Match EvaluationIndex::MatchOf(const Passage& passage, const char* how) const {
  return {static_cast<int>(passage.set), passage.item, how};
}

std::optional<EvaluationIndex::Match> EvaluationIndex::FindRuns(
    std::span<const WordHash> words) const {
  std::optional<Match> match;
  std::map<uint32_t, std::set<uint64_t>> solutions;  // passage -> its runs found here
  ForEachRun(words, kRunWords, [&](uint64_t run, int, size_t) {
    const uint64_t bit = run & filter_mask_;
    if ((filter_[bit / 64] >> (bit % 64) & 1) == 0) return true;
    for (auto at = std::ranges::lower_bound(postings_, Posting{run, 0});
         at != postings_.end() && at->run == run; ++at) {
      const Passage& passage = passages_[at->passage];
      if (!passage.solution) {
        match = MatchOf(passage, "13 words");
        return false;
      }
      std::set<uint64_t>& found = solutions[at->passage];
      found.insert(run);
      if (found.size() * 2 >= passage.runs) {
        match = MatchOf(passage, "half of the solution");
        return false;
      }
    }
    return true;
  });
  return match;
}

std::optional<EvaluationIndex::Match> EvaluationIndex::FindShort(
    std::span<const WordHash> words) const {
  std::optional<Match> match;
  if (short_.empty()) return match;
  ForEachRun(words, kMinShortWords, [&](uint64_t run, int, size_t begin) {
    const auto found = short_.find(run);
    if (found == short_.end()) return true;
    for (const uint32_t number : found->second) {
      const Passage& passage = passages_[number];
      if (begin + passage.words.size() <= words.size() &&
          std::ranges::equal(passage.words, words.subspan(begin, passage.words.size()))) {
        match = MatchOf(passage, "whole item");
        return false;
      }
    }
    return true;
  });
  return match;
}

std::optional<EvaluationIndex::Match> EvaluationIndex::Find(const Conversation& conversation,
                                                            const ComparedText& text) const {
  if (sets_.empty()) return std::nullopt;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const std::span<const WordHash> words = text.Message(i);
    if (auto match = FindRuns(words)) return match;
    if (auto match = FindShort(words)) return match;
    const std::string& role = conversation.messages[i].role;
    if ((role == "user" || role == "text") && words.size() >= kMinWholeWords &&
        words.size() < kMinShortWords) {
      const auto found = whole_.find(HashOf(words));
      if (found != whole_.end()) return MatchOf(passages_[found->second[0]], "whole message");
    }
  }
  return std::nullopt;
}

std::vector<std::string> FindEvaluationSets(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  const auto add_all = [&](const fs::path& from, auto&& wanted) {
    std::error_code code;
    for (fs::directory_iterator it(from, code), end; !code && it != end; it.increment(code))
      if (wanted(it->path().filename().string())) files.push_back(it->path().string());
  };
  add_all(folder, [](const std::string& name) {
    return (name.starts_with("humaneval") && name.ends_with(".jsonl")) ||
           name == "gsm8k_test_a.jsonl" || name == "vicuna_bench.jsonl";
  });
  for (const char* sub : {"bbh", "bfcl"})
    add_all(fs::path(folder) / sub, [](const std::string& name) { return name.ends_with(".json"); });
  std::ranges::sort(files);
  return files;
}

}  // namespace hearth::forge
