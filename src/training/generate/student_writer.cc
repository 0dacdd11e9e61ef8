#include "training/generate/student_writer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "training/generate/generator.h"

namespace hearth::forge {
namespace {

// One segment of a batch.
struct Segment {
  std::vector<int32_t> tokens;
  int64_t num_kept = 0;  // of the tokens: what stands before the answer
  std::vector<int32_t> targets;
  std::vector<float> weights;

  bool learns() const { return num_kept > 0; }
  int64_t room() const { return static_cast<int64_t>(tokens.size()) - num_kept; }
};

std::vector<Segment> SegmentsOf(const Batch& batch) {
  std::vector<Segment> segments;
  size_t begin = 0;
  for (const int32_t length : batch.segment_lengths) {
    const size_t end = begin + static_cast<size_t>(length);
    const auto part = [&](const auto& all) {
      return std::vector(all.begin() + static_cast<ptrdiff_t>(begin),
                         all.begin() + static_cast<ptrdiff_t>(end));
    };
    Segment segment{part(batch.tokens), 0, part(batch.targets), part(batch.weights)};
    const auto first = std::ranges::find_if(segment.weights, [](float w) { return w > 0; });
    // The token that stands at a place predicts the next one.
    if (first != segment.weights.end()) segment.num_kept = first - segment.weights.begin() + 1;
    segments.push_back(std::move(segment));
    begin = end;
  }
  return segments;
}

void Replace(Segment& segment, const std::vector<int32_t>& answer) {
  segment.tokens.resize(static_cast<size_t>(segment.num_kept));
  segment.tokens.insert(segment.tokens.end(), answer.begin(), answer.end());
  segment.targets.assign(segment.tokens.begin() + 1, segment.tokens.end());
  segment.targets.push_back(0);
  segment.weights.assign(segment.tokens.size(), 0.0f);
  std::fill_n(segment.weights.begin() + (segment.num_kept - 1), answer.size(), 1.0f);
}

Batch BatchOf(const std::vector<Segment>& segments) {
  Batch batch;
  for (const Segment& segment : segments) {
    batch.tokens.insert(batch.tokens.end(), segment.tokens.begin(), segment.tokens.end());
    batch.segment_lengths.push_back(static_cast<int32_t>(segment.tokens.size()));
    batch.targets.insert(batch.targets.end(), segment.targets.begin(), segment.targets.end());
    batch.weights.insert(batch.weights.end(), segment.weights.begin(), segment.weights.end());
  }
  return batch;
}

class StudentWriter {
 public:
  explicit StudentWriter(const StudentWriterOptions& options) : options_(options) {}

  Status Write(const Decoder& student, const std::vector<Batch*>& batches,
               const std::vector<BatchContext>& contexts) {
    HEARTH_CHECK(batches.size() == contexts.size());
    std::vector<std::vector<Segment>> all;
    std::vector<GenerationRequest> requests;
    std::vector<Segment*> asked;
    int64_t longest = 2;
    for (size_t i = 0; i < batches.size(); ++i) {
      if (!batches[i]->adapter_mask.empty())
        return MakeError(ErrorCode::kUnsupported, "on-policy distillation of an activated adapter");
      all.push_back(SegmentsOf(*batches[i]));
    }
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t s = 0; s < all[i].size(); ++s) {
        Segment& segment = all[i][s];
        if (!segment.learns()) continue;
        GenerationRequest request;
        request.tag = static_cast<int64_t>(asked.size());
        request.prompt.assign(segment.tokens.begin(), segment.tokens.begin() + segment.num_kept);
        request.max_new_tokens = std::min(options_.max_new_tokens, segment.room());
        request.temperature = options_.temperature;
        request.seed = HashSeed(contexts[i].seed, s, 1);
        requests.push_back(std::move(request));
        asked.push_back(&segment);
        longest = std::max(longest, static_cast<int64_t>(segment.tokens.size()));
      }
    }
    HEARTH_RETURN_IF_ERROR(Generate(student, longest, std::move(requests), asked));
    for (size_t i = 0; i < all.size(); ++i) *batches[i] = BatchOf(all[i]);
    return {};
  }

 private:
  Status Generate(const Decoder& student, int64_t capacity, std::vector<GenerationRequest> requests,
                  const std::vector<Segment*>& asked) {
    if (generator_ == nullptr || student_ != &student || capacity > capacity_) {
      generator_.reset();  // its cache first
      capacity_ = capacity;
      student_ = &student;
      GeneratorOptions options;
      options.batch = options_.batch;
      options.capacity = capacity;
      options.stop_tokens = options_.stop_tokens;
      generator_ = std::make_unique<Generator>(student, options);
    }
    size_t next = 0;
    return generator_->Run(
        [&]() -> std::optional<GenerationRequest> {
          if (next == requests.size()) return std::nullopt;
          return std::move(requests[next++]);
        },
        [&](const GenerationRequest& request, GeneratedText text) -> Status {
          Replace(*asked[static_cast<size_t>(request.tag)], text.tokens);
          return {};
        });
  }

  StudentWriterOptions options_;
  const Decoder* student_ = nullptr;
  int64_t capacity_ = 0;
  std::unique_ptr<Generator> generator_;
};

}  // namespace

WriteAnswers MakeStudentWriter(const StudentWriterOptions& options) {
  return [writer = std::make_shared<StudentWriter>(options)](
             const Decoder& student, const std::vector<Batch*>& batches,
             const std::vector<BatchContext>& contexts) {
    return writer->Write(student, batches, contexts);
  };
}

}  // namespace hearth::forge
