#include "eval/sandbox_inside.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "eval/seccomp_filter.h"

namespace hearth {
namespace {

// Any folder that every system has: the new root is mounted on it, in our namespace alone.
constexpr char kNewRoot[] = "/tmp";
// Within the new root, the only place that can be written.
constexpr char kFolder[] = "tmp";

constexpr int kOpenFiles = 256;

struct ReadOnlyFolder {
  const char* source;
  const char* target;  // in the new root
};
constexpr ReadOnlyFolder kFolders[] = {
    {"/usr", "usr"},
    {"/bin", "bin"},
    {"/sbin", "sbin"},
    {"/lib", "lib"},
    {"/lib32", "lib32"},
    {"/lib64", "lib64"},
    {"/etc/alternatives", "etc/alternatives"},
};
constexpr ReadOnlyFolder kDevices[] = {
    {"/dev/null", "dev/null"},
    {"/dev/zero", "dev/zero"},
    {"/dev/random", "dev/random"},
    {"/dev/urandom", "dev/urandom"},
};

void Send(int fd, SandboxReport::Kind kind, int value, const char* step) {
  SandboxReport report{};
  report.kind = kind;
  report.value = value;
  std::strncpy(report.step, step, sizeof report.step - 1);
  // Nobody is left to tell when this fails.
  [[maybe_unused]] const ssize_t written = write(fd, &report, sizeof report);
}

[[noreturn]] void GiveUp(const SandboxPlan& plan, const char* step) {
  Send(plan.status_fd, SandboxReport::kSetupFailed, errno, step);
  _exit(1);
}

void Need(const SandboxPlan& plan, bool done, const char* step) {
  if (!done) GiveUp(plan, step);
}

void WaitForByte(const SandboxPlan& plan) {
  char byte;
  ssize_t count;
  do {
    count = read(plan.go_fd, &byte, 1);
  } while (count < 0 && errno == EINTR);
  // The program that started us is gone.
  if (count != 1) _exit(1);
}

// A clone without exec keeps every file the parent has open: other sandboxes' pipes, whose ends
// would then never show, and the model.
void CloseAllOthers(const SandboxPlan& plan) {
  int kept[] = {plan.go_fd, plan.output_fd, plan.error_fd, plan.status_fd, plan.started_fd};
  for (int& fd : kept) {
    for (int& other : kept) {
      if (&fd < &other && other < fd) {
        const int larger = fd;
        fd = other;
        other = larger;
      }
    }
  }
  int next = 3;
  for (const int fd : kept) {
    if (fd > next) syscall(SYS_close_range, next, fd - 1, 0);
    next = fd + 1;
  }
  Need(plan, syscall(SYS_close_range, next, ~0U, 0) == 0, "close_range");
}

// Flags cannot be added by a bind mount itself, and those of submounts not by a remount.
bool MakeReadOnly(const char* path, uint64_t more_flags, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | more_flags;
  return syscall(SYS_mount_setattr, AT_FDCWD, path, recursive ? AT_RECURSIVE : 0, &attributes,
                 sizeof attributes) == 0;
}

// A merged /usr has links in place of /bin and /lib.
bool CopyLink(const ReadOnlyFolder& folder) {
  char target[256];
  const ssize_t size = readlink(folder.source, target, sizeof target - 1);
  if (size <= 0) return false;
  target[size] = '\0';
  return symlink(target, folder.target) == 0;
}

void MountSystem(const SandboxPlan& plan) {
  Need(plan, mkdir("etc", 0755) == 0 && mkdir("dev", 0755) == 0, "folders of the new root");
  for (const ReadOnlyFolder& folder : kFolders) {
    struct stat info;
    if (lstat(folder.source, &info) != 0) continue;  // not every system has all
    if (S_ISLNK(info.st_mode)) {
      Need(plan, CopyLink(folder), folder.source);
      continue;
    }
    Need(plan, mkdir(folder.target, 0755) == 0, folder.target);
    Need(plan,
         mount(folder.source, folder.target, nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
             MakeReadOnly(folder.target, MOUNT_ATTR_NODEV, /*recursive=*/true),
         folder.source);
  }
  for (const ReadOnlyFolder& device : kDevices) {
    const int fd = open(device.target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    Need(plan, fd >= 0, device.target);
    close(fd);
    Need(plan, mount(device.source, device.target, nullptr, MS_BIND, nullptr) == 0, device.source);
  }
  // Where the dynamic linker looks libraries up; without it it searches folders.
  if (const int fd = open("etc/ld.so.cache", O_CREAT | O_WRONLY | O_CLOEXEC, 0644); fd >= 0) {
    close(fd);
    if (mount("/etc/ld.so.cache", "etc/ld.so.cache", nullptr, MS_BIND, nullptr) == 0)
      Need(plan, MakeReadOnly("etc/ld.so.cache", MOUNT_ATTR_NODEV, false), "/etc/ld.so.cache");
  }
}

void WriteFiles(const SandboxPlan& plan) {
  for (size_t i = 0; i < plan.num_files; ++i) {
    const SandboxPlan::File& file = plan.files[i];
    const int fd = open(file.name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    Need(plan, fd >= 0, "files of the task");
    for (size_t done = 0; done < file.size;) {
      const ssize_t count = write(fd, file.data + done, file.size - done);
      Need(plan, count > 0, "files of the task");
      done += static_cast<size_t>(count);
    }
    close(fd);
  }
}

// Leaves the old root behind: the new one holds the system, read-only, and the folder.
void EnterNewRoot(const SandboxPlan& plan) {
  Need(plan, mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
  Need(plan, mount("tmpfs", kNewRoot, "tmpfs", MS_NOSUID | MS_NODEV, plan.root_options) == 0,
       "a root in memory");
  Need(plan, chdir(kNewRoot) == 0, "the new root");
  MountSystem(plan);
  Need(plan, mkdir(kFolder, 0700) == 0, "the working folder");
  Need(plan, mount("tmpfs", kFolder, "tmpfs", MS_NOSUID | MS_NODEV, plan.folder_options) == 0,
       "the working folder");
  Need(plan, syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Need(plan, umount2(".", MNT_DETACH) == 0, "leaving the old root");
  Need(plan, chdir("/") == 0 && MakeReadOnly("/", MOUNT_ATTR_NODEV, /*recursive=*/false),
       "a read-only root");
  Need(plan, chdir("/tmp") == 0, "the working folder");
  WriteFiles(plan);
}

void SetLimit(const SandboxPlan& plan, int resource, int64_t value, const char* step) {
  const rlimit limit{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  Need(plan, setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0, step);
}

void SetLimits(const SandboxPlan& plan) {
  // Not the address space: node reserves far more of it than it uses.
  SetLimit(plan, RLIMIT_DATA, plan.memory_bytes, "limit of memory");
  SetLimit(plan, RLIMIT_FSIZE, plan.file_bytes, "limit of file sizes");
  SetLimit(plan, RLIMIT_NPROC, plan.max_processes, "limit of processes");
  SetLimit(plan, RLIMIT_NOFILE, kOpenFiles, "limit of open files");
  SetLimit(plan, RLIMIT_CORE, 0, "limit of core files");
  SetLimit(plan, RLIMIT_MSGQUEUE, 0, "limit of message queues");
  // One second more to the hard limit, which is a SIGKILL.
  const rlimit cpu{static_cast<rlim_t>(plan.cpu_s), static_cast<rlim_t>(plan.cpu_s) + 1};
  Need(plan, setrlimit(RLIMIT_CPU, &cpu) == 0, "limit of processor time");
}

void DropPrivileges(const SandboxPlan& plan) {
  // Until there is no such capability: kernels differ in how many they know.
  for (int capability = 0; prctl(PR_CAPBSET_DROP, capability) == 0; ++capability) {
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  Need(plan, syscall(SYS_capset, &header, none) == 0, "dropping capabilities");
  Need(plan, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

[[noreturn]] void RunProgram(const SandboxPlan& plan) {
  // Of its own, so that what it sends to its group reaches nobody else.
  setsid();
  const int null = open("/dev/null", O_RDONLY);
  Need(plan, null >= 0 && dup2(null, 0) == 0, "standard input");
  Need(plan, dup2(plan.output_fd, 1) == 1 && dup2(plan.error_fd, 2) == 2, "standard output");
  // All else closes at exec, the report's pipe and the one that tells of the start with it: an open
  // file of ours is of no use inside.
  Need(plan, syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0, "close_range");
  SetLimits(plan);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  Need(plan, InstallSeccompFilter(), "the system call filter");
  execve(plan.arguments[0], const_cast<char* const*>(plan.arguments),
         const_cast<char* const*>(plan.environment));
  GiveUp(plan, "exec");
}

}  // namespace

unsigned long SandboxCloneFlags() {
  return CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
         CLONE_NEWCGROUP | SIGCHLD;
}

pid_t RawClone(unsigned long flags) {
#if defined(__s390__) || defined(__CRIS__)
#error "clone takes its arguments in another order here"
#endif
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
}

void RunInsideSandbox(const SandboxPlan& plan) {
  CloseAllOthers(plan);
  WaitForByte(plan);
  // Only root may; an ordinary user's groups reach nothing that is mounted here.
  [[maybe_unused]] const long ignored = syscall(SYS_setgroups, 0, nullptr);
  // As the user that the maps give us; root outside is an unprivileged user from here on.
  Need(plan, syscall(SYS_setresgid, kSandboxUser, kSandboxUser, kSandboxUser) == 0, "the group");
  Need(plan, syscall(SYS_setresuid, kSandboxUser, kSandboxUser, kSandboxUser) == 0, "the user");
  // A change of user forgets it, so it comes after; and the parent may have died before it.
  Need(plan, prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "dying with the parent");
  Send(plan.status_fd, SandboxReport::kReady, 0, "");
  WaitForByte(plan);
  EnterNewRoot(plan);
  DropPrivileges(plan);
  // What runs inside cannot look into us or change us.
  Need(plan, prctl(PR_SET_DUMPABLE, 0) == 0, "dumpable");
  umask(077);
  // The program is not process 1 itself: that one ignores signals such as abort's.
  const pid_t program = RawClone(SIGCHLD);
  if (program < 0) GiveUp(plan, "starting the program");
  if (program == 0) RunProgram(plan);
  // Else readers of the pipes would wait for us too.
  close(plan.output_fd);
  close(plan.error_fd);
  close(plan.started_fd);
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) GiveUp(plan, "waiting for the program");
    if (ended != program) continue;
    Send(plan.status_fd, SandboxReport::kEnded, status, "");
    // With process 1 all others of the namespace go.
    _exit(0);
  }
}

}  // namespace hearth
