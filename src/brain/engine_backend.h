#pragma once
// The Backend that runs a model on this machine, in our own engine.

#include <memory>
#include <string>

#include "brain/backend.h"
#include "runtime/engine/engine.h"

namespace hearth {

// What clients call a model file: its name without folder and ".gguf".
std::string ModelIdFromPath(const std::string& path);

class EngineBackend : public Backend {
 public:
  // Errors: those of Engine::Load. `model_id` empty: ModelIdFromPath(path).
  static Result<std::unique_ptr<EngineBackend>> Load(const std::string& path,
                                                     const EngineOptions& options,
                                                     std::string model_id = "");
  EngineBackend(std::unique_ptr<Engine> engine, std::string model_id);

  const ModelCard& card() const override { return card_; }
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override;
  // Special tokens are shown, so that Tokenize with parse_special gives the tokens back.
  Result<std::string> Detokenize(std::span<const TokenId> tokens) const override;
  std::string TokenBytes(TokenId id) const override;
  Result<RenderedPrompt> RenderChat(const ChatPrompt& prompt) const override;
  Result<RequestId> Generate(GenerateRequest request, EventSink sink) override;
  void Cancel(RequestId id) override;
  Result<EmbeddingResult> Embed(std::string_view text) override;
  BackendLoad load() const override;

  // Refuses new requests and lets the running ones finish until `timeout_ms` has passed.
  void Shutdown(int timeout_ms) { engine_->Shutdown(timeout_ms); }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Engine> engine_;
  ModelCard card_;
};

// The card of a described model; `context_length` as the engine was loaded.
ModelCard CardFromDescription(const ModelDescription& description, int context_length,
                              std::string model_id);

}  // namespace hearth
