#include "eval/suites/make_suite.h"

#include <array>

namespace hearth::eval {
namespace {

using Maker = Result<std::unique_ptr<Suite>> (*)(const SuiteOptions&);

struct Entry {
  SuiteDescription description;
  Maker make;
};

constexpr std::array kSuites = {
    Entry{{"perplexity", "how well the model predicts a text (--text)"}, MakePerplexity},
    Entry{{"kl", "KL divergence from and top-1 agreement with --reference over a text"},
          MakeAgreement},
    Entry{{"humaneval", "164 Python functions, run against their tests"}, MakeHumanEval},
    Entry{{"humaneval_cpp", "161 of them in C++ (MultiPL-E)"}, MakeHumanEvalCpp},
    Entry{{"humaneval_js", "161 of them in JavaScript (MultiPL-E)"}, MakeHumanEvalJs},
    Entry{{"gsm8k", "grade-school maths, the final number counts"}, MakeGsm8k},
    Entry{{"bbh", "eight tasks of BIG-Bench Hard"}, MakeBbh},
    Entry{{"bfcl", "function calls: simple, one of several, none that fits"}, MakeBfcl},
    Entry{{"vicuna_bench", "80 open questions, graded by a judge"}, MakeVicunaBench},
};

}  // namespace

const std::vector<SuiteDescription>& KnownSuites() {
  static const std::vector<SuiteDescription> suites = [] {
    std::vector<SuiteDescription> list;
    for (const Entry& entry : kSuites) list.push_back(entry.description);
    return list;
  }();
  return suites;
}

Result<std::unique_ptr<Suite>> MakeSuite(const std::string& name, const SuiteOptions& options) {
  std::string known;
  for (const Entry& entry : kSuites) {
    if (name == entry.description.name) return entry.make(options);
    known += (known.empty() ? "" : ", ") + std::string(entry.description.name);
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   "there is no suite " + name + "; the suites are " + known);
}

}  // namespace hearth::eval
