#pragma once
// The system calls that sandboxed programs may not make: those that reach other processes, mount,
// make namespaces, talk to the network, load code into the kernel, or take memory that no limit
// counts. The namespaces already hide what these would reach; this narrows what the kernel exposes.

namespace hearth {

// For this thread and all that it starts, for good. Requires no_new_privs. Plain system calls only.
// False with errno set when the kernel refuses.
bool InstallSeccompFilter();

}  // namespace hearth
