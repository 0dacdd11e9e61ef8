// The endpoints that only read: health, metrics, models, status, tokenising, embedding.

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/openai/api.h"
#include "server/openai/base64.h"

namespace hearth::openai {
namespace {

OrderedJson ModelJson(const ModelCard& card) {
  OrderedJson hearth;
  hearth["architecture"] = card.architecture;
  hearth["context_length"] = card.context_length;
  hearth["vocab_size"] = card.vocab_size;
  hearth["parameters"] = card.num_parameters;
  hearth["size_bytes"] = card.size_bytes;
  hearth["can_generate"] = card.can_generate;
  hearth["can_embed"] = card.can_embed;
  hearth["has_chat_template"] = card.has_chat_template;
  if (card.can_embed) hearth["embedding_size"] = card.embedding_size;
  OrderedJson out;
  out["id"] = card.id;
  out["object"] = "model";
  out["created"] = card.created_unix;
  out["owned_by"] = "hearth";
  out["max_model_len"] = card.context_length;  // vLLM's name
  out["hearth"] = std::move(hearth);
  return out;
}

OrderedJson VectorJson(const std::vector<float>& values, bool base64) {
  if (!base64) return values;
  // Little-endian float32, as OpenAI's clients read it.
  static_assert(std::endian::native == std::endian::little);
  return Base64Encode(
      {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

}  // namespace

void Api::Health(const CallPtr& call) { call->RespondJson(R"({"status":"ok"})"); }

void Api::Ready(const CallPtr& call) {
  if (backend_ == nullptr) {
    return call->Fail(FromError({ErrorCode::kUnavailable, "the model is still loading"}));
  }
  call->RespondJson(R"({"status":"ready"})");
}

void Api::ShowMetrics(const CallPtr& call) {
  Backend* backend = backend_;
  http::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_.Render(backend != nullptr ? backend->load() : BackendLoad{},
                                  connection_counter_ ? connection_counter_() : 0);
  call->Respond(std::move(response));
}

void Api::ListModels(const CallPtr& call) {
  OrderedJson out;
  out["object"] = "list";
  out["data"] = OrderedJson::array();
  if (backend_ != nullptr) out["data"].push_back(ModelJson(card()));
  call->RespondJson(Dump(out));
}

void Api::ShowModel(const CallPtr& call) {
  const std::string id =
      call->exchange->request().path.substr(std::string_view("/v1/models/").size());
  if (backend_ == nullptr) {
    return call->Fail(FromError({ErrorCode::kUnavailable, "the model is still loading"}));
  }
  if (const auto found = CheckModel(id); !found) return call->Fail(found.error());
  call->RespondJson(Dump(ModelJson(card())));
}

void Api::Status(const CallPtr& call) {
  Backend* backend = backend_;
  OrderedJson out;
  out["version"] = options_.version;
  out["ready"] = backend != nullptr;
  if (backend != nullptr) {
    const BackendLoad load = backend->load();
    out["model"] = ModelJson(backend->card())["hearth"];
    out["model"]["id"] = backend->card().id;
    out["requests"] = {{"running", load.running_requests}, {"waiting", load.waiting_requests}};
    out["kv_cache_usage"] = load.kv_cache_usage;
  }
  call->RespondJson(Dump(out));
}

ApiResult<void> Api::CheckModel(const std::string& model) const {
  if (model.empty() || model == card().id) return {};
  ApiError error = InvalidField(
      "model",
      "the model \"" + model.substr(0, 200) + "\" is not served here; \"" + card().id + "\" is",
      "model_not_found");
  error.status = 404;
  return tl::unexpected(std::move(error));
}

std::optional<Json> Api::TakeBody(const CallPtr& call) {
  const std::string body = std::move(call->exchange->request().body);
  ApiResult<Json> json = ParseBody(body);
  if (!json) {
    call->Fail(json.error());
    return std::nullopt;
  }
  return std::move(*json);
}

void Api::Tokenize(const CallPtr& call) {
  const std::optional<Json> body = TakeBody(call);
  if (!body) return;
  const ApiResult<TokenizeRequest> request = ParseTokenizeRequest(*body);
  if (!request) return call->Fail(request.error());
  if (const auto found = CheckModel(request->model); !found) return call->Fail(found.error());
  std::vector<TokenId> tokens;
  if (request->text) {
    if (request->text->size() > options_.max_prompt_bytes) {
      return call->Fail(InvalidField(
          "prompt",
          "the text is longer than " + std::to_string(options_.max_prompt_bytes) + " bytes"));
    }
    auto result =
        backend_.load()->Tokenize(*request->text, request->add_special, request->parse_special);
    if (!result) return call->Fail(FromError(result.error(), "prompt"));
    tokens = std::move(*result);
  } else {
    auto rendered = backend_.load()->RenderChat(request->prompt);
    if (!rendered) return call->Fail(FromError(rendered.error(), "messages"));
    tokens = std::move(rendered->tokens);
  }
  OrderedJson out;
  out["count"] = tokens.size();
  out["max_model_len"] = card().context_length;
  out["tokens"] = tokens;
  if (request->with_pieces) {
    OrderedJson pieces = OrderedJson::array();
    for (const TokenId id : tokens) pieces.push_back(backend_.load()->TokenBytes(id));
    out["token_strs"] = std::move(pieces);
  }
  call->RespondJson(Dump(out));
}

void Api::Detokenize(const CallPtr& call) {
  const std::optional<Json> body = TakeBody(call);
  if (!body) return;
  const ApiResult<DetokenizeRequest> request = ParseDetokenizeRequest(*body);
  if (!request) return call->Fail(request.error());
  if (const auto found = CheckModel(request->model); !found) return call->Fail(found.error());
  const auto text = backend_.load()->Detokenize(request->tokens);
  if (!text) return call->Fail(FromError(text.error(), "tokens"));
  // vLLM says prompt, llama.cpp content.
  call->RespondJson(Dump({{"prompt", *text}, {"content", *text}}));
}

void Api::Embed(const CallPtr& call) {
  const std::optional<Json> body = TakeBody(call);
  if (!body) return;
  const ApiResult<EmbeddingRequest> request = ParseEmbeddingRequest(*body);
  if (!request) return call->Fail(request.error());
  if (const auto found = CheckModel(request->model); !found) return call->Fail(found.error());
  if (!card().can_embed) {
    return call->Fail(InvalidField("model", "\"" + card().id + "\" is not an embedding model",
                                   "unsupported_value"));
  }
  if (request->dimensions && *request->dimensions != card().embedding_size) {
    return call->Fail(InvalidField(
        "dimensions",
        "'dimensions' can only be the model's own " + std::to_string(card().embedding_size),
        "unsupported_value"));
  }
  OrderedJson data = OrderedJson::array();
  int64_t num_tokens = 0;
  for (size_t i = 0; i < request->inputs.size(); ++i) {
    if (call->over) return;
    const std::string param =
        request->inputs.size() == 1 ? "input" : "input[" + std::to_string(i) + "]";
    std::string text;
    if (const auto* tokens = std::get_if<std::vector<TokenId>>(&request->inputs[i])) {
      Result<std::string> decoded = backend_.load()->Detokenize(*tokens);
      if (!decoded) return call->Fail(FromError(decoded.error(), param));
      text = std::move(*decoded);
    } else {
      text = std::get<std::string>(request->inputs[i]);
    }
    if (text.size() > options_.max_prompt_bytes) {
      return call->Fail(InvalidField(
          param,
          "the text is longer than " + std::to_string(options_.max_prompt_bytes) + " bytes"));
    }
    const Result<EmbeddingResult> result = backend_.load()->Embed(text);
    if (!result) return call->Fail(FromError(result.error(), param));
    num_tokens += result->num_tokens;
    OrderedJson entry;
    entry["object"] = "embedding";
    entry["index"] = i;
    entry["embedding"] = VectorJson(result->values, request->base64);
    data.push_back(std::move(entry));
  }
  metrics_.PromptTokens(num_tokens);
  OrderedJson out;
  out["object"] = "list";
  out["data"] = std::move(data);
  out["model"] = card().id;
  out["usage"] = {{"prompt_tokens", num_tokens}, {"total_tokens", num_tokens}};
  call->RespondJson(Dump(out));
}

}  // namespace hearth::openai
