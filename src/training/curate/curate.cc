#include "training/curate/curate.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "base/atomic_file.h"
#include "base/thread_pool.h"
#include "training/curate/hash_file.h"
#include "training/curate/language.h"
#include "training/curate/ledger.h"
#include "training/curate/quality_classifier.h"
#include "training/curate/row_store.h"

namespace hearth::forge {
namespace {

// Rows worked on at a time: enough for many threads, little memory.
constexpr size_t kChunkRows = 4096;
constexpr size_t kChunkBytes = size_t{16} << 20;
constexpr int64_t kSliceRows = 64;  // that a thread takes at once
// Of near-duplicates the one with the higher score is kept; smaller differences are noise.
constexpr double kScoreStep = 0.05;
constexpr uint32_t kNobody = UINT32_MAX;

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

enum Stage { kParse, kMinHash, kContamination, kLanguage, kQuality, kNumStages };
constexpr std::array<const char*, kNumStages> kStageNames = {"parse", "minhash", "decontaminate",
                                                             "language", "quality"};

// A row of a file and what became of it.
struct RawWork {
  std::string json;
  int64_t line = 0;
  bool too_large = false;
  std::string fault;  // why it holds no conversation
  size_t first = 0, count = 0;  // its conversations within its slice
};

struct Candidate {
  Conversation conversation;
  int64_t stripped = 0;
  ComparedText text;
  BandHashes bands{};
  Removal removal;  // where a reason is named
  int contaminated_by = -1;
  std::string language;
  bool language_asked = false;
  float score = 0.5F;
};

// What one thread works on at a time.
struct Slice {
  std::vector<Candidate> candidates;
  std::array<double, kNumStages> cpu_s{};
};

// What is remembered of a row that no rule removed.
struct Survivor {
  TextHash hash;
  uint32_t length = 0;  // bytes of its contents
  float score = 0;
};

class Curator {
 public:
  explicit Curator(const CurateOptions& options) : options_(options), pool_(options.num_threads) {}

  Result<CurateReport> Run() {
    report_.num_threads = pool_.size();
    HEARTH_RETURN_IF_ERROR(Prepare());
    HEARTH_RETURN_IF_ERROR(HashInputs());
    HEARTH_RETURN_IF_ERROR(ReadAll());
    HEARTH_RETURN_IF_ERROR(store_->Finish());
    HEARTH_RETURN_IF_ERROR(FindDuplicates());
    HEARTH_RETURN_IF_ERROR(WriteSurvivors());
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    report_.peak_memory_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
    HEARTH_RETURN_IF_ERROR(Commit());
    return std::move(report_);
  }

 private:
  Status Progress(std::string_view stage, double done) const {
    if (options_.on_progress && !options_.on_progress(stage, done)) return Stopped();
    return {};
  }
  static tl::unexpected<Error> Stopped() {
    return MakeError(ErrorCode::kCancelled, "stopped; nothing was written");
  }

  std::string PathOf(const char* name) const { return options_.output_folder + "/" + name; }

  Status Prepare() {
    if (!options_.languages.empty()) {
      HEARTH_ASSIGN_OR_RETURN(language_, LanguageFilter::Create(options_.languages));
    }
    if (!options_.quality_model.empty()) {
      HEARTH_ASSIGN_OR_RETURN(const std::string json, ReadWholeFile(options_.quality_model));
      HEARTH_ASSIGN_OR_RETURN(own_classifier_, QualityClassifier::Parse(json));
      classifier_ = &*own_classifier_;
    }
    report_.min_quality = options_.min_quality.value_or(classifier_->threshold());
    const Stopwatch watch;
    HEARTH_ASSIGN_OR_RETURN(evaluation_, EvaluationIndex::Read(options_.evaluation_sets));
    report_.stages["read_evaluation_sets"].wall_s = watch.Seconds();
    report_.evaluation_sets = evaluation_.sets();
    report_.contaminated_by.assign(report_.evaluation_sets.size(), 0);

    std::error_code code;
    std::filesystem::create_directories(options_.output_folder, code);
    if (code)
      return MakeError(ErrorCode::kIo,
                       "cannot make " + options_.output_folder + ": " + code.message());
    HEARTH_ASSIGN_OR_RETURN(RowStore store, RowStore::Create(options_.output_folder));
    store_ = std::make_unique<RowStore>(std::move(store));
    HEARTH_ASSIGN_OR_RETURN(removed_, AtomicFile::Create(PathOf("removed.jsonl")));
    HEARTH_ASSIGN_OR_RETURN(kept_, AtomicFile::Create(PathOf("kept.jsonl")));
    return {};
  }

  Status HashInputs() {
    const Stopwatch watch;
    for (const std::string& path : options_.inputs) {
      CurateInput input{path, 0, "", {}};
      if (path != "-") {
        HEARTH_ASSIGN_OR_RETURN(const FileHash hash, HashFile(path));
        input.size_bytes = hash.size_bytes;
        input.hash = hash.hex;
      }
      report_.inputs.push_back(std::move(input));
    }
    report_.stages["hash_inputs"].wall_s = watch.Seconds();
    return {};
  }

  Status ReadAll() {
    const Stopwatch watch;
    for (size_t file = 0; file < options_.inputs.size(); ++file) HEARTH_RETURN_IF_ERROR(Read(file));
    report_.stages["read_and_filter"].wall_s = watch.Seconds();
    for (size_t stage = 0; stage < kNumStages; ++stage) {
      report_.stages[kStageNames[stage]].cpu_s = cpu_s_[stage];
      report_.stages["read_and_filter"].cpu_s += cpu_s_[stage];
    }
    report_.minhash_cpu_s = cpu_s_[kMinHash];
    return {};
  }

  Status Read(size_t file) {
    const std::string& path = options_.inputs[file];
    HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(path));
    for (bool at_end = false; !at_end;) {
      std::vector<RawWork> chunk;
      size_t bytes = 0;
      while (chunk.size() < kChunkRows && bytes < kChunkBytes) {
        HEARTH_ASSIGN_OR_RETURN(const std::optional<RawRowReader::Row> row, reader.Next());
        if (!row) {
          at_end = true;
          break;
        }
        chunk.push_back({std::string(row->json), row->line, row->too_large, {}, 0, 0});
        bytes += row->json.size();
      }
      const auto num_slices = (static_cast<int64_t>(chunk.size()) + kSliceRows - 1) / kSliceRows;
      std::vector<Slice> slices(static_cast<size_t>(num_slices));
      pool_.Run([&](Worker& worker) {
        worker.ForEach(num_slices, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const auto first = static_cast<size_t>(i * kSliceRows);
            const size_t count = std::min<size_t>(kSliceRows, chunk.size() - first);
            Examine(std::span(chunk).subspan(first, count), slices[static_cast<size_t>(i)]);
          }
        });
      });
      for (size_t i = 0; i < chunk.size(); ++i) {
        Slice& slice = slices[i / static_cast<size_t>(kSliceRows)];
        HEARTH_RETURN_IF_ERROR(Take(chunk[i], slice, file));
      }
      for (const Slice& slice : slices)
        for (size_t stage = 0; stage < kNumStages; ++stage) cpu_s_[stage] += slice.cpu_s[stage];
      const double total = static_cast<double>(options_.inputs.size());
      const double within = reader.stream().file_size_bytes() == 0
                                ? 0.0
                                : static_cast<double>(reader.stream().file_bytes_read()) /
                                      static_cast<double>(reader.stream().file_size_bytes());
      HEARTH_RETURN_IF_ERROR(
          Progress("Reading and filtering", (static_cast<double>(file) + within) / total));
    }
    return {};
  }

  // One stage after the other over the slice, so that each can be timed. Runs on any thread.
  void Examine(std::span<RawWork> rows, Slice& slice) const {
    double before = ThreadCpuSeconds();
    const auto finish = [&](Stage stage) {
      const double now = ThreadCpuSeconds();
      slice.cpu_s[stage] += now - before;
      before = now;
    };
    for (RawWork& row : rows) Parse(row, slice.candidates);
    finish(kParse);
    for (Candidate& candidate : slice.candidates) Hash(candidate);
    finish(kMinHash);
    for (Candidate& candidate : slice.candidates) CheckContamination(candidate);
    finish(kContamination);
    for (Candidate& candidate : slice.candidates) CheckLanguage(candidate);
    finish(kLanguage);
    for (Candidate& candidate : slice.candidates) CheckQuality(candidate);
    finish(kQuality);
  }

  static void Parse(RawWork& row, std::vector<Candidate>& candidates) {
    row.first = candidates.size();
    if (row.too_large) {
      row.fault = "longer than " + std::to_string(RawRowReader::kMaxRowBytes) + " bytes";
      return;
    }
    Result<std::vector<Conversation>> conversations = ParseRow(row.json);
    if (!conversations) {
      row.fault = conversations.error().message;
      return;
    }
    row.count = conversations->size();
    for (Conversation& conversation : *conversations) {
      Candidate candidate;
      candidate.stripped = StripEndMarkers(conversation);
      candidate.conversation = std::move(conversation);
      candidates.push_back(std::move(candidate));
    }
  }

  static void Hash(Candidate& candidate) {
    thread_local std::vector<Shingle> shingles;
    candidate.text = Compare(candidate.conversation);
    shingles.clear();
    AppendShingles(candidate.text.words, shingles);
    candidate.bands = HashBands(MinHash(shingles));
  }

  void CheckContamination(Candidate& candidate) const {
    const auto match = evaluation_.Find(candidate.conversation, candidate.text);
    if (!match) return;
    candidate.contaminated_by = match->set;
    const std::string& set = evaluation_.sets()[static_cast<size_t>(match->set)].file;
    candidate.removal.reason = "contaminated";
    candidate.removal.detail = match->how;
    candidate.removal.other = set + " " + match->item;
  }

  void CheckLanguage(Candidate& candidate) const {
    if (!language_ || !candidate.removal.reason.empty()) return;
    LanguageVerdict verdict = language_->Judge(candidate.conversation);
    candidate.language_asked = true;
    if (!verdict.wanted) {
      candidate.removal.reason = "language";
      candidate.removal.detail =
          verdict.language + ", " +
          std::to_string(static_cast<int>(verdict.share_wanted * 100 + 0.5)) + "% wanted";
    }
    candidate.language = std::move(verdict.language);
  }

  void CheckQuality(Candidate& candidate) const {
    if (!candidate.removal.reason.empty()) return;
    if (options_.quality_rules) {
      if (std::optional<Fault> fault = FindFault(candidate.conversation, options_.limits)) {
        candidate.removal.reason = fault->reason;
        candidate.removal.detail = std::move(fault->detail);
        return;
      }
    }
    candidate.score = static_cast<float>(classifier_->Score(candidate.conversation));
    if (static_cast<double>(candidate.score) < report_.min_quality) {
      char text[32];
      std::snprintf(text, sizeof text, "score %.4f", static_cast<double>(candidate.score));
      candidate.removal.reason = "low_quality";
      candidate.removal.detail = text;
    }
  }

  void Count(size_t file, const std::string& reason) {
    for (CurateCounts* counts : {&report_.counts, &report_.inputs[file].counts}) {
      ++counts->rows_in;
      if (!reason.empty()) ++counts->removed[reason];
    }
  }

  Status WriteLine(AtomicFile& file, std::string line) {
    line += '\n';
    return file.Write(std::as_bytes(std::span(line)));
  }

  Status Take(const RawWork& row, Slice& slice, size_t file) {
    if (!row.fault.empty() || row.count == 0) {
      Count(file, "malformed");
      const Removal removal{"malformed", SourceOf(options_.inputs[file], row.line), row.fault, "", -1};
      return WriteLine(*removed_, ToJsonLine(removal, row.json));
    }
    for (size_t i = row.first; i < row.first + row.count; ++i) {
      Candidate& candidate = slice.candidates[i];
      Conversation& conversation = candidate.conversation;
      conversation.source = static_cast<int>(file);
      conversation.line = row.line;
      report_.stripped_markers += candidate.stripped;
      if (candidate.language_asked) ++report_.languages[candidate.language];
      ++report_.minhash_rows;
      Count(file, candidate.removal.reason);
      if (!candidate.removal.reason.empty()) {
        if (candidate.contaminated_by >= 0)
          ++report_.contaminated_by[static_cast<size_t>(candidate.contaminated_by)];
        candidate.removal.source = SourceOf(options_.inputs[file], row.line);
        HEARTH_RETURN_IF_ERROR(
            WriteLine(*removed_, ToJsonLine(candidate.removal, conversation)));
        continue;
      }
      if (store_->size() == kNobody - 1)
        return MakeError(ErrorCode::kResourceExhausted, "more than 4 billion rows");
      size_t length = 0;
      for (const Message& message : conversation.messages) length += message.content.size();
      survivors_.push_back({candidate.text.hash,
                            static_cast<uint32_t>(std::min<size_t>(length, UINT32_MAX)),
                            candidate.score});
      if (options_.near_duplicates) bands_.Add(candidate.bands);
      HEARTH_RETURN_IF_ERROR(store_->Append(conversation));
    }
    return {};
  }

  // The better of two rows: by score, then length, then order.
  bool IsBetter(uint32_t a, uint32_t b) const {
    const auto step = [&](uint32_t row) {
      return static_cast<int>(static_cast<double>(survivors_[row].score) / kScoreStep);
    };
    if (step(a) != step(b)) return step(a) > step(b);
    if (survivors_[a].length != survivors_[b].length)
      return survivors_[a].length > survivors_[b].length;
    return a < b;
  }

  Status FindDuplicates() {
    keeper_.assign(survivors_.size(), kNobody);
    is_copy_.assign(survivors_.size(), false);
    Stopwatch watch;
    HEARTH_RETURN_IF_ERROR(Progress("Finding duplicates", 0));
    if (options_.exact_duplicates) FindCopies();
    report_.stages["exact_duplicates"].wall_s = watch.Seconds();
    if (!options_.near_duplicates) return {};

    watch = Stopwatch();
    BandIndex::Options search;
    search.threshold = options_.similarity;
    search.all_pairs = options_.write_pairs;
    search.on_progress = [&](double done) {
      return Progress("Finding duplicates", done).has_value();
    };
    BandIndex::Found found = bands_.Find([&](uint32_t row) { return bool{is_copy_[row]}; },
                                         [&](uint32_t row) { return ShinglesOf(row); }, pool_,
                                         search);
    if (found.stopped) return Stopped();
    HEARTH_RETURN_IF_ERROR(store_->status());
    report_.near = found.statistics;
    PickKeepers(found.clusters);
    pairs_ = std::move(found.pairs);
    report_.stages["near_duplicates"].wall_s = watch.Seconds();
    return {};
  }

  ShingleSet ShinglesOf(uint32_t row) const {
    return MakeShingleSet(Compare(store_->Read(row)).words);
  }

  // Rows whose normalised texts are equal: all but the best are copies of it.
  void FindCopies() {
    std::vector<uint32_t> order(survivors_.size());
    for (uint32_t row = 0; row < order.size(); ++row) order[row] = row;
    std::ranges::sort(order, [&](uint32_t a, uint32_t b) {
      return std::tie(survivors_[a].hash, a) < std::tie(survivors_[b].hash, b);
    });
    for (size_t begin = 0; begin < order.size();) {
      size_t end = begin + 1;
      uint32_t best = order[begin];
      for (; end < order.size() && survivors_[order[end]].hash == survivors_[order[begin]].hash; ++end)
        if (IsBetter(order[end], best)) best = order[end];
      for (size_t i = begin; i < end; ++i) {
        if (order[i] == best) continue;
        is_copy_[order[i]] = true;
        keeper_[order[i]] = best;
      }
      begin = end;
    }
  }

  void PickKeepers(const UnionFind& clusters) {
    const auto count = static_cast<uint32_t>(survivors_.size());
    std::vector<uint32_t> best(count, kNobody), members(count, 0);
    for (uint32_t row = 0; row < count; ++row) {
      if (is_copy_[row]) continue;
      const uint32_t root = clusters.Root(row);
      if (best[root] == kNobody || IsBetter(row, best[root])) best[root] = row;
      if (++members[root] == 2) ++report_.near_clusters;
      report_.largest_cluster = std::max<int64_t>(report_.largest_cluster, members[root]);
    }
    for (uint32_t row = 0; row < count; ++row) {
      if (is_copy_[row]) continue;
      const uint32_t keeper = best[clusters.Root(row)];
      if (keeper != row) keeper_[row] = keeper;
    }
  }

  // A line of either file for every survivor, in order.
  Status WriteSurvivors() {
    const Stopwatch watch;
    // The row through which a member joined its cluster, where it is less like the one kept.
    std::vector<std::pair<uint32_t, uint32_t>> links;  // row, place in pairs_
    for (uint32_t i = 0; i < pairs_.size(); ++i) {
      links.emplace_back(pairs_[i].a, i);
      links.emplace_back(pairs_[i].b, i);
    }
    std::ranges::sort(links);
    const auto count = static_cast<uint32_t>(survivors_.size());
    for (uint32_t first = 0; first < count; first += kChunkRows) {
      const uint32_t size = std::min<uint32_t>(kChunkRows, count - first);
      std::vector<std::string> lines(size);
      std::vector<uint8_t> without_answer(size, 0);
      std::vector<int> sources(size, 0);
      pool_.Run([&](Worker& worker) {
        worker.ForEach(size, 16, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const auto row = first + static_cast<uint32_t>(i);
            const Conversation conversation = store_->Read(row);
            const auto at = static_cast<size_t>(i);
            sources[at] = conversation.source;
            without_answer[at] = std::ranges::all_of(
                conversation.messages, [](const Message& m) { return m.role == "user" || m.role == "system"; });
            lines[at] = keeper_[row] == kNobody
                            ? ToJsonLine(conversation)
                            : ToJsonLine(RemovalOf(row, conversation, links), conversation);
          }
        });
      });
      HEARTH_RETURN_IF_ERROR(store_->status());
      for (uint32_t i = 0; i < size; ++i) {
        const uint32_t row = first + i;
        const bool kept = keeper_[row] == kNobody;
        CurateCounts& counts = report_.inputs[static_cast<size_t>(sources[i])].counts;
        for (CurateCounts* all : {&report_.counts, &counts}) {
          if (kept)
            ++all->kept;
          else
            ++all->removed[is_copy_[row] ? "exact_duplicate" : "near_duplicate"];
        }
        if (kept) report_.prompts_only += without_answer[i];
        HEARTH_RETURN_IF_ERROR(WriteLine(kept ? *kept_ : *removed_, std::move(lines[i])));
      }
      HEARTH_RETURN_IF_ERROR(Progress("Writing", static_cast<double>(first + size) / count));
    }
    report_.stages["write"].wall_s = watch.Seconds();
    return {};
  }

  std::string SourceOfRow(uint32_t row) const {
    const Conversation conversation = store_->Read(row);
    return SourceOf(options_.inputs[static_cast<size_t>(conversation.source)], conversation.line);
  }

  Removal RemovalOf(uint32_t row, const Conversation& conversation,
                    const std::vector<std::pair<uint32_t, uint32_t>>& links) const {
    Removal removal;
    removal.source =
        SourceOf(options_.inputs[static_cast<size_t>(conversation.source)], conversation.line);
    const uint32_t keeper = keeper_[row];
    removal.other = SourceOfRow(keeper);
    if (is_copy_[row]) {
      removal.reason = "exact_duplicate";
      removal.similarity = 1;
      if (keeper_[keeper] != kNobody)
        removal.detail = "that one is a near_duplicate of " + SourceOfRow(keeper_[keeper]);
      return removal;
    }
    removal.reason = "near_duplicate";
    removal.similarity = Jaccard(ShinglesOf(row), ShinglesOf(keeper));
    const auto link = std::ranges::lower_bound(links, std::pair<uint32_t, uint32_t>(row, 0));
    if (removal.similarity < options_.similarity && link != links.end() && link->first == row) {
      const SimilarPair& pair = pairs_[link->second];
      char text[32];
      std::snprintf(text, sizeof text, " (%.4f)", static_cast<double>(pair.similarity));
      removal.detail = "joined through " + SourceOfRow(pair.a == row ? pair.b : pair.a) + text;
    }
    return removal;
  }

  Status WritePairs() {
    HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(PathOf("pairs.jsonl")));
    for (const SimilarPair& pair : pairs_) {
      char text[64];
      std::snprintf(text, sizeof text, ", \"similarity\": %.4f}",
                    static_cast<double>(pair.similarity));
      HEARTH_RETURN_IF_ERROR(WriteLine(file, "{\"a\": " + QuoteJson(SourceOfRow(pair.a)) +
                                                 ", \"b\": " + QuoteJson(SourceOfRow(pair.b)) + text));
    }
    return file.Commit();
  }

  // An older report goes first and the new one comes last: a report always belongs to its rows.
  Status Commit() {
    HEARTH_RETURN_IF_ERROR(Progress("Writing", 1));
    report_.stages["all"].wall_s = whole_.Seconds();
    std::error_code code;
    std::filesystem::remove(PathOf("report.json"), code);
    if (options_.write_pairs) HEARTH_RETURN_IF_ERROR(WritePairs());
    HEARTH_RETURN_IF_ERROR(removed_->Commit());
    HEARTH_RETURN_IF_ERROR(kept_->Commit());
    HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(PathOf("report.json")));
    HEARTH_RETURN_IF_ERROR(WriteLine(file, ReportJson(report_, options_)));
    return file.Commit();
  }

  const CurateOptions& options_;
  const Stopwatch whole_;
  ThreadPool pool_;
  std::optional<LanguageFilter> language_;
  std::optional<QualityClassifier> own_classifier_;
  const QualityClassifier* classifier_ = &QualityClassifier::BuiltIn();
  EvaluationIndex evaluation_;
  std::unique_ptr<RowStore> store_;
  std::optional<AtomicFile> kept_, removed_;
  std::array<double, kNumStages> cpu_s_{};
  std::vector<Survivor> survivors_;  // by their numbers in store_ and bands_
  BandIndex bands_;
  std::vector<uint32_t> keeper_;  // the row for which this one was removed, or kNobody
  std::vector<bool> is_copy_;
  std::vector<SimilarPair> pairs_;
  CurateReport report_;
};

}  // namespace

int64_t CurateCounts::num_removed() const {
  int64_t total = 0;
  for (const auto& [reason, count] : removed) total += count;
  return total;
}

Result<CurateReport> Curate(const CurateOptions& options) {
  if (options.inputs.empty())
    return MakeError(ErrorCode::kInvalidArgument, "no files of rows are named");
  if (options.output_folder.empty())
    return MakeError(ErrorCode::kInvalidArgument, "no folder for the result is named");
  if (!(options.similarity > 0 && options.similarity <= 1))
    return MakeError(ErrorCode::kInvalidArgument, "a similarity of " +
                                                      std::to_string(options.similarity) +
                                                      " is not above 0 and at most 1");
  return Curator(options).Run();
}

}  // namespace hearth::forge
