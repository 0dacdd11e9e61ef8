#include "brain/engine_backend.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "brain/chat_context.h"

namespace hearth {
namespace {

// The file's modification time; 0 when it cannot be read.
int64_t ModifiedUnix(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  const auto system_time = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system_time.time_since_epoch()).count();
}

}  // namespace

std::string ModelIdFromPath(const std::string& path) {
  const std::filesystem::path file = std::filesystem::path(path).filename();
  return file.extension() == ".gguf" ? file.stem().string() : file.string();
}

ModelCard CardFromDescription(const ModelDescription& description, int context_length,
                              std::string model_id) {
  ModelCard card;
  card.id = std::move(model_id);
  card.architecture = description.architecture;
  card.created_unix = ModifiedUnix(description.path);
  card.context_length = context_length;
  card.vocab_size = description.vocab_size;
  card.embedding_size = description.is_embedding_model ? description.hidden_size : 0;
  card.size_bytes = description.file_bytes;
  card.num_parameters = description.num_parameters;
  card.can_generate = !description.is_embedding_model;
  card.can_embed = description.is_embedding_model;
  card.has_chat_template = !description.chat_template.empty();
  return card;
}

Result<std::unique_ptr<EngineBackend>> EngineBackend::Load(const std::string& path,
                                                           const EngineOptions& options,
                                                           std::string model_id) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::Load(path, options));
  if (model_id.empty()) model_id = ModelIdFromPath(path);
  return std::make_unique<EngineBackend>(std::move(engine), std::move(model_id));
}

EngineBackend::EngineBackend(std::unique_ptr<Engine> engine, std::string model_id)
    : engine_(std::move(engine)),
      card_(CardFromDescription(engine_->description(), engine_->context_length(),
                                std::move(model_id))) {}

Result<std::vector<TokenId>> EngineBackend::Tokenize(std::string_view text, bool add_special,
                                                     bool parse_special) const {
  return engine_->tokenizer().Encode(text, add_special, parse_special);
}

Result<std::string> EngineBackend::Detokenize(std::span<const TokenId> tokens) const {
  const Tokenizer& tokenizer = engine_->tokenizer();
  for (const TokenId id : tokens) {
    if (id < 0 || id >= tokenizer.vocab_size()) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "token id " + std::to_string(id) + " is outside the vocabulary of " +
                           std::to_string(tokenizer.vocab_size()) + " tokens");
    }
  }
  return tokenizer.Decode(tokens, /*show_special=*/true);
}

std::string EngineBackend::TokenBytes(TokenId id) const {
  HEARTH_CHECK(id >= 0 && id < engine_->tokenizer().vocab_size());
  return engine_->tokenizer().TokenBytes(id, /*show_special=*/true);
}

Result<RenderedPrompt> EngineBackend::RenderChat(const ChatPrompt& prompt) const {
  HEARTH_ASSIGN_OR_RETURN(jinja::Object context, BuildChatContext(prompt));
  HEARTH_ASSIGN_OR_RETURN(Engine::ChatTokens rendered, engine_->RenderChat(std::move(context)));
  return RenderedPrompt{std::move(rendered.text), std::move(rendered.tokens)};
}

Result<RequestId> EngineBackend::Generate(GenerateRequest request, EventSink sink) {
  return engine_->Submit(std::move(request), std::move(sink));
}

void EngineBackend::Cancel(RequestId id) { engine_->Cancel(id); }

Result<EmbeddingResult> EngineBackend::Embed(std::string_view text) { return engine_->Embed(text); }

BackendLoad EngineBackend::load() const {
  const EngineLoad now = engine_->load();
  BackendLoad load;
  load.running_requests = now.running;
  load.waiting_requests = now.waiting;
  load.kv_cache_usage = now.kv_usage;
  load.prefix_cache_queries = now.prefix_queries;
  load.prefix_cache_hits = now.prefix_hits;
  load.draft_tokens = now.draft_tokens;
  load.accepted_tokens = now.accepted_tokens;
  load.preemptions = now.preemptions;
  load.steps = now.steps;
  return load;
}

}  // namespace hearth
