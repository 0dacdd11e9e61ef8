#pragma once
// hearth bench --vs: this program and another runtime on the same models in one run.

#include <string>
#include <vector>

#include "apps/hearth/model_options.h"

namespace hearth {

struct BenchVsFlags {
  std::string vs;    // empty: no comparison
  std::string peer;  // its benchmark program; empty: in PATH
  int rounds = 3;
  int timeout_s = 1200;
  bool no_peer_contexts = false;
};

// For the command's help: how to get the program that is measured against.
extern const char* const kHowToGetThePeer;

// The exit code. `more` are further model files beside `model.model`.
int BenchVs(const BenchVsFlags& flags, const ModelFlags& model,
            const std::vector<std::string>& models, bool quick, bool json);

}  // namespace hearth
