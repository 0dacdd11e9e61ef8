#pragma once
// The runtime's public face: loads one model and serves generation requests from it in continuous
// batches, on one engine thread that owns the model and its KV cache.
// Threads: every method is safe from many threads; sinks are called on the engine's thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/chat_template/value.h"
#include "runtime/engine/request.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

enum class KvType {
  kF16,
  kInt8,
  kInt8Int4,  // keys int8, values int4
  kInt4,
};
enum class ActivationType {
  kInt8,  // one scale per 32: fast
  kF32,   // the reference path: weights dequantised, products in float
};

struct EngineOptions {
  int num_threads = 0;         // 0: one per core
  int context_length = 0;      // 0: the model's own, at most 8192
  int max_sequences = 16;      // decoded in one batch
  int max_batch_tokens = 512;  // in one pass; longer prompts are prefilled in chunks
  // waiting behind the batch; more are refused with kResourceExhausted
  int max_queued_requests = 256;
  // hard limit, a draft's included; 0: four full contexts, at most a quarter of the machine's
  // memory
  int64_t kv_budget_bytes = 0;
  // A reduced type is checked on the model's first start with it; where it changes the answers too
  // much, a finer one takes its place (description().kv_type).
  KvType kv_type = KvType::kF16;
  bool check_kv_type = true;
  ActivationType activations = ActivationType::kInt8;
  // Speculative decoding: the text stays the same, guesses that prove right come sooner.
  bool ngram_draft = false;  // guesses from what the prompt and the answer already hold
  std::string draft_path;    // guesses by a smaller model with the same tokens; empty: none
  int max_draft = 5;  // guesses checked in one pass for a request, fewer where they do not pay
  bool adaptive_draft = true;   // false: always max_draft of them, for measurements
  int draft_head_rows = 32768;  // of the draft's LM head, the first so many; 0: all
  // for the re-laid weights; empty: ${XDG_CACHE_HOME:-~/.cache}/hearth
  std::string cache_dir;
  bool use_disk_cache = true;  // false: the re-laid weights are kept in memory only
  // Called while the weights are re-laid (the first start with a model), with 0 to 1.
  std::function<void(double)> on_load_progress;
  // Called while a reduced KV type is checked (the first start with it), with 0 to 1 for each type.
  std::function<void(double)> on_kv_check_progress;
};

// What a model is and needs, as `hearth show` prints it.
struct ModelDescription {
  std::string name;  // general.name, or the file's
  std::string architecture;
  std::string path;
  int64_t file_bytes = 0;
  int64_t num_parameters = 0;
  int num_layers = 0;
  int hidden_size = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int ffn_size = 0;
  int vocab_size = 0;
  int context_length = 0;  // what the model was trained for
  // What the KV cache holds: of a loaded model the type in use, of a described one the type it will
  // be by what is known.
  KvType kv_type = KvType::kF16;
  int64_t kv_bytes_per_token = 0;  // at kv_type
  // What a block of 64 tokens takes besides while it is being filled, at kv_type.
  int64_t kv_bytes_per_open_block = 0;
  std::optional<double> kv_kl;  // measured against f16; none: f16, or not measured
  std::string kv_note;          // why it is not the type asked for; empty: it is
  // Of a loaded model: why the re-laid weights are in memory although the cache was to keep them,
  // so that the next start re-lays them again; empty: they are kept, or were not to be.
  std::string weights_note;
  bool is_embedding_model = false;
  std::string chat_template;                                   // empty: none
  std::vector<std::pair<std::string, int64_t>> bytes_by_type;  // "Q4_K" -> bytes, largest first
};

struct EngineLoad {
  int running = 0;
  int waiting = 0;
  double kv_usage = 0;
  int64_t prefix_queries = 0;
  int64_t prefix_hits = 0;
  int64_t preemptions = 0;
  int64_t steps = 0;
  int64_t draft_tokens = 0;     // guesses checked
  int64_t accepted_tokens = 0;  // of them, right
};

class Engine {
 public:
  // Errors: those of GgufFile::Open; kUnsupported for an architecture we lack (named); kCorrupt for
  // missing or misshapen tensors; kInvalidArgument for a context longer than the model's (names
  // both); kResourceExhausted when the KV budget does not hold one context (says how much it
  // needs).
  static Result<std::unique_ptr<Engine>> Load(const std::string& path,
                                              const EngineOptions& options);
  // Reads only the header; no weights are loaded.
  static Result<ModelDescription> Describe(const std::string& path, KvType kv_type = KvType::kF16);
  // What a model is loaded with when `asked` tokens of context are asked for; 0: the model's own,
  // at most 8192. Errors: kInvalidArgument naming both when that is more than the model was trained
  // for.
  static Result<int> ContextLength(const ModelDescription& description, int asked);
  ~Engine();

  const ModelDescription& description() const;
  const Tokenizer& tokenizer() const;
  int context_length() const;  // of prompt and answer together, as this engine was loaded
  const EngineOptions& options() const;

  // Errors: kInvalidArgument (sampling fields, an empty prompt, token ids outside the vocabulary, a
  // prompt that does not leave room for one token: names both lengths), kResourceExhausted (queue
  // full), kUnavailable (shutting down), kUnsupported (an embedding model).
  Result<RequestId> Submit(GenerateRequest request, EventSink sink);
  void Cancel(RequestId id);

  // Renders the model's chat template with `context` (messages, tools, add_generation_prompt, ...;
  // bos_token and eos_token are added) and tokenises it; text marked as input never becomes a
  // special token.
  struct ChatTokens {
    std::string text;
    std::vector<TokenId> tokens;
  };
  Result<ChatTokens> RenderChat(jinja::Object context) const;

  // Sentence embedding. A text longer than the model takes is cut off there, as
  // sentence-transformers does; num_tokens is what was read of it. Errors: kUnsupported for a model
  // that is not an embedding model.
  Result<EmbeddingResult> Embed(std::string_view text);

  // Natural log of the probability of tokens[i + 1] given tokens[0..i], for i >= first - 1; runs
  // alone, on the engine's thread.
  // Requires 1 <= first < tokens.size(). Errors: as Submit.
  Result<std::vector<float>> Score(std::span<const TokenId> tokens, int first);

  // What the KV cache keeps, to a file and back (whole blocks of 64 tokens): a request that begins
  // with restored tokens computes only the rest, and gives what it would have given. Each returns
  // the number of tokens in the file or taken from it. They run on the engine's thread, between two
  // passes.
  // Errors: kUnsupported (an embedding model); saving: those of AtomicFile; restoring: kNotFound,
  // kIo, kCorrupt, kInvalidArgument when another model, KV type, adapter or other kernels made it.
  Result<int> SaveSession(const std::string& path, std::span<const TokenId> tokens);
  Result<int> SaveAllSessions(const std::string& path, int64_t max_bytes);
  Result<int> RestoreSession(const std::string& path);

  EngineLoad load() const;
  // Refuses new requests, ends those that wait, and lets the running ones finish until `timeout_ms`
  // has passed.
  void Shutdown(int timeout_ms);

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
