#include "runtime/engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <future>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "runtime/chat_template/chat_template.h"
#include "runtime/engine/describe.h"
#include "runtime/engine/kv_check.h"
#include "runtime/engine/kv_room.h"
#include "runtime/engine/scheduler.h"
#include "runtime/engine/session.h"
#include "runtime/gguf/gguf.h"
#include "runtime/model/bert.h"
#include "runtime/spec_decode/draft_model.h"
#include "runtime/spec_decode/ngram_proposer.h"
#include "runtime/spec_decode/speculator.h"
#include "runtime/spec_decode/state_head.h"

namespace hearth {
namespace {

constexpr int kDefaultContextLength = 8192;

// Null: plain decoding. Errors: those of DraftModel::Load.
Result<std::unique_ptr<Speculator>> MakeSpeculator(const EngineOptions& options, KvType kv_type,
                                                   const Tokenizer& tokenizer, ThreadPool& pool,
                                                   int context_length, const GgufFile& base_file,
                                                   Decoder& base) {
  if (options.max_draft <= 0 || (!options.ngram_draft && options.draft_path.empty()))
    return std::unique_ptr<Speculator>();
  auto speculator =
      std::make_unique<Speculator>(Speculator::Options{options.max_draft, options.adaptive_draft});
  if (options.ngram_draft) speculator->Add(std::make_unique<NgramProposer>());
  if (options.draft_path.empty()) return speculator;
  const WeightImageOptions image{options.cache_dir, options.use_disk_cache,
                                 options.on_load_progress};
  // Its KV decides nothing but how well it guesses.
  const KvStorage kv_storage = kv_type == KvType::kF16 ? KvStorage::kF16 : KvStorage::kInt8;
  HEARTH_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(options.draft_path));
  if (StateHead::IsOne(file)) {
    StateHeadOptions head;
    head.max_sequences = options.max_sequences;
    head.context_length = context_length;
    head.kv_storage = kv_storage;
    head.integer_activations = options.activations == ActivationType::kInt8;
    head.image = image;
    HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<StateHead> loaded,
                            StateHead::Load(std::move(file), base, base_file, pool, head));
    speculator->Add(std::move(loaded));
  } else {
    DraftModelOptions draft;
    draft.max_sequences = options.max_sequences;
    draft.context_length = context_length;
    draft.kv_storage = kv_storage;
    draft.max_head_rows = options.draft_head_rows;
    draft.integer_activations = options.activations == ActivationType::kInt8;
    draft.image = image;
    HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<DraftModel> model,
                            DraftModel::Load(std::move(file), tokenizer, base_file, pool, draft));
    speculator->Add(std::move(model));
  }
  return speculator;
}

// What the self-check of KV types found for this model, and will find.
KvVerdicts VerdictsOf(const GgufFile& file, const EngineOptions& options) {
  const std::string dir = options.cache_dir.empty() ? DefaultCacheDir() : options.cache_dir;
  if (!options.use_disk_cache || dir.empty()) return {"", ""};
  const char* activations = options.activations == ActivationType::kInt8 ? "" : "-f32";
  return {dir + "/kv", ModelKey(file, dir) + activations};
}

void TakeKvChoice(const KvChoice& choice, ModelDescription* description) {
  description->kv_type = choice.type;
  description->kv_note = choice.note;
  if (choice.agreement) description->kv_kl = choice.agreement->kl;
}

std::string TokenTextOr(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id ? std::string(tokenizer.TokenText(*id)) : std::string();
}

}  // namespace

struct Engine::Impl {
  // Everything below is built by Load and then belongs to the engine's thread, except what is
  // immutable.
  EngineOptions options;
  ModelDescription description;
  GgufFile file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string chat_template_error;  // why there is none
  int context_length = 0;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<BertEncoder> encoder;
  std::unique_ptr<KvCacheStorage> kv;
  std::unique_ptr<Scheduler> scheduler;
  std::string model_key;  // empty: not asked for yet

  // Shared with callers, under the mutex.
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::function<void()>> commands;  // run by the engine's thread between two passes
  std::vector<RequestId> cancelled;
  EngineLoad load;
  int num_queued = 0;  // submitted and not yet admitted
  RequestId next_id = 1;
  bool draining = false;  // no new requests
  bool stopping = false;
  std::thread thread;

  void Start() {
    thread = std::thread([this] { Loop(); });
  }

  // Settles description.kv_type. Errors: kResourceExhausted.
  Status CheckKvType();
  // Errors: kUnsupported. On the engine's thread, for the model's key is made once.
  Result<KvSessionKey> SessionKey();
  void Loop();
  // What load() says, and then the last events of what it no longer counts.
  void Publish();
  Status CheckRequest(const GenerateRequest& request) const;

  // Runs `work` on the engine's thread and waits for it.
  template <typename T>
  T RunOnEngine(std::function<T()> work) {
    std::promise<T> promise;
    {
      const std::lock_guard lock(mutex);
      commands.push_back([&] { promise.set_value(work()); });
    }
    wake.notify_all();
    return promise.get_future().get();
  }
};

Status Engine::Impl::CheckKvType() {
  HEARTH_ASSIGN_OR_RETURN(const KvChoice choice,
                          ChooseKvType(options.kv_type, VerdictsOf(file, options), *decoder,
                                       *tokenizer, context_length, options.on_kv_check_progress));
  TakeKvChoice(choice, &description);
  return {};
}

Result<KvSessionKey> Engine::Impl::SessionKey() {
  if (!scheduler) {
    return MakeError(ErrorCode::kUnsupported,
                     description.name + " is an embedding model and keeps no KV");
  }
  if (model_key.empty()) {
    const std::string dir = options.cache_dir.empty() ? DefaultCacheDir() : options.cache_dir;
    model_key = ModelKey(file, options.use_disk_cache ? dir : "");
  }
  return KvSessionKey{model_key, "", Kernels().name, options.activations == ActivationType::kInt8,
                      kv->shape()};
}

void Engine::Impl::Loop() {
  for (;;) {
    std::vector<std::function<void()>> work;
    std::vector<RequestId> to_cancel;
    {
      std::unique_lock lock(mutex);
      const bool idle = !scheduler || scheduler->idle();
      if (idle)
        wake.wait(lock, [&] { return stopping || !commands.empty() || !cancelled.empty(); });
      work.swap(commands);
      to_cancel.swap(cancelled);
      if (stopping && work.empty()) break;
    }
    for (const auto& command : work) command();
    for (const RequestId id : to_cancel) {
      if (scheduler) scheduler->Cancel(id);
    }
    if (scheduler && !scheduler->idle()) {
      scheduler->Admit();
      // before the step: who runs does not count as waiting when its first token arrives
      Publish();
      scheduler->Step();
    }
    Publish();
  }
  if (scheduler) scheduler->CancelAll();
  Publish();
}

void Engine::Impl::Publish() {
  if (!scheduler) return;
  const Scheduler::Load now = scheduler->load();
  {
    const std::lock_guard lock(mutex);
    load = {now.running,     now.waiting, now.kv_usage,     now.prefix_queries, now.prefix_hits,
            now.preemptions, now.steps,   now.draft_tokens, now.accepted_tokens};
    num_queued = now.waiting + static_cast<int>(commands.size());
  }
  scheduler->DeliverLastEvents();
}

Status Engine::Impl::CheckRequest(const GenerateRequest& request) const {
  const int vocab_size = description.vocab_size;
  if (!decoder) {
    return MakeError(ErrorCode::kUnsupported,
                     description.name + " is an embedding model and cannot generate text");
  }
  if (request.prompt.empty()) return MakeError(ErrorCode::kInvalidArgument, "the prompt is empty");
  for (const TokenId id : request.prompt) {
    if (id < 0 || id >= vocab_size) {
      return MakeError(ErrorCode::kInvalidArgument, "token id " + std::to_string(id) +
                                                        " is outside the vocabulary of " +
                                                        std::to_string(vocab_size) + " tokens");
    }
  }
  if (static_cast<int64_t>(request.prompt.size()) >= context_length) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the prompt has " + std::to_string(request.prompt.size()) +
                         " tokens, the context holds " + std::to_string(context_length) +
                         " of prompt and answer together");
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty()) return MakeError(ErrorCode::kInvalidArgument, "a stop string is empty");
  }
  if (request.max_tokens < -1) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "max_tokens is " + std::to_string(request.max_tokens));
  }
  return ValidateSamplingOptions(request.sampling, vocab_size);
}

Result<std::unique_ptr<Engine>> Engine::Load(const std::string& path,
                                             const EngineOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  HEARTH_ASSIGN_OR_RETURN(impl->file, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(impl->description, DescribeModel(impl->file, options.kv_type));
  HEARTH_ASSIGN_OR_RETURN(impl->tokenizer, Tokenizer::FromGguf(impl->file));
  if (impl->tokenizer->vocab_size() > impl->description.vocab_size) {
    return MakeError(ErrorCode::kCorrupt,
                     path + ": the tokenizer has " + std::to_string(impl->tokenizer->vocab_size()) +
                         " tokens, the model " + std::to_string(impl->description.vocab_size));
  }
  HEARTH_ASSIGN_OR_RETURN(impl->context_length,
                          ContextLength(impl->description, options.context_length));
  impl->pool = std::make_unique<ThreadPool>(options.num_threads);

  DecoderOptions decoder_options;
  decoder_options.max_batch_tokens = std::max(options.max_batch_tokens, options.max_sequences);
  // One chat's guesses, or a token each of a full batch, in one product with the head.
  decoder_options.max_logits = std::max(options.max_sequences, options.max_draft + 1);
  decoder_options.integer_activations = options.activations == ActivationType::kInt8;
  decoder_options.image = {options.cache_dir, options.use_disk_cache, options.on_load_progress};
  if (impl->description.is_embedding_model) {
    HEARTH_ASSIGN_OR_RETURN(impl->encoder,
                            BertEncoder::Load(impl->file, *impl->pool, decoder_options));
    impl->description.weights_note = impl->encoder->image().why_in_memory();
  } else {
    HEARTH_ASSIGN_OR_RETURN(impl->decoder, Decoder::Load(impl->file, *impl->pool, decoder_options));
    impl->description.weights_note = impl->decoder->image().why_in_memory();
    if (options.kv_type != KvType::kF16 && options.check_kv_type)
      HEARTH_RETURN_IF_ERROR(impl->CheckKvType());
    const KvShape shape = impl->decoder->kv_shape(StorageOf(impl->description.kv_type));
    impl->description.kv_bytes_per_token = shape.bytes_per_token();
    impl->description.kv_bytes_per_open_block = shape.bytes_per_open_block();
    HEARTH_ASSIGN_OR_RETURN(
        std::unique_ptr<Speculator> speculator,
        MakeSpeculator(options, impl->description.kv_type, *impl->tokenizer, *impl->pool,
                       impl->context_length, impl->file, *impl->decoder));
    KvBlockBytes bytes = BlockBytesOf(impl->description);
    if (speculator) bytes.draft = speculator->kv_bytes_per_block();
    HEARTH_ASSIGN_OR_RETURN(const KvRoom room, KvRoomFor(options, bytes, impl->context_length));
    if (speculator) HEARTH_RETURN_IF_ERROR(speculator->ReserveKv(room.num_blocks));
    HEARTH_ASSIGN_OR_RETURN(KvCacheStorage kv, KvCacheStorage::Create(shape, room.num_blocks));
    impl->kv = std::make_unique<KvCacheStorage>(std::move(kv));
    SchedulerOptions scheduler_options;
    scheduler_options.context_length = impl->context_length;
    scheduler_options.max_sequences = options.max_sequences;
    scheduler_options.max_batch_tokens = decoder_options.max_batch_tokens;
    scheduler_options.max_draft = options.max_draft;
    impl->scheduler = std::make_unique<Scheduler>(*impl->decoder, *impl->kv, *impl->tokenizer,
                                                  scheduler_options, std::move(speculator));
    if (!impl->description.chat_template.empty()) {
      auto parsed = ChatTemplate::Parse(impl->description.chat_template);
      if (parsed) {
        impl->chat_template = std::move(*parsed);
      } else {
        impl->chat_template_error = parsed.error().message;  // the model still completes text
      }
    }
  }
  impl->Start();
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Result<ModelDescription> Engine::Describe(const std::string& path, KvType kv_type) {
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(ModelDescription description, DescribeModel(file, kv_type));
  if (kv_type == KvType::kF16 || description.is_embedding_model) return description;
  const KvChoice choice = KnownKvChoice(kv_type, VerdictsOf(file, EngineOptions{}));
  if (choice.type != kv_type) {
    HEARTH_ASSIGN_OR_RETURN(description, DescribeModel(file, choice.type));
  }
  TakeKvChoice(choice, &description);
  return description;
}

Result<int> Engine::ContextLength(const ModelDescription& description, int asked) {
  if (asked <= 0) return std::min(kDefaultContextLength, description.context_length);
  if (asked > description.context_length) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a context of " + std::to_string(asked) + " tokens is more than " +
                         description.name +
                         " was trained for: " + std::to_string(description.context_length));
  }
  return asked;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->draining = true;
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

const ModelDescription& Engine::description() const { return impl_->description; }
const Tokenizer& Engine::tokenizer() const { return *impl_->tokenizer; }
int Engine::context_length() const { return impl_->context_length; }
const EngineOptions& Engine::options() const { return impl_->options; }

Result<RequestId> Engine::Submit(GenerateRequest request, EventSink sink) {
  HEARTH_RETURN_IF_ERROR(impl_->CheckRequest(request));
  const Scheduler::Clock::time_point now = Scheduler::Clock::now();
  RequestId id;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->draining) return MakeError(ErrorCode::kUnavailable, "the engine is shutting down");
    if (impl_->num_queued >= impl_->options.max_queued_requests) {
      return MakeError(
          ErrorCode::kResourceExhausted,
          "the queue is full: " + std::to_string(impl_->num_queued) + " requests are waiting");
    }
    ++impl_->num_queued;
    id = impl_->next_id++;
    impl_->commands.push_back([impl = impl_.get(), id, now, request = std::move(request),
                               sink = std::move(sink)]() mutable {
      impl->scheduler->Add(id, std::move(request), std::move(sink), now);
    });
  }
  impl_->wake.notify_all();
  return id;
}

void Engine::Cancel(RequestId id) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->cancelled.push_back(id);
  }
  impl_->wake.notify_all();
}

Result<Engine::ChatTokens> Engine::RenderChat(jinja::Object context) const {
  if (!impl_->chat_template) {
    const std::string& why = impl_->chat_template_error;
    return MakeError(
        ErrorCode::kUnsupported,
        impl_->description.name +
            (why.empty() ? " has no chat template" : "'s chat template cannot be used: " + why));
  }
  const Tokenizer& tokenizer = *impl_->tokenizer;
  context.emplace_back("bos_token", jinja::Value(TokenTextOr(tokenizer, tokenizer.bos())));
  context.emplace_back("eos_token", jinja::Value(TokenTextOr(tokenizer, tokenizer.eos())));
  const auto now = [] { return static_cast<int64_t>(std::time(nullptr)); };
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text text, impl_->chat_template->Render(context, now));
  const std::vector<jinja::Text::Part> parts = text.parts();
  std::vector<TextSegment> segments;
  for (const jinja::Text::Part& part : parts) segments.push_back({part.text, part.trusted});
  ChatTokens result;
  result.text = text.str();
  result.tokens = tokenizer.Encode(segments, true);
  // A template that writes BOS itself must not get it twice.
  if (result.tokens.size() >= 2 && tokenizer.bos() && tokenizer.adds_bos() &&
      result.tokens[0] == *tokenizer.bos() && result.tokens[1] == *tokenizer.bos()) {
    result.tokens.erase(result.tokens.begin());
  }
  return result;
}

Result<EmbeddingResult> Engine::Embed(std::string_view text) {
  if (!impl_->encoder) {
    return MakeError(ErrorCode::kUnsupported,
                     impl_->description.name + " is not an embedding model");
  }
  const auto most =
      static_cast<size_t>(std::min(impl_->context_length, impl_->encoder->max_tokens()));
  std::vector<TokenId> tokens = impl_->tokenizer->Encode(text, true);
  if (tokens.size() > most) {
    // The mark at the end (BERT's [SEP]) stays.
    const bool ends_with_mark = most > 1 && tokens.back() == impl_->tokenizer->eos();
    tokens.resize(most);
    if (ends_with_mark) tokens.back() = *impl_->tokenizer->eos();
  }
  return impl_->RunOnEngine<Result<EmbeddingResult>>([&]() -> Result<EmbeddingResult> {
    return EmbeddingResult{impl_->encoder->Embed(tokens), static_cast<int>(tokens.size())};
  });
}

Result<std::vector<float>> Engine::Score(std::span<const TokenId> tokens, int first) {
  GenerateRequest as_request;
  as_request.prompt.assign(tokens.begin(), tokens.end());
  if (!as_request.prompt.empty()) as_request.prompt.pop_back();  // the last token is only predicted
  HEARTH_RETURN_IF_ERROR(impl_->CheckRequest(as_request));
  if (tokens.back() < 0 || tokens.back() >= impl_->description.vocab_size) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "token id " + std::to_string(tokens.back()) + " is outside the vocabulary");
  }
  HEARTH_CHECK(first >= 1 && first < static_cast<int>(tokens.size()));
  return impl_->RunOnEngine<Result<std::vector<float>>>(
      [&] { return impl_->scheduler->Score(tokens, first); });
}

Result<int> Engine::SaveSession(const std::string& path, std::span<const TokenId> tokens) {
  return impl_->RunOnEngine<Result<int>>([&, impl = impl_.get()]() -> Result<int> {
    HEARTH_ASSIGN_OR_RETURN(const KvSessionKey key, impl->SessionKey());
    return hearth::SaveSession(path, key, *impl->kv, impl->scheduler->block_pool(), tokens);
  });
}

Result<int> Engine::SaveAllSessions(const std::string& path, int64_t max_bytes) {
  return impl_->RunOnEngine<Result<int>>([&, impl = impl_.get()]() -> Result<int> {
    HEARTH_ASSIGN_OR_RETURN(const KvSessionKey key, impl->SessionKey());
    return hearth::SaveAllSessions(path, key, *impl->kv, impl->scheduler->block_pool(), max_bytes);
  });
}

Result<int> Engine::RestoreSession(const std::string& path) {
  return impl_->RunOnEngine<Result<int>>([&, impl = impl_.get()]() -> Result<int> {
    HEARTH_ASSIGN_OR_RETURN(const KvSessionKey key, impl->SessionKey());
    return hearth::RestoreSession(path, key, *impl->kv, impl->scheduler->block_pool());
  });
}

EngineLoad Engine::load() const {
  const std::lock_guard lock(impl_->mutex);
  EngineLoad load = impl_->load;
  load.waiting = std::max(load.waiting, impl_->num_queued);
  return load;
}

void Engine::Shutdown(int timeout_ms) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->draining = true;
  }
  if (!impl_->scheduler) return;
  impl_->RunOnEngine<bool>([&] {
    impl_->scheduler->CancelWaiting();
    impl_->Publish();
    return true;
  });
  const auto deadline = Scheduler::Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (Scheduler::Clock::now() < deadline) {
    const bool idle = impl_->RunOnEngine<bool>([&] { return impl_->scheduler->idle(); });
    if (idle) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  impl_->RunOnEngine<bool>([&] {
    impl_->scheduler->CancelAll();
    impl_->Publish();
    return true;
  });
}

}  // namespace hearth
