#include <algorithm>

#include "server/openai/requests.h"

namespace hearth::openai {
namespace {

constexpr int kMaxChoices = 16;
constexpr size_t kMaxStops = 4;
constexpr size_t kMaxStopBytes = 1024;

std::vector<std::string> ReadStop(FieldReader& reader) {
  const Json* stop = reader.Find("stop");
  if (stop == nullptr) return {};
  std::vector<std::string> out;
  if (stop->is_string()) {
    out.push_back(stop->get<std::string>());
  } else if (stop->is_array() &&
             std::all_of(stop->begin(), stop->end(), [](const Json& v) { return v.is_string(); })) {
    if (stop->size() > kMaxStops) {
      reader.Fail("stop", "'stop' may hold up to 4 strings, not " + std::to_string(stop->size()));
      return {};
    }
    for (const Json& value : *stop) out.push_back(value.get<std::string>());
  } else {
    reader.Fail("stop", "'stop' must be a string or an array of strings", "invalid_type");
  }
  for (const std::string& text : out) {
    if (text.empty()) reader.Fail("stop", "'stop' must not hold an empty string");
    if (text.size() > kMaxStopBytes) {
      reader.Fail("stop",
                  "a string of 'stop' is longer than " + std::to_string(kMaxStopBytes) + " bytes");
    }
  }
  return out;
}

std::map<TokenId, float> ReadLogitBias(FieldReader& reader) {
  std::map<TokenId, float> out;
  const Json* biases = reader.Object("logit_bias");
  if (biases == nullptr) return out;
  FieldReader fields(*biases, reader.Path("logit_bias"));
  for (const auto& [key, value] : biases->items()) {
    const bool digits =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) {
      reader.Fail("logit_bias", "'logit_bias' maps token ids to numbers; \"" + key.substr(0, 32) +
                                    "\" is no token id");
      return out;
    }
    out[std::stoi(key)] = static_cast<float>(fields.Number(key, 0, -100, 100));
  }
  if (fields.failed()) reader.Fail(fields.error());
  return out;
}

// What would change the answer if it were honoured, so that silence would be a lie.
void RefuseUnsupported(FieldReader& reader) {
  for (const char* name :
       {"grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
        "structured_outputs", "audio", "web_search_options", "use_beam_search"}) {
    const Json* value = reader.Find(name);
    if (value == nullptr || (value->is_boolean() && !value->get<bool>())) continue;
    reader.Fail(name, "'" + std::string(name) + "' is not supported by this server",
                "unsupported_parameter");
  }
  for (const char* name : {"functions", "function_call"}) {
    if (reader.Find(name) == nullptr) continue;
    reader.Fail(name, "'" + std::string(name) + "' is not supported; use 'tools'",
                "unsupported_parameter");
  }
  if (const Json* format = reader.Object("response_format")) {
    FieldReader fields(*format, reader.Path("response_format"));
    const std::string type = fields.String("type", "text");
    if (fields.failed()) {
      reader.Fail(fields.error());
    } else if (type == "json_object" || type == "json_schema") {
      reader.Fail("response_format",
                  "'response_format' of type \"" + type +
                      "\" is not supported by this server; only \"text\" is",
                  "unsupported_value");
    } else if (type != "text") {
      reader.Fail("response_format", "'response_format.type' must be \"text\"");
    }
  }
  if (const Json* modalities = reader.Array("modalities")) {
    for (const Json& value : *modalities) {
      if (value != "text") {
        reader.Fail("modalities", "this model answers in text only", "unsupported_value");
      }
    }
  }
}

// What OpenAI knows and does not change the answer here: accepted, but not in just any type, or a
// client's mistake would only show at the next server.
void CheckUnused(FieldReader& reader) {
  for (const char* name : {"parallel_tool_calls", "store"}) reader.Bool(name, false);
  for (const char* name : {"user", "service_tier", "safety_identifier", "prompt_cache_key",
                           "prompt_cache_retention", "reasoning_effort", "verbosity"}) {
    reader.String(name);
  }
  for (const char* name : {"metadata", "prediction"}) reader.Object(name);
}

}  // namespace

GenerationFields ReadGenerationFields(FieldReader& reader) {
  GenerationFields fields;
  fields.model = reader.String("model");
  SamplingOptions& sampling = fields.sampling;
  sampling.temperature = static_cast<float>(reader.Number("temperature", 1, 0, 2));
  // Zero is what clients send for "the most likely token only"; the sampler always keeps one.
  sampling.top_p = std::max(1e-6f, static_cast<float>(reader.Number("top_p", 1, 0, 1)));
  // vLLM's clients send -1 for off, llama.cpp's 0.
  sampling.top_k = static_cast<int>(std::max<int64_t>(0, reader.Integer("top_k", 0, -1, kMaxInt)));
  sampling.min_p = static_cast<float>(reader.Number("min_p", 0, 0, 1));
  sampling.presence_penalty = static_cast<float>(reader.Number("presence_penalty", 0, -2, 2));
  sampling.frequency_penalty = static_cast<float>(reader.Number("frequency_penalty", 0, -2, 2));
  const double repeat =
      reader.Number("repeat_penalty", 1, 0.01, 10);  // llama.cpp's and Ollama's name
  sampling.repetition_penalty =
      static_cast<float>(reader.Number("repetition_penalty", repeat, 0.01, 10));
  sampling.logit_bias = ReadLogitBias(reader);
  if (const Json* seed = reader.Find("seed")) {
    // All of int64 and uint64: what is beyond reads as a fraction.
    if (seed->is_number_integer()) {
      fields.seed = seed->is_number_unsigned() ? seed->get<uint64_t>()
                                               : static_cast<uint64_t>(seed->get<int64_t>());
    } else {
      reader.Fail("seed", "'seed' must be an integer, not " + std::string(DescribeType(*seed)),
                  "invalid_type");
    }
  }
  fields.stop = ReadStop(reader);
  fields.n = static_cast<int>(reader.Integer("n", 1, 1, kMaxChoices));
  fields.stream = reader.Bool("stream", false);
  fields.ignore_end_of_turn = reader.Bool("ignore_eos", false);
  if (const Json* options = reader.Object("stream_options")) {
    FieldReader stream_fields(*options, reader.Path("stream_options"));
    fields.include_usage = stream_fields.Bool("include_usage", false);
    fields.continuous_usage = stream_fields.Bool("continuous_usage_stats", false);
    if (stream_fields.failed()) reader.Fail(stream_fields.error());
    if (!fields.stream) {
      reader.Fail("stream_options", "'stream_options' is only allowed when 'stream' is true");
    }
  }
  RefuseUnsupported(reader);
  CheckUnused(reader);
  return fields;
}

}  // namespace hearth::openai
