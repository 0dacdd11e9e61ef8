#include "server/openai/generation.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace hearth::openai {
namespace {

using std::chrono::steady_clock;

double Seconds(steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Generation::Generation(std::shared_ptr<Call> call, Backend* backend, Metrics* metrics,
                       GenerationPlan plan)
    : call_(std::move(call)),
      backend_(backend),
      metrics_(metrics),
      plan_(std::move(plan)),
      id_(NewId(plan_.format->IdPrefix())),
      created_(static_cast<int64_t>(std::time(nullptr))),
      choices_(plan_.requests.size()),
      last_arrival_(plan_.requests.size()) {
  for (size_t i = 0; i < choices_.size(); ++i) {
    choices_[i].index = static_cast<int>(i);
    if (i % static_cast<size_t>(plan_.choices_per_prompt) == 0) {
      prompt_tokens_ += static_cast<int64_t>(plan_.requests[i].prompt.size());
    }
  }
}

void Generation::Run() {
  if (call_->over) return;
  const auto self = shared_from_this();
  call_->exchange->OnClose([self](http::CloseReason reason) { self->OnClose(reason); });
  if (!SubmitMore()) return;
  metrics_->PromptTokens(prompt_tokens_);
  if (plan_.timeout.count() > 0) {
    call_->exchange->RunAfter(plan_.timeout, [self] {
      self->Fail(
          FromError({ErrorCode::kDeadline, "the answer took longer than this server allows"}));
    });
  }
  if (plan_.stream && plan_.keep_alive.count() > 0) {
    call_->exchange->RunAfter(plan_.keep_alive, [self] { self->KeepAlive(); });
  }
}

bool Generation::SubmitMore() {
  while (ids_.size() < plan_.requests.size() &&
         ids_.size() - num_finished_ < static_cast<size_t>(plan_.max_parallel)) {
    const size_t index = ids_.size();
    Result<RequestId> id = backend_->Generate(
        std::move(plan_.requests[index]), [self = shared_from_this(), index](GenerateEvent event) {
          self->Push(index, std::move(event));
        });
    if (!id) {
      ApiError error = FromError(id.error(), plan_.prompt_param);
      if (error.status == 429) {
        metrics_->Rejected("queue");
        // Everyone who waits runs before a newcomer does; two minutes is what clients accept.
        const BackendLoad load = backend_->load();
        error.retry_after_s =
            std::clamp(1 + load.waiting_requests / std::max(1, load.running_requests), 1, 60);
      }
      Fail(error);
      return false;
    }
    ids_.push_back(*id);
  }
  return true;
}

void Generation::Push(size_t choice, GenerateEvent event) {
  bool first;
  {
    const std::lock_guard lock(mutex_);
    first = arrivals_.empty();
    arrivals_.push_back({choice, steady_clock::now(), std::move(event)});
  }
  if (first) call_->exchange->Post([self = shared_from_this()] { self->Drain(); });
}

void Generation::Drain() {
  std::deque<Arrival> arrivals;
  {
    const std::lock_guard lock(mutex_);
    arrivals.swap(arrivals_);
  }
  for (Arrival& arrival : arrivals) {
    if (over_) return;
    Take(arrival);
  }
}

void Generation::Take(Arrival& arrival) {
  Choice& choice = choices_[arrival.choice];
  GenerateEvent& event = arrival.event;
  Measure(arrival);
  if (event.finished && event.finish_reason == FinishReason::kError) {
    return Fail(FromError(event.error.value_or(Error{ErrorCode::kInternal, "unknown"}),
                          plan_.prompt_param));
  }
  // We cancel only when we are over, so this is the engine's own stop.
  if (event.finished && event.finish_reason == FinishReason::kCancelled) {
    return Fail(FromError({ErrorCode::kUnavailable, "the server is shutting down"}));
  }
  if (plan_.stream) {
    WritePieces(choice, event);
  } else {
    TakeWhole(choice, event);
  }
  if (event.finished && !over_) ChoiceDone(choice, event);
}

void Generation::Measure(const Arrival& arrival) {
  const auto count = static_cast<int>(arrival.event.tokens.size());
  if (count == 0) return;
  auto& last = last_arrival_[arrival.choice];
  metrics_->GeneratedTokens(count);
  if (last == steady_clock::time_point{}) {
    metrics_->TimeToFirstToken(Seconds(arrival.time - call_->start));
  } else {
    metrics_->InterTokenLatency(Seconds(arrival.time - last), count);
  }
  last = arrival.time;
}

void Generation::TakeWhole(Choice& choice, GenerateEvent& event) {
  choice.text += event.text;
  std::move(event.tokens.begin(), event.tokens.end(), std::back_inserter(choice.tokens));
  std::move(event.prompt_tokens.begin(), event.prompt_tokens.end(),
            std::back_inserter(choice.prompt_tokens));
}

void Generation::WritePieces(Choice& choice, const GenerateEvent& event) {
  choice.stats = event.stats;
  std::vector<OrderedJson> pieces = plan_.format->Pieces(choice, event);
  for (size_t i = 0; i < pieces.size() && !over_; ++i) {
    OrderedJson chunk = Envelope(true);
    chunk["choices"] = OrderedJson::array({std::move(pieces[i])});
    if (plan_.continuous_usage) {
      chunk["usage"] = Usage();
    } else if (plan_.include_usage) {
      chunk["usage"] = nullptr;
    }
    if (event.finished && i + 1 == pieces.size())
      chunk["hearth"] = {{"timings", Timings(event.stats)}};
    Send(chunk);
  }
}

void Generation::ChoiceDone(Choice& choice, const GenerateEvent& event) {
  choice.finished = true;
  choice.finish_reason = event.finish_reason;
  choice.stats = event.stats;
  ++num_finished_;
  metrics_->AnswerEnded(FinishReasonName(event.finish_reason),
                        Seconds(steady_clock::now() - call_->start), event.stats);
  if (num_finished_ == choices_.size()) {
    Complete();
  } else {
    SubmitMore();
  }
}

void Generation::Complete() {
  int64_t completion_tokens = 0;
  for (const Choice& choice : choices_) completion_tokens += choice.stats.completion_tokens;
  call_->exchange->Annotate("prompt_tokens=" + std::to_string(prompt_tokens_) +
                            " completion_tokens=" + std::to_string(completion_tokens));
  if (plan_.stream) {
    if (plan_.include_usage) {
      OrderedJson chunk = Envelope(true);
      chunk["choices"] = OrderedJson::array();
      chunk["usage"] = Usage();
      Send(chunk);
    }
    if (!over_) call_->exchange->Write("data: [DONE]\n\n");
    call_->exchange->Finish();
  } else {
    OrderedJson body = Envelope(false);
    OrderedJson list = OrderedJson::array();
    for (Choice& choice : choices_) list.push_back(plan_.format->Whole(choice));
    body["choices"] = std::move(list);
    body["usage"] = Usage();
    body["hearth"] = {{"timings", Timings(choices_[0].stats)}};
    call_->RespondJson(Dump(body));
  }
  End();
}

void Generation::Fail(const ApiError& error) {
  if (over_) return;
  End();
  call_->exchange->Annotate("error=" + (error.code.empty() ? error.type : error.code));
  if (!call_->exchange->started()) {
    call_->Fail(error);
  } else {
    // The status has long been sent; clients look for this object instead.
    call_->exchange->Write("data: " + ErrorJson(error) + "\n\n");
    call_->exchange->Finish();
  }
}

void Generation::End() {
  if (over_) return;
  over_ = true;
  call_->over = true;
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (choices_[i].finished) continue;
    backend_->Cancel(ids_[i]);
    metrics_->AnswerEnded("abort", Seconds(steady_clock::now() - call_->start), choices_[i].stats);
  }
}

void Generation::StartStream() {
  http::Response head;
  head.content_type = "text/event-stream";
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  AddCommonHeaders(call_->common, head);
  call_->exchange->StartStream(std::move(head));
}

void Generation::Send(const OrderedJson& chunk) {
  // Not before there is something to send: an error that comes first can still have its own status.
  if (!call_->exchange->started()) StartStream();
  wrote_since_keep_alive_ = true;
  call_->exchange->Write("data: " + Dump(chunk) + "\n\n");
}

void Generation::KeepAlive() {
  if (over_) return;
  if (!wrote_since_keep_alive_) {
    if (!call_->exchange->started()) StartStream();
    call_->exchange->Write(": still here\n\n");
  }
  wrote_since_keep_alive_ = false;
  call_->exchange->RunAfter(plan_.keep_alive, [self = shared_from_this()] { self->KeepAlive(); });
}

void Generation::OnClose(http::CloseReason reason) {
  if (over_) return;
  if (reason == http::CloseReason::kClientGone) {
    metrics_->Disconnected();
    End();
  } else {
    Fail(FromError({ErrorCode::kUnavailable, "the server is shutting down"}));
  }
}

OrderedJson Generation::Envelope(bool stream) const {
  OrderedJson out;
  out["id"] = id_;
  out["object"] = plan_.format->ObjectName(stream);
  out["created"] = created_;
  out["model"] = plan_.model;
  return out;
}

OrderedJson Generation::Usage() const {
  int64_t completion = 0;
  int64_t cached = 0;
  for (size_t i = 0; i < choices_.size(); ++i) {
    completion += choices_[i].stats.completion_tokens;
    if (i % static_cast<size_t>(plan_.choices_per_prompt) == 0)
      cached += choices_[i].stats.cached_tokens;
  }
  OrderedJson out;
  out["prompt_tokens"] = prompt_tokens_;
  out["completion_tokens"] = completion;
  out["total_tokens"] = prompt_tokens_ + completion;
  out["prompt_tokens_details"] = {{"cached_tokens", cached}};
  return out;
}

OrderedJson Generation::Timings(const GenerateStats& stats) {
  OrderedJson out;
  out["queue_ms"] = stats.queue_ms;
  out["prefill_ms"] = stats.prefill_ms;
  out["time_to_first_token_ms"] = stats.time_to_first_token_ms;
  out["decode_ms"] = stats.decode_ms;
  // The first token is prefill's work.
  if (stats.completion_tokens > 1 && stats.decode_ms > 0) {
    out["tokens_per_second"] = (stats.completion_tokens - 1) * 1000.0 / stats.decode_ms;
  }
  return out;
}

}  // namespace hearth::openai
