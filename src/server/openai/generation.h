#pragma once
// Runs the choices of one API request on the backend and writes the answer, as a stream of events
// or whole. A client that leaves cancels them at once; a server that stops, or a request that takes
// too long, ends the answer with an error. Threads: Run and everything behind it on the exchange's
// executor; the backend's sinks only hand events over.

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "brain/backend.h"
#include "server/metrics/metrics.h"
#include "server/openai/answer_format.h"
#include "server/openai/call.h"

namespace hearth::openai {

struct GenerationPlan {
  std::vector<GenerateRequest> requests;  // one per choice, at least one
  int choices_per_prompt = 1;             // neighbours with the same prompt: counted once in usage
  std::string prompt_param;               // the field that the backend's errors are about
  std::string model;
  std::unique_ptr<AnswerFormat> format;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  int max_parallel = 16;  // choices handed to the backend at a time; the others follow as these end
  std::chrono::milliseconds timeout{0};  // 0: none
  std::chrono::milliseconds keep_alive{
      0};  // a stream that has nothing to say sends a comment that often; 0: never
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // `backend` and `metrics` outlive the generation.
  Generation(std::shared_ptr<Call> call, Backend* backend, Metrics* metrics, GenerationPlan plan);

  // Requires: called once, on the executor.
  void Run();

 private:
  struct Arrival {
    size_t choice;
    std::chrono::steady_clock::time_point time;
    GenerateEvent event;
  };

  bool SubmitMore();
  // On the engine's thread.
  void Push(size_t choice, GenerateEvent event);
  void Drain();
  void Take(Arrival& arrival);
  void Measure(const Arrival& arrival);
  void TakeWhole(Choice& choice, GenerateEvent& event);
  void WritePieces(Choice& choice, const GenerateEvent& event);
  void ChoiceDone(Choice& choice, const GenerateEvent& event);
  void Complete();
  void Fail(const ApiError& error);
  void End();
  void StartStream();
  void Send(const OrderedJson& chunk);
  void KeepAlive();
  void OnClose(http::CloseReason reason);
  OrderedJson Envelope(bool stream) const;
  OrderedJson Usage() const;
  static OrderedJson Timings(const GenerateStats& stats);

  std::shared_ptr<Call> call_;
  Backend* backend_;
  Metrics* metrics_;
  GenerationPlan plan_;
  std::string id_;
  int64_t created_;
  std::vector<Choice> choices_;
  std::vector<RequestId> ids_;  // of the choices submitted so far
  std::vector<std::chrono::steady_clock::time_point> last_arrival_;
  int64_t prompt_tokens_ = 0;
  size_t num_finished_ = 0;
  bool over_ = false;
  bool wrote_since_keep_alive_ = false;

  std::mutex mutex_;
  std::deque<Arrival> arrivals_;  // guarded by mutex_
};

}  // namespace hearth::openai
