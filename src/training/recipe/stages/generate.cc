// generate: conversations that a model makes itself, or its answers to given questions.
//
// Invented conversations are made in parts, each a whole file in the scratch folder: a killed stage
// goes on with the parts that are missing.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/sha256.h"
#include "training/generate/generate_file.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/model_options.h"
#include "training/recipe/stages/training_keys.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPartConversations = 20000;

struct Part {
  int64_t invented = 0;
  std::vector<std::string> prompt_files;
  uint64_t seed = 0;
};

// Seeds of parts that do not come near each other's.
uint64_t SeedOf(int64_t seed, size_t part) {
  const std::string hash = Sha256Of(std::to_string(seed) + "/" + std::to_string(part));
  return std::stoull(hash.substr(0, 12), nullptr, 16);
}

std::vector<Part> PartsOf(const StageContext& context) {
  const Parameters& parameters = context.parameters();
  std::vector<Part> parts;
  if (context.HasInput("datasets")) parts.push_back({0, context.Inputs("datasets"), 0});
  for (int64_t left = parameters.Int("num_conversations"); left > 0; left -= kPartConversations)
    parts.push_back({std::min(left, kPartConversations), {}, 0});
  for (size_t i = 0; i < parts.size(); ++i) parts[i].seed = SeedOf(parameters.Int("seed"), i);
  return parts;
}

// A part's figures beside its file, so that a resumed stage knows them.
struct PartCounts {
  int64_t conversations = 0, tokens = 0, answer_tokens = 0, new_tokens = 0;
  double seconds = 0;
};

bool ReadCounts(const std::string& path, PartCounts& counts) {
  std::ifstream file(path);
  return static_cast<bool>(file >> counts.conversations >> counts.tokens >> counts.answer_tokens >>
                           counts.new_tokens >> counts.seconds);
}

Status WriteCounts(const std::string& path, const PartCounts& counts) {
  {
    std::ofstream file(path + ".part");
    file << counts.conversations << " " << counts.tokens << " " << counts.answer_tokens << " "
         << counts.new_tokens << " " << counts.seconds << "\n";
    file.close();
    if (!file) return MakeError(ErrorCode::kIo, path + " cannot be written");
  }
  std::error_code error;
  fs::rename(path + ".part", path, error);
  if (error) return MakeError(ErrorCode::kIo, path + ": " + error.message());
  return {};
}

// One file after the other: several gzip members are one gzip file.
Status Concatenate(const std::vector<std::string>& paths, const std::string& path) {
  std::ofstream out(path, std::ios::binary);
  for (const std::string& part : paths) {
    std::error_code error;
    if (fs::file_size(part, error) == 0) continue;
    std::ifstream in(part, std::ios::binary);
    out << in.rdbuf();
    if (!in) return MakeError(ErrorCode::kIo, part + " cannot be read");
  }
  out.close();
  if (!out) return MakeError(ErrorCode::kIo, path + " cannot be written");
  return {};
}

class Generate final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return GenerateDeclaration(); }

  Result<StageResult> Run(const StageContext& context) const override {
    const std::vector<Part> parts = PartsOf(context);
    StageResult result;
    SetDevice(context.parameters(), result);
    PartCounts all;
    std::vector<std::string> paths;
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string path =
          context.scratch_folder() + "/part-" + std::to_string(i) + ".jsonl.gz";
      PartCounts counts;
      if (!ReadCounts(path + ".counts", counts)) {
        if (context.cancelled()) return MakeError(ErrorCode::kCancelled, "stopped between parts");
        HEARTH_ASSIGN_OR_RETURN(counts, Make(context, parts, i, path));
        HEARTH_RETURN_IF_ERROR(WriteCounts(path + ".counts", counts));
      }
      all.conversations += counts.conversations;
      all.tokens += counts.tokens;
      all.answer_tokens += counts.answer_tokens;
      all.new_tokens += counts.new_tokens;
      all.seconds += counts.seconds;
      paths.push_back(path);
    }
    HEARTH_RETURN_IF_ERROR(Concatenate(paths, context.Output("rows")));
    HEARTH_RETURN_IF_ERROR(WriteSamples(context.Output("rows"), context.Output("samples")));
    const auto add = [&](const char* name, double value, const char* unit) {
      result.figures.push_back({name, value, {}, {}, unit});
    };
    add("conversations", static_cast<double>(all.conversations), "");
    add("tokens", static_cast<double>(all.tokens), "");
    add("answer_tokens", static_cast<double>(all.answer_tokens), "");
    if (all.seconds > 0)
      add("tokens_per_second", static_cast<double>(all.new_tokens) / all.seconds, "tokens/s");
    return result;
  }

 private:
  static Result<PartCounts> Make(const StageContext& context, const std::vector<Part>& parts,
                                 size_t place, const std::string& path) {
    const Parameters& parameters = context.parameters();
    const Part& part = parts[place];
    GenerateFileOptions options;
    options.model = context.Input("base_model");
    options.output = path;
    options.device = parameters.String("device");
    options.dtype = DtypeName(parameters);
    options.generator.batch = parameters.Int("batch_size");
    options.generator.use_top_p = parameters.Float("top_p") < 1;
    ConversationOptions& wanted = options.conversations;
    wanted.num_invented = part.invented;
    wanted.prompt_files = part.prompt_files;
    wanted.answers_per_prompt = parameters.Int("answers_per_prompt");
    wanted.num_given = parameters.Int("num_prompts");
    wanted.question_temperature = parameters.Float("question_temperature");
    wanted.answer_temperature = parameters.Float("temperature");
    wanted.greedy_share = parameters.Float("greedy_share");
    wanted.top_p = parameters.Float("top_p");
    wanted.max_question_tokens = parameters.Int("max_question_tokens");
    wanted.max_answer_tokens = parameters.Int("max_new_tokens");
    wanted.seed = part.seed;
    const auto num_parts = static_cast<double>(parts.size());
    options.on_progress = [&context, place, num_parts](int64_t done, int64_t of) {
      const double share = of > 0 ? static_cast<double>(done) / static_cast<double>(of) : 0;
      context.Progress((static_cast<double>(place) + share) / num_parts,
                       std::to_string(done) + " conversations");
    };
    HEARTH_ASSIGN_OR_RETURN(const GenerateFileResult made, GenerateFile(options));
    context.Log("part " + std::to_string(place) + ": " +
                std::to_string(made.conversations.conversations) + " conversations, " +
                std::to_string(made.conversations.questions_dropped) + " questions and " +
                std::to_string(made.conversations.prompts_dropped) + " prompts left out");
    return PartCounts{made.conversations.conversations, made.conversations.tokens,
                      made.conversations.answer_tokens, made.generator.new_tokens,
                      made.generator.seconds};
  }
};

}  // namespace

const StageKind& GenerateStage() {
  static const Generate kind;
  return kind;
}

}  // namespace hearth::forge
