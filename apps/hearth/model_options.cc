#include "apps/hearth/model_options.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "runtime/engine/kv_check.h"

namespace hearth {
namespace {

constexpr const char* kDefaultModelName = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr int kMaxThreads = 1024;
constexpr int kMaxContext = 1 << 24;
constexpr int kMaxDraft = 16;
constexpr double kMaxKvMemory = 1e15;

// ${VARIABLE:-~/FALLBACK}/hearth
std::optional<std::string> UserDir(const char* variable, const char* fallback) {
  if (const char* dir = std::getenv(variable); dir != nullptr && *dir == '/')
    return std::string(dir) + "/hearth";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::string(home) + "/" + fallback + "/hearth";
  }
  return std::nullopt;
}

// "512MiB", "1.5GiB": bytes as a decimal number, for the option's own conversion. Throws what CLI11
// wants thrown.
std::string ParseMemorySize(const std::string& text) {
  static constexpr std::pair<const char*, double> kUnits[] = {{"MiB", 1 << 20}, {"GiB", 1 << 30}};
  for (const auto& [unit, bytes] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string number = text.substr(0, text.size() - 3);
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value,
                                              std::chars_format::fixed);
    if (error != std::errc() || end != number.data() + number.size()) break;
    if (!(value > 0 && value * bytes <= kMaxKvMemory)) break;
    return std::to_string(static_cast<int64_t>(value * bytes));
  }
  throw CLI::ValidationError(text + " is not a size such as 512MiB or 2GiB");
}

}  // namespace

void AddModelFlag(CLI::App& command, ModelFlags& flags) {
  command.add_option("-m,--model", flags.model, "Model file (.gguf); without it the default model")
      ->envname("HEARTH_MODEL")
      ->type_name("FILE");
}

void AddThreadsFlag(CLI::App& command, ModelFlags& flags) {
  command.add_option("-t,--threads", flags.threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, kMaxThreads).description(""))
      ->capture_default_str();
}

void AddContextFlag(CLI::App& command, ModelFlags& flags) {
  command
      .add_option("-c,--context", flags.context_length,
                  "Tokens of prompt and answer together; 0: the model's own, at most 8192")
      ->check(CLI::Range(0, kMaxContext).description(""))
      ->capture_default_str();
}

void AddPrecisionFlags(CLI::App& command, ModelFlags& flags) {
  command
      .add_option(
          "--kv-type", flags.kv_type,
          "How the context is kept: f16, int8 (half the memory), int8-int4 (keys int8, values "
          "int4) or int4; a type that changes a model's answers too much gives way to the "
          "next finer one")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, KvType>{{"f16", KvType::kF16},
                                                                {"int8", KvType::kInt8},
                                                                {"int8-int4", KvType::kInt8Int4},
                                                                {"int4", KvType::kInt4}})
              .description(""))
      ->type_name("TYPE")
      ->default_str("f16");
  command
      .add_option("--activations", flags.activations,
                  "How products are computed: int8, or f32 (slow, the reference)")
      ->transform(CLI::CheckedTransformer(
                      std::map<std::string, ActivationType>{{"int8", ActivationType::kInt8},
                                                            {"f32", ActivationType::kF32}})
                      .description(""))
      ->type_name("TYPE")
      ->default_str("int8");
}

void AddKvMemoryFlag(CLI::App& command, ModelFlags& flags) {
  command
      .add_option("--kv-memory", flags.kv_memory,
                  "Memory for what is kept of contexts, a draft's included, as 512MiB or 2GiB; "
                  "without it four full contexts, at most a quarter of the machine's")
      ->transform(CLI::Validator(
          [](std::string& text) {
            text = ParseMemorySize(text);
            return std::string();
          },
          "", "size"))
      ->type_name("SIZE");
}

void AddSpeculationFlags(CLI::App& command, ModelFlags& flags) {
  command
      .add_option("--draft", flags.draft,
                  "A small model with the same tokens that guesses ahead; the text stays the same")
      ->envname("HEARTH_DRAFT")
      ->type_name("FILE")
      ->group("Speculation");
  command
      .add_option("--draft-tokens", flags.draft_tokens,
                  "Guesses checked in one pass at most, fewer where they do not pay; 0: none")
      ->check(CLI::Range(0, kMaxDraft).description(""))
      ->capture_default_str()
      ->group("Speculation");
  command
      .add_flag("!--no-lookup", flags.lookup,
                "Do not guess from what prompt and answer already say")
      ->group("Speculation");
}

void AddEngineFlags(CLI::App& command, ModelFlags& flags) {
  AddModelFlag(command, flags);
  AddThreadsFlag(command, flags);
  AddContextFlag(command, flags);
  AddPrecisionFlags(command, flags);
  AddKvMemoryFlag(command, flags);
  AddSpeculationFlags(command, flags);
}

std::optional<std::string> DefaultModelPath() {
  auto dir = UserDir("XDG_DATA_HOME", ".local/share");
  if (dir) *dir += std::string("/") + kDefaultModelName;
  return dir;
}

std::optional<std::string> StateDir() { return UserDir("XDG_STATE_HOME", ".local/state"); }

Result<std::string> ResolveModelPath(const std::string& asked) {
  if (!asked.empty()) return asked;
  const std::optional<std::string> path = DefaultModelPath();
  std::error_code error;
  if (path && std::filesystem::exists(*path, error)) return *path;
  return MakeError(ErrorCode::kNotFound,
                   "no model: pass --model FILE.gguf or set HEARTH_MODEL; scripts/serve fetches "
                   "the default model" +
                       (path ? " to " + *path : std::string()));
}

EngineOptions EngineOptionsOf(const ModelFlags& flags) {
  EngineOptions options;
  options.num_threads = flags.threads;
  options.context_length = flags.context_length;
  options.kv_type = flags.kv_type;
  options.kv_budget_bytes = flags.kv_memory;
  options.activations = flags.activations;
  options.draft_path = flags.draft;
  options.max_draft = flags.draft_tokens;
  options.ngram_draft = flags.lookup;
  return options;
}

Result<LoadedModel> LoadModel(const ModelFlags& flags,
                              const std::function<void(EngineOptions&)>& adjust) {
  LoadedModel model;
  HEARTH_ASSIGN_OR_RETURN(model.path, ResolveModelPath(flags.model));
  EngineOptions options = EngineOptionsOf(flags);
  if (adjust) adjust(options);
  const auto start = std::chrono::steady_clock::now();
  {
    ProgressBar bar("Preparing the model (once)"), check("Checking the KV type (once)");
    options.on_load_progress = [&bar](double done) { bar.Update(done); };
    options.on_kv_check_progress = [&bar, &check](double done) {
      bar.Clear();
      check.Update(done);
    };
    HEARTH_ASSIGN_OR_RETURN(model.backend, EngineBackend::Load(model.path, options));
  }
  const ModelDescription& description = model.backend->engine().description();
  if (!description.weights_note.empty()) {
    Note("the prepared model is kept in memory only, so that each start prepares it again: " +
         description.weights_note);
  }
  if (!description.kv_note.empty()) {
    Note(std::string("KV cache in ") + KvTypeName(description.kv_type) + " instead of " +
         KvTypeName(options.kv_type) + ": " + description.kv_note);
  }
  model.load_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return model;
}

void AddExamples(CLI::App& command, const std::string& examples) {
  command.footer("\nExamples:\n" + examples);
}

}  // namespace hearth
