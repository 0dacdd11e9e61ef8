#include "runtime/spec_decode/speculator.h"

#include <algorithm>

namespace hearth {
namespace {

// A guess a little below what pays is still made, so that a change for the better is noticed.
constexpr double kCuriosity = 0.95;
constexpr double kMeanGain = 0.1;
// Once in so many passes a guess that does not seem to pay is made nevertheless, for one sequence
// in turn: what was learned may be old.
constexpr int kProbeEvery = 61;
// An answer whose end is not known is expected to go on for so many tokens at most.
constexpr int kMaxExpectedTokens = 256;

}  // namespace

// The marginal rule: another token belongs into the pass while it adds more expected tokens per
// millisecond than the pass has so far.
class Speculator::Budget : public DraftBudget {
 public:
  Budget(Speculator& speculator, const DraftRequest& request, int source, int max_draft,
         bool probes)
      : speculator_(speculator),
        source_(source),
        max_draft_(max_draft),
        probes_(probes),
        num_left_(std::clamp(request.num_left, 1, kMaxExpectedTokens)) {
    state_ = &speculator.StateOf(request.sequence);
  }

  bool WorthDrafting(const DraftCost& cost) override {
    if (num_taken_ >= max_draft_) return false;
    const double draft_ms = cost.pass_ms / std::max(cost.num_sharing, 1);
    const double mean = state_->of_source[source_].mean_acceptance;
    if (!Pays(reach_ * mean, draft_ms + cost.once_ms / num_left_) && !Probes()) return false;
    speculator_.plan_.draft_ms += draft_ms;
    return true;
  }

  void Spent(double ms) override { speculator_.plan_.draft_ms += ms; }

  bool Take(float confidence) override {
    if (num_taken_ >= max_draft_) return false;
    const double probability = speculator_.sources_[source_].acceptance.Probability(confidence);
    const double right = reach_ * state_->of_source[source_].acceptance.Scaled(probability);
    if (!Pays(right, 0) && !Probes()) return false;
    reach_ = right;
    ++num_taken_;
    ++speculator_.plan_.num_tokens;
    speculator_.plan_.expected_tokens += right;
    if (state_->source != source_) state_->guesses.clear();
    state_->source = source_;
    state_->guesses.push_back({confidence, probability});
    return true;
  }

 private:
  bool Pays(double expected, double draft_ms) const {
    if (!speculator_.options_.adaptive) return true;
    const Plan& plan = speculator_.plan_;
    if (plan.num_tokens >= PassCosts::kMaxTokens) return false;
    const double now = speculator_.costs_.Ms(plan.num_tokens);
    const double more = speculator_.costs_.Ms(plan.num_tokens + 1) - now + draft_ms;
    return expected * (now + plan.draft_ms) > kCuriosity * plan.expected_tokens * more;
  }

  bool Probes() const { return probes_ && num_taken_ == 0; }

  Speculator& speculator_;
  Sequence* state_;
  int source_;
  int max_draft_;
  bool probes_;
  int num_left_;
  int num_taken_ = 0;
  double reach_ = 1;  // probability that all guesses so far are right
};

void Speculator::Add(std::unique_ptr<Proposer> proposer) {
  sources_.push_back({std::move(proposer), {}});
}

Speculator::Sequence& Speculator::StateOf(uint64_t sequence) {
  Sequence& state = sequences_[sequence];
  for (size_t i = state.of_source.size(); i < sources_.size(); ++i)
    state.of_source.push_back({sources_[i].mean_acceptance, {}});
  return state;
}

int64_t Speculator::kv_bytes_per_block() const {
  int64_t bytes = 0;
  for (const Source& source : sources_) bytes += source.proposer->kv_bytes_per_block();
  return bytes;
}

Status Speculator::ReserveKv(int num_blocks) {
  for (const Source& source : sources_)
    HEARTH_RETURN_IF_ERROR(source.proposer->ReserveKv(num_blocks));
  return {};
}

void Speculator::Draft(std::span<DraftRequest> requests) {
  if (requests.empty()) return;
  const auto count = static_cast<int>(requests.size());
  plan_ = {count, static_cast<double>(count), 0};
  for (const DraftRequest& request : requests) {
    Sequence& state = StateOf(request.sequence);
    state.source = -1;
    state.guesses.clear();
  }
  for (size_t source = 0; source < sources_.size(); ++source) {
    std::vector<Budget> budgets;
    std::vector<Proposal> proposals;
    std::vector<size_t> owners;
    const uint64_t pass = ++sources_[source].num_passes;
    const size_t probing =
        pass % kProbeEvery == 0 ? pass / kProbeEvery % requests.size() : requests.size();
    budgets.reserve(requests.size());
    proposals.reserve(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const DraftRequest& request = requests[i];
      const int most = std::min(request.max_draft, options_.max_draft);
      if (most <= 0 || !request.draft.empty()) continue;
      budgets.emplace_back(*this, request, static_cast<int>(source), most, i == probing);
      proposals.push_back(
          {request.sequence, request.tokens, request.sampling, most, &budgets.back(), {}});
      owners.push_back(i);
    }
    std::vector<Proposal*> asked;
    for (Proposal& proposal : proposals) asked.push_back(&proposal);
    if (asked.empty()) continue;
    sources_[source].proposer->Propose(asked);
    for (size_t i = 0; i < proposals.size(); ++i)
      requests[owners[i]].draft = std::move(proposals[i].draft);
  }
}

void Speculator::Observe(std::span<const ObservedSlice> slices) {
  for (Source& source : sources_) source.proposer->Observe(slices);
}

void Speculator::Verified(uint64_t sequence, int num_accepted, bool rejected) {
  Sequence& state = StateOf(sequence);
  if (state.source < 0) return;
  Source& source = sources_[state.source];
  OfSource& own = state.of_source[static_cast<size_t>(state.source)];
  const int checked =
      std::min(num_accepted + (rejected ? 1 : 0), static_cast<int>(state.guesses.size()));
  for (int i = 0; i < checked; ++i) {
    const bool right = i < num_accepted;
    source.acceptance.Record(state.guesses[i].confidence, right);
    source.mean_acceptance += 0.1 * kMeanGain * ((right ? 1.0 : 0.0) - source.mean_acceptance);
    own.acceptance.Record(state.guesses[i].probability, right);
    own.mean_acceptance += kMeanGain * ((right ? 1.0 : 0.0) - own.mean_acceptance);
  }
}

void Speculator::Forget(uint64_t sequence) {
  sequences_.erase(sequence);
  for (Source& source : sources_) source.proposer->Forget(sequence);
}

}  // namespace hearth
