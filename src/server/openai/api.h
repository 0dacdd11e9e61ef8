#pragma once
// The API as an http::Handler: routes, access, limits, endpoints. The only place besides its
// neighbours in this folder that knows what the paths mean. Threads: the handler's methods on I/O
// threads; Attach and Detach from any.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "brain/backend.h"
#include "server/http/exchange.h"
#include "server/metrics/metrics.h"
#include "server/openai/access.h"
#include "server/openai/call.h"
#include "server/openai/generation.h"
#include "server/openai/requests.h"
#include "server/openai/workers.h"

namespace hearth::openai {

struct ApiOptions {
  AccessOptions access;
  std::string model_id;  // for the metrics' labels, before the model is there
  std::string version;
  int num_workers = 2;
  size_t max_queued_work = 256;  // requests whose prompt is not yet prepared; more get 429
  size_t max_prompt_bytes = 4 * 1024 * 1024;              // before tokenising
  std::chrono::milliseconds request_timeout{600'000};     // for a whole answer; 0: none
  std::chrono::milliseconds keep_alive{15'000};           // of silent streams
  std::function<void(const http::Summary&)> on_complete;  // one call per request
  std::function<void(const std::string&)> on_error;       // what went wrong inside, for the log
};

class Api : public http::Handler {
 public:
  explicit Api(ApiOptions options);
  ~Api() override;

  // From now on requests are answered; before, they get 503. `backend` outlives the Api or its
  // Detach.
  void Attach(Backend* backend);
  void set_connection_counter(std::function<int()> counter) {
    connection_counter_ = std::move(counter);
  }

  std::optional<http::Response> CheckHead(const http::Request& request) override;
  void Handle(std::shared_ptr<http::Exchange> exchange) override;
  http::Response OnFailure(const http::Failure& failure) override;
  void OnComplete(const http::Summary& summary) override;

 private:
  using CallPtr = std::shared_ptr<Call>;
  struct Route;
  static const Route* FindRoute(std::string_view path);

  // Endpoints without a body run on the I/O thread, the others on a worker.
  void Health(const CallPtr& call);
  void Ready(const CallPtr& call);
  void ShowMetrics(const CallPtr& call);
  void ListModels(const CallPtr& call);
  void ShowModel(const CallPtr& call);
  void Status(const CallPtr& call);
  void Chat(const CallPtr& call);
  void Complete(const CallPtr& call);
  void Embed(const CallPtr& call);
  void Tokenize(const CallPtr& call);
  void Detokenize(const CallPtr& call);
  bool ServePage(const CallPtr& call);

  std::optional<http::Response> Check(const http::Request& request, const CommonHeaders& common);
  void RunOnWorker(const CallPtr& call, void (Api::*endpoint)(const CallPtr&));
  // The body of a call as JSON, once its model is known to be the one served; failures are
  // answered.
  std::optional<Json> TakeBody(const CallPtr& call);
  ApiResult<void> CheckModel(const std::string& model) const;
  ApiResult<std::vector<TokenId>> TokensOf(const PromptInput& prompt,
                                           const std::string& param) const;
  ApiResult<void> CheckLength(size_t num_tokens, const std::string& param) const;
  GenerationPlan PlanFor(const GenerationFields& fields, std::string prompt_param) const;
  GenerateRequest RequestFor(const GenerationFields& fields) const;
  void Start(const CallPtr& call, GenerationPlan plan);
  void Log(const std::string& message) const;
  const ModelCard& card() const { return backend_.load()->card(); }

  ApiOptions options_;
  AccessPolicy access_;
  Metrics metrics_;
  std::atomic<Backend*> backend_ = nullptr;
  std::function<int()> connection_counter_;
  Workers workers_;  // last: its threads use the members above
};

}  // namespace hearth::openai
