#include "eval/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto sandbox = Sandbox::Create();
    if (!sandbox) GTEST_SKIP() << "SKIPPED: " << sandbox.error().message;
    sandbox_ = *sandbox;
  }

  SandboxOutcome Shell(const std::string& script, SandboxLimits limits = {}) {
    return Run({"/bin/sh", "-c", script}, limits);
  }
  // Skips where there is no Python.
  SandboxOutcome Python(const std::string& program, SandboxLimits limits = {}) {
    return Run({"/usr/bin/python3", "-c", program}, limits);
  }
  SandboxOutcome Run(std::vector<std::string> command, SandboxLimits limits = {}) {
    SandboxTask task;
    task.command = std::move(command);
    task.limits = limits;
    auto outcome = sandbox_->Run(task);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome.value_or(SandboxOutcome{});
  }
  static bool HavePython() { return access("/usr/bin/python3", X_OK) == 0; }

  std::optional<Sandbox> sandbox_;
};

#define NEED_PYTHON() \
  if (!HavePython()) GTEST_SKIP() << "SKIPPED: no /usr/bin/python3"

TEST_F(SandboxTest, RunsAProgramAndTellsHowItEnded) {
  const SandboxOutcome good = Shell("echo out; echo err >&2");
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(good.output, "out\n");
  EXPECT_EQ(good.errors, "err\n");
  const SandboxOutcome bad = Shell("exit 7");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.exit_code, 7);
  const SandboxOutcome aborted = Shell("kill -ABRT $$");
  EXPECT_EQ(aborted.signal, SIGABRT);
  EXPECT_EQ(DescribeEnd(aborted, {}), "killed by signal 6 (Aborted)");
}

TEST_F(SandboxTest, ItsFilesAreInAFolderOfItsOwn) {
  SandboxTask task;
  task.command = {"/bin/sh", "-c", "cat a.txt; ls; echo more > b.txt && cat b.txt; pwd"};
  task.files = {{"a.txt", "hello\n"}};
  const auto outcome = sandbox_->Run(task);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->output, "hello\na.txt\nmore\n/tmp\n");
  EXPECT_THAT(Shell("ls -A").output, "") << "what one run wrote is there for the next";
}

TEST_F(SandboxTest, NothingOutsideTheFolderCanBeWritten) {
  const SandboxOutcome outcome = Shell(
      "for f in /x /usr/x /usr/bin/x /etc/x /dev/x /bin/x /etc/ld.so.cache; do "
      "  (echo x > $f) 2>/dev/null && echo WROTE $f; done; "
      "chmod 777 /usr 2>/dev/null && echo CHANGED; "
      "mount -o remount,rw / 2>/dev/null && echo REMOUNTED; echo end");
  EXPECT_EQ(outcome.output, "end\n");
}

TEST_F(SandboxTest, SecretsOfTheMachineAreNotThere) {
  const SandboxOutcome outcome = Shell(
      "for f in /root /home /proc /sys /var /run /mnt /etc/passwd /etc/shadow /etc/hostname; do "
      "  [ -e $f ] && echo SEES $f; done; ls /; env");
  EXPECT_THAT(outcome.output, Not(HasSubstr("SEES")));
  EXPECT_THAT(outcome.output, HasSubstr("usr"));
  // Our own variables may hold keys.
  EXPECT_THAT(outcome.output, Not(HasSubstr("USER=")));
  if (const char* home = getenv("HOME"); home != nullptr && std::string(home) != "/tmp") {
    EXPECT_THAT(outcome.output, Not(HasSubstr(home)));
  }
}

TEST_F(SandboxTest, OpenFilesOfOursAreNotInherited) {
  NEED_PYTHON();
  const int leaked = dup(0);  // as careless code would: without close-on-exec
  const SandboxOutcome outcome = Python(
      "import os\n"
      "for fd in range(3, 200):\n"
      "  try: os.fstat(fd); print('open', fd)\n"
      "  except OSError: pass\n");
  close(leaked);
  EXPECT_TRUE(outcome.ok()) << outcome.errors;
  EXPECT_EQ(outcome.output, "");
}

TEST_F(SandboxTest, TheNetworkIsOutOfReach) {
  NEED_PYTHON();
  const SandboxOutcome outcome = Python(
      "import socket, os\n"
      "for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, "
      "socket.SOCK_DGRAM), (socket.AF_NETLINK, socket.SOCK_RAW)):\n"
      "  try: socket.socket(family, kind); print('SOCKET', family)\n"
      "  except OSError as e: print(e.errno)\n"
      "s = socket.socket(socket.AF_UNIX)\n"
      "try: s.connect('\\0/tmp/.X11-unix/X0'); print('CONNECTED')\n"
      "except OSError: print('alone')\n");
  EXPECT_TRUE(outcome.ok()) << outcome.errors;
  EXPECT_EQ(outcome.output, "13\n13\n13\nalone\n");
}

TEST_F(SandboxTest, AnEndlessLoopEnds) {
  SandboxLimits limits;
  limits.wall_s = 20;
  limits.cpu_s = 1;
  const SandboxOutcome busy = Shell("while :; do :; done", limits);
  EXPECT_FALSE(busy.ok());
  EXPECT_TRUE(busy.timed_out);
  EXPECT_LT(busy.seconds, 15) << "the processor time was not bounded";
  EXPECT_EQ(DescribeEnd(busy, limits), "no end within 1 s of processor time");
  limits.wall_s = 0.5;
  limits.cpu_s = 10;
  const SandboxOutcome idle = Shell("sleep 1000", limits);
  EXPECT_TRUE(idle.timed_out);
  EXPECT_EQ(DescribeEnd(idle, limits), "no end within 0.5 s");
}

TEST_F(SandboxTest, WhatIsLeftInTheBackgroundDoesNotOutliveIt) {
  const SandboxOutcome outcome = Shell("(sleep 987654321 &) ; echo done");
  EXPECT_TRUE(outcome.ok());
  EXPECT_EQ(outcome.output, "done\n");
  EXPECT_LT(outcome.seconds, 10) << "waited for what holds the pipe open";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "cmdline");
    std::string command;
    std::getline(in, command);
    EXPECT_THAT(command, Not(HasSubstr("987654321")));
  }
}

TEST_F(SandboxTest, AForkBombRunsOutOfProcesses) {
  NEED_PYTHON();
  SandboxLimits limits;
  limits.max_processes = 16;
  const SandboxOutcome outcome = Python(
      "import os, time\n"
      "n = 0\n"
      "try:\n"
      "  while n < 1000:\n"
      "    if os.fork() == 0: time.sleep(100)\n"
      "    n += 1\n"
      "except OSError as e: print(e.errno == 11, n <= 16)\n",
      limits);
  EXPECT_EQ(outcome.output, "True True\n") << outcome.errors;
  limits.wall_s = 2;
  EXPECT_FALSE(Shell("b() { b | b & b; }; b", limits).ok());
}

TEST_F(SandboxTest, AMemoryBombIsContained) {
  NEED_PYTHON();
  SandboxLimits limits;
  limits.memory_bytes = int64_t{128} << 20;
  const SandboxOutcome one = Python("x = bytearray(1 << 30); print('GOT IT')", limits);
  EXPECT_FALSE(one.ok());
  EXPECT_THAT(one.errors, HasSubstr("MemoryError"));
  // Shared memory escapes the limit of a process, many processes escape it together.
  const SandboxOutcome shared = Python(
      "import mmap, time\n"
      "m = mmap.mmap(-1, 400 << 20)\n"
      "for i in range(0, 400 << 20, 4096): m[i] = 1\n"
      "time.sleep(5); print('GOT IT')\n",
      limits);
  EXPECT_TRUE(shared.too_much_memory) << shared.output << shared.errors;
  const SandboxOutcome many = Python(
      "import os, time\n"
      "for i in range(8):\n"
      "  if os.fork() == 0:\n"
      "    x = bytearray(60 << 20); time.sleep(5); os._exit(0)\n"
      "time.sleep(5); print('GOT IT')\n",
      limits);
  EXPECT_TRUE(many.too_much_memory) << many.output << many.errors;
  EXPECT_EQ(DescribeEnd(many, limits), "more than 128 MiB of memory");
}

TEST_F(SandboxTest, OurOwnMemoryIsNotTheProgram) {
  SandboxLimits limits;
  limits.memory_bytes = 128 << 20;
  // As a model's contexts would be; a clone of ours holds it too.
  const std::vector<char> ours(300 << 20, 1);
  const SandboxOutcome outcome = Shell("sleep 0.3; echo done", limits);
  EXPECT_EQ(DescribeEnd(outcome, limits), "exit code 0");
  EXPECT_EQ(outcome.output, "done\n");
  EXPECT_EQ(ours.back(), 1);
}

TEST_F(SandboxTest, FilesAndFolderAreBounded) {
  NEED_PYTHON();
  SandboxLimits limits;
  limits.file_bytes = 1 << 20;
  limits.folder_bytes = 4 << 20;
  const SandboxOutcome outcome = Python(
      "import os, signal\n"
      "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
      "def fill(name):\n"
      "  n = 0\n"
      "  try:\n"
      "    with open(name, 'wb', buffering=0) as f:\n"
      "      while True: n += f.write(b'x' * 65536)\n"
      "  except OSError as e: return n, e.errno\n"
      "print(fill('a')); print(sum(fill(str(i))[0] for i in range(16)) <= 4 << 20)\n",
      limits);
  EXPECT_EQ(outcome.output, "(1048576, 27)\nTrue\n") << outcome.errors;
}

TEST_F(SandboxTest, HugeOutputEndsIt) {
  SandboxLimits limits;
  limits.max_output_bytes = 100'000;
  const SandboxOutcome outcome = Shell("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaa; done", limits);
  EXPECT_TRUE(outcome.too_much_output);
  EXPECT_LT(outcome.output.size(), 200'000U);
  // A program that has ended is held to the same.
  const SandboxOutcome ended = Shell("head -c 150000 /dev/zero", limits);
  EXPECT_TRUE(ended.too_much_output);
}

TEST_F(SandboxTest, OtherProcessesCannotBeReached) {
  NEED_PYTHON();
  const pid_t ours = getpid();
  const SandboxOutcome outcome = Python(
      "import os, signal, ctypes\n"
      "print(os.getppid() in (0, 1))\n"
      "for pid in (" +
      std::to_string(ours) + ", " + std::to_string(getppid()) +
      ", 1, -1):\n"
      "  if pid == 1 or pid > 40:\n"
      "    try: os.kill(pid, signal.SIGKILL)\n"
      "    except ProcessLookupError: pass\n"
      "libc = ctypes.CDLL(None, use_errno=True)\n"
      "print(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())\n"
      "print(libc.unshare(0x10000000), ctypes.get_errno())\n"
      "print(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), ctypes.get_errno())\n"
      "print(os.getuid() != 0)\n");
  EXPECT_TRUE(outcome.ok()) << DescribeEnd(outcome, {}) << outcome.errors;
  EXPECT_EQ(outcome.output, "True\n-1 1\n-1 1\n-1 1\nTrue\n");
  EXPECT_EQ(kill(ours, 0), 0);
}

// Runs `body` in a process of its own; its exit code.
int InChild(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST_F(SandboxTest, WorksForAnOrdinaryUser) {
  if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: the other tests run as an ordinary user already";
  const int code = InChild([] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    // What a change of user takes away; a program that was started by that user has it.
    prctl(PR_SET_DUMPABLE, 1);
    const auto sandbox = Sandbox::Create();
    if (!sandbox) return sandbox.error().code == ErrorCode::kPermission ? 77 : 2;
    SandboxTask task;
    task.command = {"/bin/sh", "-c", "id -u; ls /root /home 2>/dev/null; echo x > /usr/x"};
    const auto outcome = sandbox->Run(task);
    return outcome && outcome->output == "1000\n" ? 0 : 3;
  });
  if (code == 77) GTEST_SKIP() << "SKIPPED: ordinary users may make no user namespaces here";
  EXPECT_EQ(code, 0);
}

TEST_F(SandboxTest, DiesWithTheProcessThatStartedIt) {
  const pid_t pid = fork();
  if (pid == 0) {
    SandboxTask task;
    task.command = {"/bin/sh", "-c", "sleep 192837465"};
    static_cast<void>(sandbox_->Run(task));
    _exit(0);
  }
  const auto runs = [] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::ifstream in(entry.path() / "cmdline");
      std::string command;
      std::getline(in, command);
      if (command.find("192837465") != std::string::npos) return true;
    }
    return false;
  };
  const auto wait_until = [&](bool wanted) {
    for (int i = 0; i < 500 && runs() != wanted; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return runs() == wanted;
  };
  EXPECT_TRUE(wait_until(true));
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_TRUE(wait_until(false)) << "it outlived its parent";
}

TEST_F(SandboxTest, ManyAtOnceDoNotWaitForEachOther) {
  std::vector<std::thread> threads;
  std::vector<SandboxOutcome> outcomes(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      outcomes[i] = Shell("echo " + std::to_string(i) + (i == 0 ? "; sleep 1000" : ""),
                          {.wall_s = i == 0 ? 2.0 : 30.0});
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(outcomes[i].output, std::to_string(i) + "\n");
    EXPECT_EQ(outcomes[i].ok(), i != 0);
  }
}

TEST_F(SandboxTest, AProgramThatIsNotThereIsAnError) {
  SandboxTask task;
  task.command = {"/usr/bin/no-such-program"};
  const auto outcome = sandbox_->Run(task);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(outcome.error().message, HasSubstr("no-such-program"));
}

TEST_F(SandboxTest, NodeAndTheCompilerRunInIt) {
  if (access("/usr/bin/node", X_OK) == 0) {
    const SandboxOutcome node = Run({"/usr/bin/node", "-e", "console.log(6 * 7)"});
    EXPECT_EQ(node.output, "42\n") << DescribeEnd(node, {}) << node.errors;
  }
  if (access("/usr/bin/g++", X_OK) == 0) {
    SandboxTask task;
    task.command = {"/bin/sh", "-c", "g++ -o program main.cc && ./program"};
    task.files = {{"main.cc", "#include <cstdio>\nint main() { puts(\"42\"); }\n"}};
    const auto compiled = sandbox_->Run(task);
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled->output, "42\n") << DescribeEnd(*compiled, {}) << compiled->errors;
  }
}

}  // namespace
}  // namespace hearth
