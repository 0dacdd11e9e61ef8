#include "apps/hearth/sampling_options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>

#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

struct Limits {
  double low, high;
};
constexpr Limits kTemperature{0, 100};
constexpr Limits kTopP{1e-6, 1};
constexpr Limits kMinP{0, 1};
constexpr Limits kRepeatPenalty{0.01, 100};
constexpr Limits kPenalty{-1000, 1000};
constexpr int kMaxTopK = 1 << 24;
constexpr int kMaxTokens = 1 << 24;

template <typename T>
bool Parse(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Status BadValue(const std::string& name, const std::string& value, const std::string& wanted) {
  return MakeError(ErrorCode::kInvalidArgument,
                   name + " takes " + wanted + ", not '" + value + "'");
}

Status SetFloat(float& setting, const std::string& name, const std::string& value, Limits limits) {
  float number = 0;
  if (!Parse(value, number) || !(number >= limits.low && number <= limits.high)) {
    return BadValue(name, value, Format("a number from %g to %g", limits.low, limits.high));
  }
  setting = number;
  return {};
}

Status SetInt(int& setting, const std::string& name, const std::string& value, int low, int high) {
  int number = 0;
  if (!Parse(value, number) || number < low || number > high) {
    return BadValue(name, value,
                    "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  setting = number;
  return {};
}

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 21) ^ device();  // 53 bits: JSON readers keep it whole
}

}  // namespace

void AddSamplingFlags(CLI::App& command, GenerationSettings& settings) {
  const auto number = [&command](const std::string& name, float& value, const std::string& help,
                                 Limits limits) {
    command.add_option(name, value, help)
        ->check(CLI::Range(limits.low, limits.high).description(""))
        ->capture_default_str()
        ->group("Sampling");
  };
  number("--temperature", settings.temperature, "0 always takes the likeliest token", kTemperature);
  number("--top-p", settings.top_p,
         "Only the likeliest tokens that sum to this probability; 1: all", kTopP);
  command.add_option("--top-k", settings.top_k, "Only the k likeliest tokens; 0: all")
      ->check(CLI::Range(0, kMaxTopK).description(""))
      ->capture_default_str()
      ->group("Sampling");
  number("--min-p", settings.min_p, "Only tokens at least this likely beside the likeliest; 0: all",
         kMinP);
  number("--repeat-penalty", settings.repeat_penalty,
         "Makes tokens of prompt and answer less likely; 1: off", kRepeatPenalty);
  number("--presence-penalty", settings.presence_penalty,
         "Taken from tokens that the answer has already", kPenalty);
  number("--frequency-penalty", settings.frequency_penalty,
         "The same for each time the answer has it", kPenalty);
  command
      .add_option("--seed", settings.seed,
                  "The same seed gives the same text; without it another each time")
      ->group("Sampling");
  command
      .add_option("-n,--max-tokens", settings.max_tokens,
                  "Tokens of an answer at most; -1: until the context is full")
      ->check(CLI::Range(-1, kMaxTokens).description(""))
      ->capture_default_str()
      ->group("Sampling");
  command
      .add_option("--stop", settings.stop, "Ends the answer before this text; may be given again")
      ->check([](const std::string& text) {
        return text.empty() ? std::string("a stop text is empty") : std::string();
      })
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->group("Sampling");
}

Status SetSetting(GenerationSettings& settings, const std::string& asked,
                  const std::string& value) {
  std::string name = asked;
  std::ranges::replace(name, '_', '-');
  if (name == "temperature") return SetFloat(settings.temperature, name, value, kTemperature);
  if (name == "top-p") return SetFloat(settings.top_p, name, value, kTopP);
  if (name == "top-k") return SetInt(settings.top_k, name, value, 0, kMaxTopK);
  if (name == "min-p") return SetFloat(settings.min_p, name, value, kMinP);
  if (name == "repeat-penalty")
    return SetFloat(settings.repeat_penalty, name, value, kRepeatPenalty);
  if (name == "presence-penalty") return SetFloat(settings.presence_penalty, name, value, kPenalty);
  if (name == "frequency-penalty")
    return SetFloat(settings.frequency_penalty, name, value, kPenalty);
  if (name == "max-tokens") return SetInt(settings.max_tokens, name, value, -1, kMaxTokens);
  if (name == "seed") {
    uint64_t seed = 0;
    if (value == "random") {
      settings.seed.reset();
    } else if (Parse(value, seed)) {
      settings.seed = seed;
    } else {
      return BadValue(name, value, "a whole number or 'random'");
    }
    return {};
  }
  if (name == "stop") {
    if (value.empty()) {
      settings.stop.clear();
    } else {
      settings.stop.push_back(value);
    }
    return {};
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "there is no setting '" + asked +
                       "': temperature, top-p, top-k, min-p, repeat-penalty, presence-penalty, "
                       "frequency-penalty, seed, "
                       "max-tokens, stop");
}

std::string DescribeSettings(const GenerationSettings& s) {
  std::string text = Format(
      "temperature        %g\ntop-p              %g\ntop-k              %d\nmin-p              "
      "%g\n",
      static_cast<double>(s.temperature), static_cast<double>(s.top_p), s.top_k,
      static_cast<double>(s.min_p));
  text += Format("repeat-penalty     %g\npresence-penalty   %g\nfrequency-penalty  %g\n",
                 static_cast<double>(s.repeat_penalty), static_cast<double>(s.presence_penalty),
                 static_cast<double>(s.frequency_penalty));
  text += "seed               " + (s.seed ? std::to_string(*s.seed) : std::string("random")) + "\n";
  text += "max-tokens         " + std::to_string(s.max_tokens) + "\n";
  for (const std::string& stop : s.stop) text += "stop               " + stop + "\n";
  return text;
}

GenerateRequest RequestOf(const GenerationSettings& settings) {
  GenerateRequest request;
  request.sampling.temperature = settings.temperature;
  request.sampling.top_p = settings.top_p;
  request.sampling.top_k = settings.top_k;
  request.sampling.min_p = settings.min_p;
  request.sampling.repetition_penalty = settings.repeat_penalty;
  request.sampling.presence_penalty = settings.presence_penalty;
  request.sampling.frequency_penalty = settings.frequency_penalty;
  request.sampling.seed = settings.seed ? *settings.seed : RandomSeed();
  request.max_tokens = settings.max_tokens;
  request.stop = settings.stop;
  return request;
}

}  // namespace hearth
