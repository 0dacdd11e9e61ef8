// The endpoints that generate: chat and text completion. On a worker up to Start.

#include <algorithm>
#include <utility>

#include "server/openai/api.h"

namespace hearth::openai {

ApiResult<void> Api::CheckLength(size_t num_tokens, const std::string& param) const {
  const auto limit = static_cast<size_t>(card().context_length);
  if (num_tokens < limit) return {};
  return tl::unexpected(InvalidField(
      param,
      "this model's context is " + std::to_string(limit) + " tokens, and the prompt alone has " +
          std::to_string(num_tokens) + "; the answer needs at least one more",
      "context_length_exceeded"));
}

ApiResult<std::vector<TokenId>> Api::TokensOf(const PromptInput& prompt,
                                              const std::string& param) const {
  std::vector<TokenId> tokens;
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt)) {
    for (const TokenId id : *ids) {
      if (id < card().vocab_size) continue;
      return tl::unexpected(InvalidField(param, "token id " + std::to_string(id) +
                                                    " is outside the vocabulary of " +
                                                    std::to_string(card().vocab_size) + " tokens"));
    }
    tokens = *ids;
  } else {
    const std::string& text = std::get<std::string>(prompt);
    if (text.size() > options_.max_prompt_bytes) {
      return tl::unexpected(InvalidField(
          param,
          "the prompt is longer than " + std::to_string(options_.max_prompt_bytes) + " bytes",
          "context_length_exceeded"));
    }
    // Who writes a raw prompt writes the special tokens too: fill-in-the-middle and evaluation need
    // them.
    Result<std::vector<TokenId>> result =
        backend_.load()->Tokenize(text, /*add_special=*/true, /*parse_special=*/true);
    if (!result) return tl::unexpected(FromError(result.error(), param));
    tokens = std::move(*result);
  }
  if (tokens.empty()) {
    return tl::unexpected(
        InvalidField(param, "the prompt is empty, and this model has no token to begin with"));
  }
  if (const auto fits = CheckLength(tokens.size(), param); !fits)
    return tl::unexpected(fits.error());
  return tokens;
}

GenerateRequest Api::RequestFor(const GenerationFields& fields) const {
  GenerateRequest request;
  request.sampling = fields.sampling;
  request.max_tokens = fields.max_tokens;
  request.stop = fields.stop;
  request.ignore_end_of_turn = fields.ignore_end_of_turn;
  return request;
}

GenerationPlan Api::PlanFor(const GenerationFields& fields, std::string prompt_param) const {
  GenerationPlan plan;
  plan.choices_per_prompt = fields.n;
  plan.prompt_param = std::move(prompt_param);
  plan.model = card().id;
  plan.stream = fields.stream;
  plan.include_usage = fields.include_usage;
  plan.continuous_usage = fields.continuous_usage;
  plan.timeout = options_.request_timeout;
  plan.keep_alive = options_.keep_alive;
  return plan;
}

namespace {

ApiResult<void> CheckGeneration(const ModelCard& card, const GenerationFields& fields) {
  if (!card.can_generate) {
    return tl::unexpected(
        InvalidField("model", "\"" + card.id + "\" is an embedding model and cannot answer",
                     "unsupported_value"));
  }
  for (const auto& [id, bias] : fields.sampling.logit_bias) {
    if (id < card.vocab_size) continue;
    return tl::unexpected(InvalidField("logit_bias." + std::to_string(id),
                                       "token id " + std::to_string(id) +
                                           " is outside the vocabulary of " +
                                           std::to_string(card.vocab_size) + " tokens"));
  }
  return {};
}

// An answer nobody wants to repeat gets a seed of its own.
uint64_t SeedOf(const GenerationFields& fields) {
  if (fields.seed) return *fields.seed;
  return std::stoull(NewId("").substr(0, 15), nullptr, 16);
}

}  // namespace

void Api::Start(const CallPtr& call, GenerationPlan plan) {
  auto generation = std::make_shared<Generation>(call, backend_.load(), &metrics_, std::move(plan));
  call->exchange->Post([generation = std::move(generation)] { generation->Run(); });
}

void Api::Chat(const CallPtr& call) {
  const std::optional<Json> body = TakeBody(call);
  if (!body) return;
  ApiResult<ChatRequest> request = ParseChatRequest(*body);
  if (!request) return call->Fail(request.error());
  const GenerationFields& fields = request->fields;
  if (const auto found = CheckModel(fields.model); !found) return call->Fail(found.error());
  if (const auto valid = CheckGeneration(card(), fields); !valid) return call->Fail(valid.error());
  Result<RenderedPrompt> rendered = backend_.load()->RenderChat(request->prompt);
  if (!rendered) return call->Fail(FromError(rendered.error(), "messages"));
  if (rendered->tokens.empty())
    return call->Fail(InvalidField("messages", "the messages make an empty prompt"));
  if (const auto fits = CheckLength(rendered->tokens.size(), "messages"); !fits)
    return call->Fail(fits.error());

  GenerateRequest generate = RequestFor(fields);
  generate.sampling.seed = SeedOf(fields);
  generate.prompt = std::move(rendered->tokens);
  GenerationPlan plan = PlanFor(fields, "messages");
  for (int choice = 0; choice < fields.n; ++choice) {
    generate.sampling.choice = choice;
    plan.requests.push_back(generate);
  }
  plan.format = MakeChatFormat(*backend_.load(), fields.sampling.num_top_logprobs >= 0);
  Start(call, std::move(plan));
}

void Api::Complete(const CallPtr& call) {
  const std::optional<Json> body = TakeBody(call);
  if (!body) return;
  ApiResult<CompletionRequest> request = ParseCompletionRequest(*body);
  if (!request) return call->Fail(request.error());
  const GenerationFields& fields = request->fields;
  if (const auto found = CheckModel(fields.model); !found) return call->Fail(found.error());
  if (const auto valid = CheckGeneration(card(), fields); !valid) return call->Fail(valid.error());
  const bool with_logprobs = fields.sampling.num_top_logprobs >= 0;

  GenerateRequest generate = RequestFor(fields);
  generate.sampling.seed = SeedOf(fields);
  if (request->echo && with_logprobs) {
    generate.prompt_logprobs = fields.sampling.num_top_logprobs;
    // Evaluation harnesses ask for one token and drop the last log-probability. An end-of-turn
    // token would not be shown, and they would drop one of the prompt's instead.
    if (fields.max_tokens == 1) generate.ignore_end_of_turn = true;
  }
  GenerationPlan plan = PlanFor(fields, "prompt");
  std::vector<Echo> echoes;
  for (size_t i = 0; i < request->prompts.size(); ++i) {
    if (call->over) return;
    const std::string param =
        request->prompts.size() == 1 ? "prompt" : "prompt[" + std::to_string(i) + "]";
    ApiResult<std::vector<TokenId>> tokens = TokensOf(request->prompts[i], param);
    if (!tokens) return call->Fail(tokens.error());
    if (request->echo) {
      Echo echo;
      echo.first_token = tokens->front();
      if (auto* text = std::get_if<std::string>(&request->prompts[i])) {
        echo.text = std::move(*text);
      } else {
        Result<std::string> text_of = backend_.load()->Detokenize(*tokens);
        if (!text_of) return call->Fail(FromError(text_of.error(), param));
        echo.text = std::move(*text_of);
      }
      echoes.push_back(std::move(echo));
    }
    generate.prompt = std::move(*tokens);
    for (int choice = 0; choice < fields.n; ++choice) {
      generate.sampling.choice = choice;
      plan.requests.push_back(generate);
    }
  }
  plan.format = MakeCompletionFormat(*backend_.load(), with_logprobs, fields.n, std::move(echoes));
  Start(call, std::move(plan));
}

}  // namespace hearth::openai
