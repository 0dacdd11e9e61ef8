#pragma once
// The suites by name.

#include <memory>
#include <string>
#include <vector>

#include "eval/suites/suite.h"
#include "runtime/engine/engine.h"

namespace hearth::eval {

struct SuiteOptions {
  std::string data_dir;   // with humaneval.jsonl and the rest
  int limit = 0;          // items of each suite, spread over its categories; 0: all
  int max_tokens = 0;     // of an answer; 0: the suite's own
  float temperature = 0;  // of answers; judges are always greedy
  uint64_t seed = 0;
  // perplexity, kl
  std::string text_path;       // empty: GSM8K's questions and worked answers
  int window = 512;            // tokens; the second half of each is scored
  Backend* backend = nullptr;  // perplexity; null: the model is elsewhere
  // kl
  std::string model_path;
  std::string reference_path;
  EngineOptions engine;
  // bfcl: functions go in as a system prompt even where the chat template has a place for tools
  bool tools_in_prompt = false;
  // vicuna_bench
  Answerer* judge = nullptr;                   // outlives the suite; null: the model under test
  std::map<std::string, std::string> against;  // id -> another model's answer: judge pairs
  StopCheck stop;
};

struct SuiteDescription {
  const char* name;
  const char* what;
};
const std::vector<SuiteDescription>& KnownSuites();

// Errors: kInvalidArgument for an unknown name (with the known ones) or a missing option; kNotFound
// naming the data file; kCorrupt; for suites that run code, those of CodeRunner::Create.
Result<std::unique_ptr<Suite>> MakeSuite(const std::string& name, const SuiteOptions& options);

// One for each family, called by MakeSuite.
Result<std::unique_ptr<Suite>> MakeHumanEval(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeHumanEvalCpp(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeHumanEvalJs(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeGsm8k(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeBbh(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeBfcl(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeVicunaBench(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakePerplexity(const SuiteOptions& options);
Result<std::unique_ptr<Suite>> MakeAgreement(const SuiteOptions& options);

}  // namespace hearth::eval
