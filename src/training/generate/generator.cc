#include "training/generate/generator.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/check.h"
#include "training/generate/sampling.h"
#include "training/model/torch_compat_attention.h"

namespace hearth::forge {
namespace {

using Clock = std::chrono::steady_clock;

template <typename T>
Tensor OnDevice(const std::vector<T>& values, at::ScalarType type, const at::Device& device) {
  return at::tensor(values, at::TensorOptions().dtype(type)).to(device);
}

// [0, 1), of 24 bits, as FP32 holds it.
float UnitFloat(uint64_t hash) { return static_cast<float>(hash >> 40) * 0x1p-24f; }

}  // namespace

Generator::Generator(const Decoder& decoder, const GeneratorOptions& options)
    : decoder_(decoder),
      options_(options),
      slots_(static_cast<size_t>(options.batch)),
      cache_(decoder.MakeCache(options.batch, options.capacity)),
      graph_(decoder.device(), options.use_graph) {
  HEARTH_CHECK(options.batch >= 1 && options.least_batch >= 1 && options.capacity >= 2 &&
               options.steps_per_check >= 1 && options.prefill_tokens >= 1);
  const auto longs = at::TensorOptions().device(decoder.device()).dtype(at::kLong);
  const auto floats = longs.dtype(at::kFloat);
  lengths_ = at::zeros({options.batch}, longs);
  tokens_ = at::zeros({options.batch}, longs);
  alive_ = at::zeros({options.batch}, longs);
  remaining_ = at::zeros({options.batch}, longs);
  temperature_ = at::zeros({options.batch}, floats);
  top_p_ = at::ones({options.batch}, floats);
  noise_ = at::zeros({options.batch, options.steps_per_check}, floats);
  out_ = at::zeros({options.batch, options.steps_per_check}, longs);
  step_ = at::zeros({1}, longs);
  std::vector<int64_t> stops;
  for (const int32_t token : options.stop_tokens) {
    if (token >= 0 && token < decoder.config().vocab_size) stops.push_back(token);
  }
  is_stop_ = at::zeros({decoder.config().vocab_size}, longs.dtype(at::kBool));
  if (!stops.empty()) is_stop_.index_fill_(0, OnDevice(stops, at::kLong, decoder.device()), true);
}

Status Generator::Run(const NextRequest& next, const OnGenerated& done) {
  return CatchTorch("generating", [&]() -> Status {
    const at::NoGradGuard no_gradients;
    const Clock::time_point begin = Clock::now();
    // Slots that have ended are filled with what is ready, and the device gets its next steps,
    // before the texts are handed over: on a GPU the steps run meanwhile.
    while (true) {
      HEARTH_RETURN_IF_ERROR(Fill(next, done));
      if (num_busy_ == 0 && ended_.empty()) break;
      const bool running = num_busy_ > 0;
      if (running) RunSteps();
      HEARTH_RETURN_IF_ERROR(HandOver(done));
      if (running) Collect();
    }
    statistics_.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    if (slot_steps_ > 0)
      statistics_.occupancy =
          static_cast<double>(statistics_.new_tokens) / static_cast<double>(slot_steps_);
    return {};
  });
}

Status Generator::CheckRequest(const GenerationRequest& request) const {
  const std::string which = "request " + std::to_string(request.tag) + ": ";
  if (request.prompt.empty()) return MakeError(ErrorCode::kInvalidArgument, which + "no prompt");
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= decoder_.config().vocab_size)
      return MakeError(ErrorCode::kInvalidArgument,
                       which + "token " + std::to_string(token) + " is not in the vocabulary");
  }
  return {};
}

// Another number of slots: those that are busy and idle ones. Requires room for the busy ones.
void Generator::Resize(int64_t batch) {
  std::vector<int64_t> rows;
  std::vector<Slot> slots;
  for (int64_t row = 0; row < this->batch(); ++row) {
    Slot& slot = slots_[static_cast<size_t>(row)];
    if (!slot.busy) continue;
    rows.push_back(row);
    slots.push_back(std::move(slot));
  }
  const auto kept = static_cast<int64_t>(rows.size());
  HEARTH_CHECK(kept <= batch);
  rows.resize(static_cast<size_t>(batch), 0);  // the idle ones hold anything
  slots.resize(static_cast<size_t>(batch));
  slots_ = std::move(slots);
  graph_ = StepGraph(decoder_.device(), options_.use_graph);  // the old one holds the old addresses
  const Tensor places = OnDevice(rows, at::kLong, decoder_.device());
  cache_.Select(places);
  for (Tensor* tensor : {&lengths_, &tokens_, &alive_, &remaining_, &temperature_, &top_p_})
    *tensor = tensor->index_select(0, places);
  for (const Tensor& tensor : {alive_, lengths_}) tensor.narrow(0, kept, batch - kept).zero_();
  noise_ = noise_.new_zeros({batch, options_.steps_per_check});
  out_ = out_.new_zeros({batch, options_.steps_per_check});
}

Status Generator::Fill(const NextRequest& next, const OnGenerated& done) {
  std::vector<int64_t> filled;
  bool is_out = false;
  for (int64_t index = 0;;) {
    if (index == batch() && batch() == options_.batch) break;
    if (index < batch() && slots_[static_cast<size_t>(index)].busy) {
      ++index;
      continue;
    }
    std::optional<GenerationRequest> request = next();
    is_out = !request.has_value();
    if (is_out) break;
    HEARTH_RETURN_IF_ERROR(CheckRequest(*request));
    // All slots are busy, so they stay in place.
    if (index == batch()) Resize(std::min(2 * batch(), options_.batch));
    Slot& slot = slots_[static_cast<size_t>(index)];
    const auto prompt_tokens = static_cast<int64_t>(request->prompt.size());
    const int64_t limit = std::min(request->max_new_tokens, options_.capacity - prompt_tokens);
    if (limit <= 0) {
      HEARTH_RETURN_IF_ERROR(done(*request, {}));
      continue;
    }
    slot = {true, std::move(*request), limit, prompt_tokens - 1, {}};
    filled.push_back(index++);
    ++num_busy_;
    ++statistics_.sequences;
    statistics_.prompt_tokens += prompt_tokens;
  }
  if (!filled.empty()) {
    Prefill(filled);
    Begin(filled);
  }
  int64_t fitting = batch();
  while (fitting >= 2 * options_.least_batch && 2 * num_busy_ <= fitting) fitting /= 2;
  if (is_out && num_busy_ > 0 && fitting < batch()) Resize(fitting);
  return {};
}

// Keys and values of all but each prompt's last token, which the first step takes. Prompts of like
// length share a pass, in a small cache of their own, whose rows are then copied.
void Generator::Prefill(std::vector<int64_t> slots) {
  const auto length_of = [this](int64_t slot) { return slots_[static_cast<size_t>(slot)].length; };
  std::erase_if(slots, [&](int64_t slot) { return length_of(slot) == 0; });
  std::ranges::stable_sort(slots, {}, length_of);
  const at::Device device = decoder_.device();
  // From the longest on: a group is as wide as its first.
  while (!slots.empty()) {
    const int64_t width = length_of(slots.back());
    const auto most = static_cast<size_t>(std::max<int64_t>(1, options_.prefill_tokens / width));
    const size_t count = std::min(slots.size(), most);
    const std::vector<int64_t> group(slots.end() - static_cast<ptrdiff_t>(count), slots.end());
    slots.resize(slots.size() - count);
    std::vector<int64_t> padded, lengths;
    for (const int64_t slot : group) {
      const std::vector<int32_t>& prompt = slots_[static_cast<size_t>(slot)].request.prompt;
      padded.insert(padded.end(), prompt.begin(), prompt.begin() + length_of(slot));
      padded.resize(padded.size() + static_cast<size_t>(width - length_of(slot)), 0);
      lengths.push_back(length_of(slot));
    }
    const auto rows = static_cast<int64_t>(count);
    KvCache cache = decoder_.MakeCache(rows, width);
    decoder_.Forward(OnDevice(padded, at::kLong, device).view({rows, width}), cache,
                     OnDevice(lengths, at::kLong, device));
    const Tensor places = OnDevice(group, at::kLong, device);
    for (int64_t layer = 0; layer < decoder_.config().num_layers; ++layer) {
      cache_.keys(layer).narrow(2, 0, width).index_copy_(0, places, cache.keys(layer));
      cache_.values(layer).narrow(2, 0, width).index_copy_(0, places, cache.values(layer));
    }
  }
}

// Tells the device of new sequences.
void Generator::Begin(const std::vector<int64_t>& slots) {
  std::vector<int64_t> lengths, tokens, limits;
  std::vector<double> temperatures, top_ps;
  for (const int64_t index : slots) {
    const Slot& slot = slots_[static_cast<size_t>(index)];
    lengths.push_back(slot.length);
    tokens.push_back(slot.request.prompt.back());
    limits.push_back(slot.limit);
    temperatures.push_back(slot.request.temperature);
    top_ps.push_back(slot.request.top_p);
  }
  const at::Device device = decoder_.device();
  const Tensor places = OnDevice(slots, at::kLong, device);
  lengths_.index_copy_(0, places, OnDevice(lengths, at::kLong, device));
  tokens_.index_copy_(0, places, OnDevice(tokens, at::kLong, device));
  remaining_.index_copy_(0, places, OnDevice(limits, at::kLong, device));
  alive_.index_fill_(0, places, 1);
  temperature_.index_copy_(0, places, OnDevice(temperatures, at::kFloat, device));
  top_p_.index_copy_(0, places, OnDevice(top_ps, at::kFloat, device));
}

// A sequence's n-th token is drawn with the n-th number of its seed, wherever it sits.
void Generator::DrawNoise() {
  std::vector<float> noise;
  noise.reserve(slots_.size() * static_cast<size_t>(options_.steps_per_check));
  for (const Slot& slot : slots_) {
    const auto first = static_cast<uint64_t>(slot.text.tokens.size());
    for (int64_t step = 0; step < options_.steps_per_check; ++step) {
      const uint64_t place = first + static_cast<uint64_t>(step);
      noise.push_back(slot.busy ? UnitFloat(HashSeed(slot.request.seed, place, 0)) : 0);
    }
  }
  noise_.copy_(at::from_blob(noise.data(), noise_.sizes(), at::kFloat));
  step_.zero_();
}

void Generator::RunSteps() {
  DrawNoise();
  // A kernel that reads each row to its own length can be recorded for good; the other one reads
  // all as far as the longest, so it is told how far that is.
  const bool by_row = HasCachedAttention(cache_.keys(0));
  int64_t longest = 0;
  for (const Slot& slot : slots_) longest = std::max(longest, slot.busy ? slot.length : 0);
  for (int64_t step = 0; step < options_.steps_per_check; ++step) {
    cache_.used = by_row ? options_.capacity - 1 : std::min(longest + step, options_.capacity - 1);
    if (by_row) {
      graph_.Run([this] { Step(); });
    } else {
      Step();
    }
  }
  slot_steps_ += options_.steps_per_check * batch();
}

// One token for each slot. Slots that are done go on in place, unseen and with no context.
void Generator::Step() {
  cache_.lengths = lengths_;
  const Tensor hidden = decoder_.Forward(tokens_.view({batch(), 1}), cache_, alive_).hidden;
  const Tensor logits = MatmulToFloat(hidden, decoder_.head_weight().t());
  const Tensor drawn = SampleTokens(logits, {temperature_, noise_.index_select(1, step_).squeeze(1),
                                             options_.use_top_p ? top_p_ : Tensor()});
  const Tensor alive = alive_.gt(0);
  out_.index_copy_(1, step_, drawn.masked_fill(alive.logical_not(), -1).unsqueeze(1));
  tokens_.copy_(at::where(alive, drawn, tokens_));
  remaining_.sub_(alive_);
  const Tensor ends = is_stop_.index_select(0, drawn).logical_or(remaining_.le(0));
  alive_.masked_fill_(ends, 0);
  lengths_.copy_(cache_.lengths.mul(alive_));
  step_.add_(1);
}

void Generator::Collect() {
  const Tensor out = out_.to(at::kCPU).contiguous();
  const int64_t* token = out.data_ptr<int64_t>();
  for (Slot& slot : slots_) {
    const int64_t* row = token;
    token += options_.steps_per_check;
    if (!slot.busy) continue;
    bool ends = false;
    for (int64_t step = 0; step < options_.steps_per_check && row[step] >= 0; ++step) {
      const auto id = static_cast<int32_t>(row[step]);
      slot.text.tokens.push_back(id);
      ++slot.length;
      ++statistics_.new_tokens;
      slot.text.stopped = std::ranges::find(options_.stop_tokens, id) != options_.stop_tokens.end();
      ends = slot.text.stopped || static_cast<int64_t>(slot.text.tokens.size()) == slot.limit;
      if (ends) break;
    }
    if (!ends) continue;
    slot.busy = false;
    --num_busy_;
    ended_.push_back(std::move(slot));
    slot = Slot();
  }
}

Status Generator::HandOver(const OnGenerated& done) {
  for (Slot& slot : ended_) HEARTH_RETURN_IF_ERROR(done(slot.request, std::move(slot.text)));
  ended_.clear();
  return {};
}

}  // namespace hearth::forge
