// hearth-forge curate: files of rows -> the rows worth training on, with an account of the others;
// and the training of the classifier that this uses.

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/interrupt.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "base/atomic_file.h"
#include "training/curate/curate.h"
#include "training/curate/quality_training.h"

namespace hearth::forge {
namespace {

struct CurateFlags {
  CurateOptions options;
  std::vector<std::string> languages = {"en"};
  std::vector<std::string> decontaminate;
  bool no_decontaminate = false;
  bool no_quality = false, no_exact = false, no_near = false, drop_prompts = false;
  double min_quality = -1;
  std::string train_quality;
  std::vector<std::string> bad;
  bool json = false;
};

// The folder of shared data, where there is one.
std::string DataFolder() {
  const char* variable = std::getenv("HEARTH_DATA");
  return variable != nullptr && *variable != '\0' ? variable : "../shared/data";
}

// The files named, folders replaced by the sets in them; without any, those of the shared data.
std::vector<std::string> EvaluationSets(const CurateFlags& flags) {
  if (flags.no_decontaminate) return {};
  if (flags.decontaminate.empty()) return FindEvaluationSets(DataFolder());
  std::vector<std::string> files;
  for (const std::string& name : flags.decontaminate) {
    std::error_code code;
    if (std::filesystem::is_directory(name, code)) {
      for (std::string& file : FindEvaluationSets(name)) files.push_back(std::move(file));
    } else {
      files.push_back(name);
    }
  }
  return files;
}

// The bar of a run, whose label is the stage's name; false after Ctrl-C.
class Progress {
 public:
  bool operator()(std::string_view stage, double done) {
    if (stage != stage_) {
      stage_ = stage;
      bar_ = std::make_unique<ProgressBar>(stage_);
    }
    bar_->Update(done);
    return !InterruptGuard::Requested();
  }
  void Clear() { bar_.reset(); }

 private:
  std::string stage_;
  std::unique_ptr<ProgressBar> bar_;
};

int FailOrInterrupted(const Error& error) {
  const int code = Fail(error);
  return error.code == ErrorCode::kCancelled ? kExitInterrupted : code;
}

std::string FileName(const std::string& path) {
  return OneLine(std::filesystem::path(path).filename().string());
}

void PrintReport(const CurateReport& report, const CurateOptions& options) {
  const auto count = [](int64_t value) { return static_cast<long long>(value); };
  Print(Format("%-44s %10s %10s %10s\n", "", "rows", "kept", "removed"));
  for (const CurateInput& input : report.inputs)
    Print(Format("%-44s %10lld %10lld %10lld\n", FileName(input.path).c_str(),
                 count(input.counts.rows_in), count(input.counts.kept),
                 count(input.counts.num_removed())));
  Print(Format("%-44s %10lld %10lld %10lld\n\n", "all", count(report.counts.rows_in),
               count(report.counts.kept), count(report.counts.num_removed())));
  for (const auto& [reason, rows] : report.counts.removed)
    Print(Format("  %-42s %32lld\n", reason.c_str(), count(rows)));
  for (size_t i = 0; i < report.evaluation_sets.size(); ++i)
    if (report.contaminated_by[i] > 0)
      Print(Format("    contaminated by %-25s %32lld\n",
                   FileName(report.evaluation_sets[i].file).c_str(), count(report.contaminated_by[i])));
  if (report.evaluation_sets.empty())
    Print("Not compared with any evaluation set (--decontaminate).\n");
  const StageTime& all = report.stages.at("all");
  Print(Format("\n%s with %d threads; MinHash %s rows/s per core; %s of memory\n%s\n",
               FormatDuration(all.wall_s).c_str(), report.num_threads,
               FormatCount(static_cast<int64_t>(static_cast<double>(report.minhash_rows) /
                                                std::max(report.minhash_cpu_s, 1e-9)))
                   .c_str(),
               FormatBytes(report.peak_memory_bytes).c_str(),
               OneLine(options.output_folder + "/{kept,removed}.jsonl, report.json").c_str()));
}

int RunCurate(const CurateFlags& flags) {
  if (flags.options.output_folder.empty())
    return FailUsage("--output is required: the folder for kept.jsonl, removed.jsonl, report.json");
  CurateOptions options = flags.options;
  options.evaluation_sets = EvaluationSets(flags);
  options.languages = flags.languages;
  if (flags.languages == std::vector<std::string>{"any"}) options.languages.clear();
  options.quality_rules = !flags.no_quality;
  if (flags.no_quality) options.min_quality = 0;
  if (flags.min_quality >= 0) options.min_quality = flags.min_quality;
  options.limits.keep_prompts = !flags.drop_prompts;
  options.exact_duplicates = !flags.no_exact;
  options.near_duplicates = !flags.no_near;
  const InterruptGuard interrupt(/*once=*/true);
  Progress progress;
  options.on_progress = [&](std::string_view stage, double done) { return progress(stage, done); };
  const Result<CurateReport> report = Curate(options);
  progress.Clear();
  if (!report) return FailOrInterrupted(report.error());
  if (flags.json)
    Print(ReportJson(*report, options) + "\n");
  else
    PrintReport(*report, options);
  return kExitOk;
}

Status WriteText(const std::string& path, const std::string& text) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

int RunTrainQuality(const CurateFlags& flags) {
  QualityTrainingOptions options;
  options.good = flags.options.inputs;
  options.bad = flags.bad;
  const InterruptGuard interrupt(/*once=*/true);
  Progress progress;
  options.on_progress = [&](double done) { return progress("Training", done); };
  const Result<QualityTrainingReport> report = TrainQuality(options);
  progress.Clear();
  if (!report) return FailOrInterrupted(report.error());
  std::string about = "hearth-forge curate --train-quality, good rows from";
  for (const std::string& path : options.good) about += " " + FileName(path);
  if (const Status written = WriteText(flags.train_quality, report->classifier.ToJson(about));
      !written)
    return Fail(written.error());
  const auto count = [](int64_t value) { return static_cast<long long>(value); };
  if (flags.json) {
    std::string kinds;
    for (const auto& [kind, share] : report->found)
      kinds += Format("%s\"%s\": {\"found\": %.4f, \"auc\": %.4f, \"found_unseen\": %.4f}",
                      kinds.empty() ? "" : ", ", kind.c_str(), share, report->auc_by_kind.at(kind),
                      report->found_unseen.at(kind));
    Print(Format("{\"train_good\": %lld, \"train_bad\": %lld, \"held_out_good\": %lld, "
                 "\"held_out_bad\": %lld, \"threshold\": %.6f, \"auc\": %.4f, \"good_removed\": "
                 "%.4f, \"damage\": {%s}}\n",
                 count(report->train_good), count(report->train_bad), count(report->held_out_good),
                 count(report->held_out_bad), report->classifier.threshold(), report->auc,
                 report->good_removed, kinds.c_str()));
    return kExitOk;
  }
  Print(Format("Trained on %lld good and %lld bad rows. Of the held-out ones (%lld and %lld):\n"
               "area under the curve %.4f; threshold %.4f removes %.2f%% of the good\n\n"
               "%-18s %12s %12s %22s\n",
               count(report->train_good), count(report->train_bad), count(report->held_out_good),
               count(report->held_out_bad), report->auc, report->classifier.threshold(),
               100 * report->good_removed, "damage", "found", "area", "found when not seen"));
  for (const auto& [kind, share] : report->found)
    Print(Format("%-18s %11.1f%% %12.4f %21.1f%%\n", kind.c_str(), 100 * share,
                 report->auc_by_kind.at(kind), 100 * report->found_unseen.at(kind)));
  return kExitOk;
}

}  // namespace

void AddCurate(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "curate", "Choose the rows worth training on; account for every other one");
  const auto flags = std::make_shared<CurateFlags>();
  CurateOptions& options = flags->options;
  command
      ->add_option("-i,--input", options.inputs,
                   "JSONL or JSON, plain, gzip or zstd: messages, ShareGPT, Alpaca, "
                   "prompt/completion, text; - reads standard input")
      ->required()
      ->type_name("FILE...");
  command
      ->add_option("-o,--output", options.output_folder,
                   "Folder for kept.jsonl, removed.jsonl and report.json")
      ->type_name("DIR");
  command->add_option("--threads", options.num_threads, "0: one per core")
      ->check(CLI::Range(0, 1024).description(""))
      ->capture_default_str();
  command
      ->add_option("--languages", flags->languages,
                   "Wanted languages, as codes with commas; any: do not ask")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("CODES");
  command
      ->add_option("--decontaminate", flags->decontaminate,
                   "Evaluation sets, files or folders; when not given, those in HEARTH_DATA")
      ->type_name("FILE...");
  command->add_flag("--no-decontaminate", flags->no_decontaminate,
                    "Compare with no evaluation set");
  command->add_flag("--no-quality", flags->no_quality, "No quality rules, no classifier");
  command
      ->add_option("--min-quality", flags->min_quality,
                   "Remove rows that the classifier scores lower, 0 to 1; 0: none. When not given, "
                   "the classifier's own threshold")
      ->check(CLI::Range(0.0, 1.0).description(""));
  command
      ->add_option("--quality-model", options.quality_model,
                   "A classifier of your own, from --train-quality")
      ->type_name("FILE");
  command
      ->add_option("--min-answer-chars", options.limits.min_answer_chars,
                   "Letters and digits that an answer needs")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30).description(""))
      ->capture_default_str();
  command
      ->add_option("--max-answer-chars", options.limits.max_answer_chars, "Bytes of an answer")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30).description(""))
      ->capture_default_str();
  command->add_option("--max-chars", options.limits.max_chars, "Bytes of a conversation")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30).description(""))
      ->capture_default_str();
  command->add_flag("--drop-prompts", flags->drop_prompts,
                    "Remove conversations without an answer; otherwise they are kept as prompts");
  command->add_flag("--no-exact", flags->no_exact, "Do not look for exact duplicates");
  command->add_flag("--no-near", flags->no_near, "Do not look for near-duplicates");
  command
      ->add_option("--similarity", options.similarity,
                   "Jaccard similarity of five-word shingles from which rows are near-duplicates; "
                   "the bands are made for 0.8")
      ->check(CLI::Range(0.5, 1.0).description(""))
      ->capture_default_str();
  command->add_flag("--pairs", options.write_pairs,
                    "Also write pairs.jsonl: every near-duplicate pair found");
  command
      ->add_option("--train-quality", flags->train_quality,
                   "Instead of curating: train the classifier on --input, taken to be good, and "
                   "damaged copies of it; write it here")
      ->type_name("FILE");
  command
      ->add_option("--bad", flags->bad, "With --train-quality: rows that are bad as they are")
      ->type_name("FILE...");
  command->add_flag("--json", flags->json, "One JSON object: what report.json holds");
  AddExamples(*command,
              "  hearth-forge curate --input chats.jsonl alpaca.json --output curated\n"
              "  hearth-forge curate --input big.jsonl.zst --output out --threads 16 --json\n"
              "  hearth-forge curate --input de.jsonl --output out --languages de,en "
              "--decontaminate my_test_set.jsonl\n"
              "  hearth-forge curate --input good.jsonl --train-quality quality.json");
  command->callback([&action, flags] {
    action = [flags] {
      return flags->train_quality.empty() ? RunCurate(*flags) : RunTrainQuality(*flags);
    };
  });
}

}  // namespace hearth::forge
