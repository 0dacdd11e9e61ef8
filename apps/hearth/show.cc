// hearth show: what a model file is and what it needs, read from its header alone.

#include <algorithm>
#include <memory>
#include <string>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/kv_check.h"
#include "runtime/engine/kv_room.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {
namespace {

// Activations, the vocabulary's tables and the program itself; the bound that the engine keeps is
// 120 MB.
constexpr int64_t kOverheadBytes = int64_t{120} * 1000 * 1000;

struct ShowFlags {
  ModelFlags model;
  bool template_only = false;
  bool json = false;
};

struct TokenizerSummary {
  std::string model, pre;
  std::string bos, eos;
  bool adds_bos = false;
  std::string problem;  // why it cannot be used; empty: it can
};

std::string TokenTextOr(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id ? std::string(tokenizer.TokenText(*id)) : std::string();
}

TokenizerSummary SummariseTokenizer(const GgufFile& file) {
  TokenizerSummary summary;
  summary.model = file.GetString("tokenizer.ggml.model").value_or("");
  summary.pre = file.GetString("tokenizer.ggml.pre").value_or("");
  const auto tokenizer = Tokenizer::FromGguf(file);
  if (!tokenizer) {
    summary.problem = tokenizer.error().message;
    return summary;
  }
  summary.bos = TokenTextOr(**tokenizer, (*tokenizer)->bos());
  summary.eos = TokenTextOr(**tokenizer, (*tokenizer)->eos());
  summary.adds_bos = (*tokenizer)->adds_bos();
  return summary;
}

struct Memory {
  int context = 0;
  int64_t weights = 0, kv = 0, overhead = kOverheadBytes;
  int64_t kv_tokens = 0;  // that `kv` holds
  int64_t total() const { return weights + kv + overhead; }
};

// With --kv-memory what that holds, else what one context takes. Errors: those of
// Engine::ContextLength and KvRoomFor.
Result<Memory> MemoryNeeded(const ModelDescription& model, const ModelFlags& flags) {
  Memory memory;
  HEARTH_ASSIGN_OR_RETURN(memory.context, Engine::ContextLength(model, flags.context_length));
  memory.weights = model.file_bytes;
  memory.kv = model.kv_bytes_per_token * memory.context;
  memory.kv_tokens = memory.context;
  if (flags.kv_memory > 0 && !model.is_embedding_model) {
    HEARTH_ASSIGN_OR_RETURN(const KvRoom room,
                            KvRoomFor(EngineOptionsOf(flags), BlockBytesOf(model), memory.context));
    memory.kv = room.bytes;
    memory.kv_tokens = int64_t{room.num_blocks} * kKvBlockTokens;
  }
  return memory;
}

Json ToJson(const ModelDescription& model, const TokenizerSummary& tokenizer,
            const Memory& memory) {
  Json types = Json::object();
  for (const auto& [type, bytes] : model.bytes_by_type) types[type] = bytes;
  Json json = {{"name", model.name},
               {"path", model.path},
               {"architecture", model.architecture},
               {"file_bytes", model.file_bytes},
               {"parameters", model.num_parameters},
               {"bytes_by_type", std::move(types)},
               {"layers", model.num_layers},
               {"hidden_size", model.hidden_size},
               {"heads", model.num_heads},
               {"kv_heads", model.num_kv_heads},
               {"head_dim", model.head_dim},
               {"ffn_size", model.ffn_size},
               {"vocab_size", model.vocab_size},
               {"context_length", model.context_length},
               {"kv_type", KvTypeName(model.kv_type)},
               {"kv_kl", model.kv_kl ? Json(*model.kv_kl) : Json()},
               {"kv_note", model.kv_note},
               {"kv_bytes_per_token", model.kv_bytes_per_token},
               {"can_generate", !model.is_embedding_model},
               {"can_embed", model.is_embedding_model}};
  json["tokenizer"] = {{"model", tokenizer.model},
                       {"pre", tokenizer.pre},
                       {"bos", tokenizer.bos},
                       {"eos", tokenizer.eos},
                       {"adds_bos", tokenizer.adds_bos}};
  if (!tokenizer.problem.empty()) json["tokenizer"]["problem"] = tokenizer.problem;
  json["chat_template"] = model.chat_template.empty() ? Json() : Json(model.chat_template);
  json["memory"] = {{"context", memory.context},
                    {"weights_bytes", memory.weights},
                    {"kv_bytes", memory.kv},
                    {"kv_tokens", memory.kv_tokens},
                    {"overhead_bytes", memory.overhead},
                    {"total_bytes", memory.total()}};
  return json;
}

void Row(const char* name, const std::string& value) {
  Print(Format("%-14s", name) + OneLine(value) + "\n");
}

std::string TokenizerLine(const TokenizerSummary& t) {
  std::string line = t.model.empty() ? "none" : t.model;
  if (!t.pre.empty()) line += " (" + t.pre + ")";
  if (!t.problem.empty()) return line + ", cannot be used: " + t.problem;
  if (!t.bos.empty()) line += ", BOS " + t.bos + (t.adds_bos ? "" : " (not added to plain text)");
  if (!t.eos.empty()) line += ", EOS " + t.eos;
  return line;
}

std::string KvLine(const ModelDescription& model) {
  std::string line = KvTypeName(model.kv_type);
  if (model.kv_kl) line += Format(", KL %.4f to f16", *model.kv_kl);
  if (!model.kv_note.empty()) return line + "; " + model.kv_note;
  if (model.kv_type != KvType::kF16 && !model.kv_kl) line += ", to be checked on the first start";
  return line;
}

void PrintTable(const ModelDescription& model, const TokenizerSummary& tokenizer,
                const Memory& memory) {
  Row("name", model.name);
  Row("file", model.path + " (" + FormatBytes(model.file_bytes) + ")");
  Row("architecture",
      model.architecture + (model.is_embedding_model ? ", sentence embeddings" : ""));
  Row("parameters", FormatCount(model.num_parameters));
  Row("layers", Format("%d of width %d, feed-forward %d", model.num_layers, model.hidden_size,
                       model.ffn_size));
  Row("attention", Format("%d heads of %d, %d for keys and values", model.num_heads, model.head_dim,
                          model.num_kv_heads));
  Row("context", std::to_string(model.context_length) + " tokens");
  Row("vocabulary", std::to_string(model.vocab_size) + " tokens");
  Row("tokenizer", TokenizerLine(tokenizer));
  if (!model.is_embedding_model) {
    Row("KV cache", KvLine(model));
    Row("chat template",
        model.chat_template.empty()
            ? "none"
            : Format("%zu characters (--template prints it)", model.chat_template.size()));
  }
  Print("\ntypes\n");
  for (const auto& [type, bytes] : model.bytes_by_type)
    Print("  " + Format("%-12s", type.c_str()) + FormatBytes(bytes) + "\n");
  Print("\nmemory it will need\n");
  Print("  weights     " + FormatBytes(memory.weights) + "\n");
  if (memory.kv > 0) {
    const bool one = memory.kv_tokens == memory.context;
    Print("  KV cache    " + FormatBytes(memory.kv) +
          (one ? Format(" for a full context of %d tokens (", memory.context)
               : Format(" for %lld tokens, %.1f contexts of %d (",
                        static_cast<long long>(memory.kv_tokens),
                        static_cast<double>(memory.kv_tokens) / memory.context, memory.context)) +
          FormatBytes(model.kv_bytes_per_token) + " each)\n");
  }
  Print("  overhead    " + FormatBytes(memory.overhead) + " at most\n");
  Print("  together    " + FormatBytes(memory.total()) + "\n");
}

int Show(const ShowFlags& flags) {
  const Result<std::string> path = ResolveModelPath(flags.model.model);
  if (!path) return Fail(path.error());
  const Result<ModelDescription> model = Engine::Describe(*path, flags.model.kv_type);
  if (!model) return Fail(model.error());
  if (flags.template_only) {
    if (model->chat_template.empty()) return Fail(model->name + " has no chat template");
    PrintUntrusted(model->chat_template);
    if (StdoutIsTerminal()) Print("\n");
    return kExitOk;
  }
  const Result<GgufFile> file = GgufFile::Open(*path);
  if (!file) return Fail(file.error());
  const TokenizerSummary tokenizer = SummariseTokenizer(*file);
  const Result<Memory> memory = MemoryNeeded(*model, flags.model);
  if (!memory) return Fail(memory.error());
  if (flags.json) {
    PrintJson(ToJson(*model, tokenizer, *memory));
  } else {
    PrintTable(*model, tokenizer, *memory);
  }
  return kExitOk;
}

}  // namespace

void AddShow(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("show", "Tell what a model file is and what it needs");
  const auto flags = std::make_shared<ShowFlags>();
  const auto positional = std::make_shared<std::string>();
  CLI::Option* model =
      command->add_option("file", *positional, "Model file (.gguf)")->type_name("FILE");
  AddModelFlag(*command, flags->model);
  AddContextFlag(*command, flags->model);
  AddPrecisionFlags(*command, flags->model);
  AddKvMemoryFlag(*command, flags->model);
  command->add_flag("--template", flags->template_only, "Print the chat template and nothing else");
  command->add_flag("--json", flags->json, "One JSON object");
  AddExamples(*command,
              "  hearth show model.gguf\n"
              "  hearth show model.gguf --context 32768 --kv-type int8\n"
              "  hearth show model.gguf --kv-memory 2GiB\n"
              "  hearth show model.gguf --template\n"
              "  hearth show model.gguf --json | jq .memory.total_bytes");
  command->callback([&action, flags, positional, model] {
    if (model->count() > 0) flags->model.model = *positional;
    action = [flags] { return Show(*flags); };
  });
}

}  // namespace hearth
