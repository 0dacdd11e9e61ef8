#include "base/process.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace hearth {
namespace {

Result<ProcessOutcome> Shell(const std::string& script, double timeout_s = 20) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c", script};
  options.timeout_s = timeout_s;
  return RunProcess(options);
}

TEST(Process, KeepsBothOutputsAndTheExitCode) {
  const auto outcome = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "out\n");
  EXPECT_EQ(outcome->error_tail, "err\n");
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_FALSE(outcome->ok());
  EXPECT_EQ(DescribeEnd(*outcome, 20), "exit code 3: err");
}

TEST(Process, NamesTheSignalOfACrash) {
  const auto outcome = Shell("echo before; kill -ILL $$");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->signal, SIGILL);
  EXPECT_EQ(outcome->output, "before\n");
  EXPECT_EQ(DescribeEnd(*outcome, 20), "killed by signal 4 (Illegal instruction)");
}

// A program that is asked to stop may say a last word; one that does not heed is killed.
TEST(Process, StopsWhenAsked) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c",
                     "trap 'echo saved; exit 3' INT; sleep 20 >/dev/null 2>&1 & "
                     "echo up >&2; wait"};
  std::string errors;
  options.on_error_output = [&](std::string_view text) { errors += text; };
  options.should_stop = [&] { return errors == "up\n"; };
  auto outcome = RunProcess(options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(outcome->stopped);
  EXPECT_FALSE(outcome->ok());
  EXPECT_EQ(outcome->output, "saved\n");
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_EQ(DescribeEnd(*outcome, 20), "stopped");
  EXPECT_LT(outcome->seconds, 10);

  options.command = {"/bin/sh", "-c", "trap '' INT; echo up >&2; sleep 20 & wait"};
  options.grace_s = 0.3;
  errors.clear();
  outcome = RunProcess(options);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->stopped);
  EXPECT_EQ(outcome->signal, SIGKILL);
  EXPECT_LT(outcome->seconds, 10);
}

TEST(Process, EndsAtTheTimeLimitWithAllItStarted) {
  const auto begin = std::chrono::steady_clock::now();
  // The sleeper would hold the pipe open long after its parent is gone.
  const auto outcome = Shell("sleep 60 & echo started; wait", 0.3);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->timed_out);
  EXPECT_EQ(outcome->output, "started\n");
  EXPECT_LT(seconds, 10);
  EXPECT_EQ(DescribeEnd(*outcome, 0.3), "no end within 0 s");
}

TEST(Process, AProgramThatClosedItsOutputsStillHasATimeLimit) {
  const auto outcome = Shell("exec >/dev/null 2>&1; exec sleep 60", 0.3);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->timed_out);
}

TEST(Process, EndlessOutputIsCutOff) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c", "yes"};
  options.max_output_bytes = 1 << 20;
  const auto outcome = RunProcess(options);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->too_much_output);
  EXPECT_FALSE(outcome->ok());
}

TEST(Process, KeepsTheEndOfALongStandardError) {
  const auto outcome = Shell("seq 1 20000 >&2");
  ASSERT_TRUE(outcome);
  EXPECT_LE(outcome->error_tail.size(), 4096u);
  EXPECT_TRUE(outcome->error_tail.ends_with("\n20000\n"));
}

TEST(Process, EnvironmentIsAddedToOursAndStandardInputIsEmpty) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c", "cat; echo \"$HEARTH_PROBE $PATH\""};
  options.environment = {{"HEARTH_PROBE", "there"}};
  const auto outcome = RunProcess(options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->output, "there " + std::string(std::getenv("PATH")) + "\n");
}

TEST(Process, MeasuresTimeAndMemory) {
  const auto outcome = Shell("sleep 0.2");
  ASSERT_TRUE(outcome);
  EXPECT_GE(outcome->seconds, 0.2);
  EXPECT_GT(outcome->peak_rss_mb, 0.1);
}

TEST(Process, AMissingProgramIsNamed) {
  ProcessOptions options;
  options.command = {"/nonexistent/program"};
  const auto outcome = RunProcess(options);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kNotFound);
  EXPECT_NE(outcome.error().message.find("/nonexistent/program"), std::string::npos);
}

TEST(FindProgram, LooksIntoPathAndTakesPathsAsTheyAre) {
  const auto shell = FindProgram("sh");
  ASSERT_TRUE(shell);
  EXPECT_TRUE(shell->ends_with("/sh"));
  EXPECT_EQ(FindProgram("/bin/sh").value(), "/bin/sh");
  EXPECT_EQ(FindProgram("no-such-program-here").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(FindProgram("/bin").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace hearth
