#include "runtime/spec_decode/speculator.h"

#include <algorithm>

namespace hearth {
namespace {

// A guess a little below what pays is still made, so that a change for the better is noticed.
constexpr double kCuriosity = 0.95;
constexpr double kMeanGain = 0.1;
// One in so many guesses that do not seem to pay is made nevertheless: what was learned may be old.
constexpr int kProbeEvery = 64;

}  // namespace

// The marginal rule: another token belongs into the pass while it adds more expected tokens per
// millisecond than the pass has so far.
class Speculator::Budget : public DraftBudget {
 public:
  Budget(Speculator& speculator, uint64_t sequence, int source, int max_draft)
      : speculator_(speculator), source_(source), max_draft_(max_draft) {
    state_ = &speculator.StateOf(sequence);
  }

  bool WorthDrafting(double draft_ms) override {
    if (num_taken_ >= max_draft_) return false;
    const double mean = state_->mean_acceptance[source_];
    if (!Pays(reach_ * mean, draft_ms) && !Probes()) return false;
    speculator_.plan_.draft_ms += draft_ms;
    return true;
  }

  bool Take(float confidence) override {
    if (num_taken_ >= max_draft_) return false;
    const double right = reach_ * speculator_.sources_[source_].acceptance.Probability(confidence);
    if (!Pays(right, 0) && !Probes()) return false;
    reach_ = right;
    ++num_taken_;
    ++speculator_.plan_.num_tokens;
    speculator_.plan_.expected_tokens += right;
    if (state_->source != source_) state_->confidence.clear();
    state_->source = source_;
    state_->confidence.push_back(confidence);
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

  bool Probes() {
    return num_taken_ == 0 && ++speculator_.sources_[source_].num_declined % kProbeEvery == 0;
  }

  Speculator& speculator_;
  Sequence* state_;
  int source_;
  int max_draft_;
  int num_taken_ = 0;
  double reach_ = 1;  // probability that all guesses so far are right
};

void Speculator::Add(std::unique_ptr<Proposer> proposer) {
  sources_.push_back({std::move(proposer), {}});
}

Speculator::Sequence& Speculator::StateOf(uint64_t sequence) {
  Sequence& state = sequences_[sequence];
  for (size_t i = state.mean_acceptance.size(); i < sources_.size(); ++i)
    state.mean_acceptance.push_back(sources_[i].mean_acceptance);
  return state;
}

void Speculator::Draft(std::span<DraftRequest> requests) {
  const auto count = static_cast<int>(requests.size());
  plan_ = {count, static_cast<double>(count), 0};
  for (const DraftRequest& request : requests) {
    Sequence& state = StateOf(request.sequence);
    state.source = -1;
    state.confidence.clear();
  }
  for (size_t source = 0; source < sources_.size(); ++source) {
    std::vector<Budget> budgets;
    std::vector<Proposal> proposals;
    std::vector<size_t> owners;
    budgets.reserve(requests.size());
    proposals.reserve(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const DraftRequest& request = requests[i];
      const int most = std::min(request.max_draft, options_.max_draft);
      if (most <= 0 || !request.draft.empty()) continue;
      budgets.emplace_back(*this, request.sequence, static_cast<int>(source), most);
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
  const int checked =
      std::min(num_accepted + (rejected ? 1 : 0), static_cast<int>(state.confidence.size()));
  for (int i = 0; i < checked; ++i) {
    const bool right = i < num_accepted;
    source.acceptance.Record(state.confidence[i], right);
    double& mean = state.mean_acceptance[state.source];
    mean += kMeanGain * ((right ? 1.0 : 0.0) - mean);
    source.mean_acceptance += 0.1 * kMeanGain * ((right ? 1.0 : 0.0) - source.mean_acceptance);
  }
}

void Speculator::Forget(uint64_t sequence) {
  sequences_.erase(sequence);
  for (Source& source : sources_) source.proposer->Forget(sequence);
}

}  // namespace hearth
