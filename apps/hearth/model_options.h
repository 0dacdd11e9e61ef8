#pragma once
// --model and the options that every command with a model shares, and loading with a progress bar.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "base/result.h"
#include "brain/engine_backend.h"

namespace hearth {

struct ModelFlags {
  std::string model;
  int threads = 0;
  int context_length = 0;
  KvType kv_type = KvType::kF16;
  int64_t kv_memory = 0;  // bytes; 0: as the engine finds right
  ActivationType activations = ActivationType::kInt8;
  std::string draft;
  int draft_tokens = 5;
  bool lookup = true;
};

// --model alone (`flags` must outlive the parsing).
void AddModelFlag(CLI::App& command, ModelFlags& flags);
void AddThreadsFlag(CLI::App& command, ModelFlags& flags);
void AddContextFlag(CLI::App& command, ModelFlags& flags);
// --kv-type and --activations.
void AddPrecisionFlags(CLI::App& command, ModelFlags& flags);
void AddKvMemoryFlag(CLI::App& command, ModelFlags& flags);
// --draft, --draft-tokens, --no-lookup.
void AddSpeculationFlags(CLI::App& command, ModelFlags& flags);
// All of these.
void AddEngineFlags(CLI::App& command, ModelFlags& flags);

// The file to open: what was asked for, else the default model where scripts/serve puts it. Errors:
// kNotFound saying what to do.
Result<std::string> ResolveModelPath(const std::string& asked);
// ${XDG_DATA_HOME:-~/.local/share}/hearth/..., and ${XDG_STATE_HOME:-~/.local/state}/hearth; none
// without a home.
std::optional<std::string> DefaultModelPath();
std::optional<std::string> StateDir();

EngineOptions EngineOptionsOf(const ModelFlags& flags);

struct LoadedModel {
  std::string path;
  std::unique_ptr<EngineBackend> backend;
  double load_ms = 0;
};
// Resolves the path and loads, showing progress while the weights are re-laid. `adjust` may change
// the options before. Errors: as ResolveModelPath and Engine::Load.
Result<LoadedModel> LoadModel(const ModelFlags& flags,
                              const std::function<void(EngineOptions&)>& adjust = {});

// Lists examples at the end of a command's help.
void AddExamples(CLI::App& command, const std::string& examples);

}  // namespace hearth
