#pragma once
// What on-policy distillation asks of a student: the answers of some batches written anew by
// itself, with the weights that it has now (trainer/distillation_task.h).
// Threads: one at a time.

#include <cstdint>
#include <vector>

#include "training/trainer/distillation_task.h"

namespace hearth::forge {

struct StudentWriterOptions {
  int64_t max_new_tokens = 512;  // of an answer; never more than the answer that it replaces
  double temperature = 1;        // 0: the likeliest token each time
  std::vector<int32_t> stop_tokens;
  int64_t batch = 256;  // answers written at once, at most
};

// Of each segment that has a place to learn, everything behind the first of these places is
// replaced by what the student writes there, all of it to be learned; other segments stay. A batch
// never grows. It keeps the key/value cache from call to call, so all calls are for one student.
// Errors of the functions: those of Generator::Run; kUnsupported for batches with an adapter mask.
WriteAnswers MakeStudentWriter(const StudentWriterOptions& options);

}  // namespace hearth::forge
