// Losses, logits and gradients against transformers and peft (tests/golden/training_model), from
// the Hugging Face folders of tests/golden/convert.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "training/model/decoder.h"

namespace hearth::forge {
namespace {

struct GoldenCase {
  double loss = 0;
  std::vector<std::vector<double>> logits;  // of the sequences' last rows
  std::vector<std::pair<std::string, std::vector<double>>> gradients;  // in the parameters' order
};

struct Golden {
  std::vector<int64_t> tokens, lengths, learned_from;
  std::vector<int32_t> invocation;
  std::map<std::string, GoldenCase> cases;
};

Golden ReadGolden(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  Golden golden;
  GoldenCase* current = nullptr;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string kind, name;
    words >> kind;
    const auto numbers = [&words] {
      std::vector<double> list;
      for (double number = 0; words >> number;) list.push_back(number);
      return list;
    };
    if (kind == "invocation") {
      for (const double id : numbers()) golden.invocation.push_back(static_cast<int32_t>(id));
    } else if (kind == "sequence") {
      const auto list = numbers();
      golden.learned_from.push_back(static_cast<int64_t>(list[0]));
      golden.lengths.push_back(static_cast<int64_t>(list.size()) - 1);
      for (size_t i = 1; i < list.size(); ++i)
        golden.tokens.push_back(static_cast<int64_t>(list[i]));
    } else if (kind == "case") {
      words >> name;
      current = &golden.cases[name];
      words >> current->loss;
    } else if (kind == "logits") {
      current->logits.push_back(numbers());
    } else {
      words >> name;
      current->gradients.emplace_back(name, numbers());
    }
  }
  return golden;
}

// As the script samples.
std::vector<double> Sampled(const Tensor& tensor) {
  constexpr int64_t kEntries = 6;
  const Tensor flat = tensor.detach().to(at::kDouble).reshape({-1});
  const int64_t size = flat.numel(), step = std::max<int64_t>(1, size / kEntries);
  std::vector<double> list = {flat.norm().item<double>(), flat.sum().item<double>()};
  for (int64_t i = 0; i < kEntries; ++i) list.push_back(flat[(1 + i * step) % size].item<double>());
  return list;
}

void ExpectSampled(const Tensor& tensor, const std::vector<double>& expected,
                   const std::string& what) {
  const auto got = Sampled(tensor);
  ASSERT_EQ(got.size(), expected.size()) << what;
  // The sum of many entries carries the error of all.
  const double size = std::sqrt(static_cast<double>(tensor.numel()));
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], 2e-5 * (i == 1 ? size : 1) * (0.05 + expected[0]))
        << what << " figure " << i;
}

// 1 from the last occurrence of the invocation on, in each segment.
Tensor InvocationMask(const Golden& golden) {
  std::vector<int64_t> mask;
  const auto size = static_cast<int64_t>(golden.invocation.size());
  int64_t begin = 0;
  for (const int64_t length : golden.lengths) {
    int64_t active = length;
    for (int64_t at = 0; at + size <= length; ++at) {
      if (std::equal(golden.invocation.begin(), golden.invocation.end(),
                     golden.tokens.begin() + begin + at))
        active = at;
    }
    for (int64_t at = 0; at < length; ++at) mask.push_back(at >= active);
    begin += length;
  }
  return at::tensor(mask, at::kLong);
}

class DecoderGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = ReadGolden(std::string("tests/golden/training_model/") + GetParam() + ".txt");
    auto loaded = Decoder::Load(std::string("tests/golden/convert/") + GetParam(), {});
    ASSERT_TRUE(loaded) << loaded.error().message;
    decoder_ = std::make_unique<Decoder>(std::move(*loaded));
  }

  // Weights by the script's formula.
  void AttachGoldenLora(bool rs_lora) {
    LoraOptions options;
    options.rank = 4;
    options.alpha = 8;
    options.rs_lora = rs_lora;
    ASSERT_TRUE(decoder_->AttachLora(options, 1));
    const at::NoGradGuard guard;
    double index = 0;
    for (const NamedTensor& parameter : decoder_->LoraParameters()) {
      Tensor tensor = parameter.tensor;
      const Tensor places = at::arange(tensor.numel(), at::TensorOptions().dtype(at::kDouble));
      tensor.copy_(places.mul(0.7).add(index).sin().mul(0.05).view(tensor.sizes()));
      index += 1;
    }
  }

  void Check(const std::string& name, const ForwardOptions& options,
             const std::vector<NamedTensor>& parameters) {
    const GoldenCase& expected = golden_.cases.at(name);
    const Tensor tokens = at::tensor(golden_.tokens, at::kLong);
    const ForwardResult result =
        decoder_->Forward(tokens, SegmentLayout::Make(golden_.lengths, at::kCPU), options);
    const Tensor log_p = at::log_softmax(decoder_->Logits(result.hidden), -1);
    Tensor loss = at::zeros({});
    int64_t begin = 0, learned = 0;
    for (size_t i = 0; i < golden_.lengths.size(); ++i) {
      const int64_t first = golden_.learned_from[i], count = golden_.lengths[i] - first;
      const Tensor targets = tokens.narrow(0, begin + first, count).unsqueeze(-1);
      loss = loss.sub(log_p.narrow(0, begin + first - 1, count).gather(1, targets).sum());
      begin += golden_.lengths[i];
      learned += count;
      ExpectSampled(decoder_->Logits(result.hidden[begin - 1]), expected.logits[i],
                    name + " logits");
    }
    loss = loss.div(static_cast<double>(learned));
    EXPECT_NEAR(loss.item<double>(), expected.loss, 2e-5);
    loss.backward();
    ASSERT_EQ(parameters.size(), expected.gradients.size());
    std::map<std::string, Tensor> by_name;
    for (const NamedTensor& parameter : parameters) by_name[parameter.name] = parameter.tensor;
    for (const auto& [gradient_name, figures] : expected.gradients) {
      ASSERT_TRUE(by_name.count(gradient_name)) << gradient_name;
      ExpectSampled(by_name[gradient_name].grad(), figures, name + " " + gradient_name);
    }
  }

  Golden golden_;
  std::unique_ptr<Decoder> decoder_;
};

INSTANTIATE_TEST_SUITE_P(Models, DecoderGolden, ::testing::Values("llama", "llama3", "qwen2"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(DecoderGolden, FullGradientsAreThoseOfTransformers) {
  decoder_->SetBaseTrainable(true);
  Check("full", {}, decoder_->Parameters());
}

TEST_P(DecoderGolden, LoraGradientsAreThoseOfPeft) {
  for (const bool rs_lora : {true, false}) {
    AttachGoldenLora(rs_lora);
    Check(rs_lora ? "rslora" : "lora", {}, decoder_->LoraParameters());
  }
}

TEST_P(DecoderGolden, ActivatedLoraGradientsAreThoseOfPeft) {
  AttachGoldenLora(/*rs_lora=*/true);
  ForwardOptions options;
  options.adapter_mask = InvocationMask(golden_);
  options.checkpoint = true;
  Check("alora", options, decoder_->LoraParameters());
}

}  // namespace
}  // namespace hearth::forge
