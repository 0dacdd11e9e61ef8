#include "training/trainer/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

LaunchOptions Shell(int num_processes, const std::string& script) {
  LaunchOptions options;
  options.num_processes = num_processes;
  options.command = {"sh", "-c", script};
  options.grace_s = 5;
  return options;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double SecondsOf(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Launcher, EachCopyIsToldWhoItIs) {
  const std::string prefix = testing::TempDir() + "hearth_launcher_";
  ASSERT_TRUE(Launch(Shell(3, "echo $RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR > " + prefix +
                                  "$RANK; test $MASTER_PORT -gt 1023")));
  for (int rank = 0; rank < 3; ++rank) {
    const std::string number = std::to_string(rank);
    EXPECT_EQ(Contents(prefix + number), number + " " + number + " 3 127.0.0.1\n");
  }
}

TEST(Launcher, ACopyThatFailsEndsAllAndItsErrorIsShown) {
  Status status;
  const double seconds = SecondsOf([&] {
    status = Launch(Shell(
        3, "if [ $RANK = 2 ]; then echo 'no such tensor' >&2; exit 3; fi; exec sleep 60"));
  });
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("process 2 of 3 (sh) ended with status 3"));
  EXPECT_THAT(status.error().message, HasSubstr("no such tensor"));
  EXPECT_LT(seconds, 20);
}

TEST(Launcher, CopiesThatDoNotHearAreKilled) {
  LaunchOptions options =
      Shell(2, "if [ $RANK = 1 ]; then exit 1; fi; trap '' TERM; while :; do sleep 0.1; done");
  options.grace_s = 1;
  Status status;
  EXPECT_LT(SecondsOf([&] { status = Launch(options); }), 20);
  EXPECT_FALSE(status);
}

TEST(Launcher, SignalsArePassedOn) {
  std::thread sender([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    kill(getpid(), SIGTERM);
  });
  // Copies that end well after a signal were stopped, not broken.
  const Status status =
      Launch(Shell(2, "trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  sender.join();
  EXPECT_TRUE(status) << status.error().message;
}

TEST(Launcher, AProgramThatIsNotThereIsNamed) {
  LaunchOptions options;
  options.command = {"/absent/program"};
  const Status status = Launch(options);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(status.error().message, HasSubstr("/absent/program"));
}

}  // namespace
}  // namespace hearth::forge
