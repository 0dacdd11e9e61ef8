#include "eval/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace hearth {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the sandbox has no system call filter for this processor"
#endif

constexpr uint32_t kRefused[] = {
    // other processes
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_pidfd_getfd,
    __NR_kcmp,
    // namespaces and mounts
    __NR_unshare,
    __NR_setns,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_fsopen,
    __NR_fsmount,
    __NR_fsconfig,
    __NR_fspick,
    __NR_open_tree,
    __NR_move_mount,
    __NR_mount_setattr,
    __NR_open_by_handle_at,
    __NR_name_to_handle_at,
    // memory that RLIMIT_DATA does not see and that outlives its mapping
    __NR_memfd_create,
    __NR_memfd_secret,
    __NR_shmget,
    __NR_shmat,
    __NR_msgget,
    __NR_semget,
    __NR_mq_open,
    // broad ways into the kernel
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_io_uring_setup,
    __NR_io_uring_enter,
    __NR_io_uring_register,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_fanotify_init,
    __NR_seccomp,
    // the machine
    __NR_reboot,
    __NR_kexec_load,
    __NR_kexec_file_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_swapon,
    __NR_swapoff,
    __NR_acct,
    __NR_quotactl,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_adjtimex,
    __NR_clock_adjtime,
    __NR_syslog,
    __NR_sethostname,
    __NR_setdomainname,
    __NR_vhangup,
#if defined(__x86_64__)
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
#endif
};

constexpr uint32_t kNamespaceFlags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
// Above this x86-64 numbers the calls of its 32-bit sister once more.
constexpr uint32_t kX32Bit = 0x40000000;

constexpr uint32_t Refuse(int error) {
  return SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error) & SECCOMP_RET_DATA);
}

constexpr sock_filter Load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
constexpr sock_filter Return(uint32_t what) { return BPF_STMT(BPF_RET | BPF_K, what); }
// If equal goes on with the next instruction, else skips it (and `also` more).
constexpr sock_filter UnlessEqualSkip(uint32_t value, uint8_t count) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
}

constexpr size_t kArgument0 = offsetof(seccomp_data, args);

}  // namespace

bool InstallSeccompFilter() {
  constexpr size_t kMost = 2 * std::size(kRefused) + 32;
  sock_filter program[kMost];
  size_t size = 0;
  const auto add = [&](sock_filter instruction) { program[size++] = instruction; };

  add(Load(offsetof(seccomp_data, arch)));
  add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  add(Return(SECCOMP_RET_KILL_PROCESS));
  add(Load(offsetof(seccomp_data, nr)));
  add(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1));
  add(Return(Refuse(ENOSYS)));
  for (const uint32_t call : kRefused) {
    add(UnlessEqualSkip(call, 1));
    add(Return(Refuse(EPERM)));
  }
  // Its flags lie in memory, where a filter cannot look; the C library then uses clone.
  add(UnlessEqualSkip(__NR_clone3, 1));
  add(Return(Refuse(ENOSYS)));
  add(UnlessEqualSkip(__NR_clone, 4));
  add(Load(kArgument0));
  add(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kNamespaceFlags, 0, 1));
  add(Return(Refuse(EPERM)));
  add(Return(SECCOMP_RET_ALLOW));
  // Node talks to itself through local sockets; every other family is refused.
  add(UnlessEqualSkip(__NR_socket, 4));
  add(Load(kArgument0));
  add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0));
  add(Return(Refuse(EACCES)));
  add(Return(SECCOMP_RET_ALLOW));
  add(Return(SECCOMP_RET_ALLOW));

  const sock_fprog filter{static_cast<unsigned short>(size), program};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace hearth
