/* SPDX-License-Identifier: MIT */
/* pidfds and the few facts of /proc/PID that the recorder needs of a process. */
#ifndef CT_SYS_PIDFD_H
#define CT_SYS_PIDFD_H

#include <sys/types.h>

#include "base/base.h"

/* A pidfd of pid, close-on-exec; it polls readable when the process has gone.  0, or -errno. */
int ct_pidfd_open(pid_t pid, int *ret_fd);

/*
 * How the process behind a pidfd ended, in waitid(2)'s wait-status form, once it
 * has gone; works for processes that are nobody's child of ours.  0, -ENOTSUP
 * (the kernel cannot say), -EAGAIN (still alive).
 */
int ct_pidfd_exit_status(int pidfd, int *ret_wstatus);

/* comm into buf (NUL-terminated); target of /proc/PID/exe; 0 or -errno. */
int ct_proc_comm(pid_t pid, char *buf, size_t len);
int ct_proc_exe(pid_t pid, char *buf, size_t len);

/* Parent pid, real uid, start time in clock ticks, 1 when a seccomp filter is on.  0, or -errno. */
struct ct_proc_status {
	pid_t ppid;
	uid_t uid;
	u64 start_ticks;
	bool seccomp;
	bool zombie;
	bool stopped; /* by a signal or a tracer */
	bool running; /* or waiting for a processor */
};
int ct_proc_status_read(pid_t pid, struct ct_proc_status *ret);

/* Who traces it by ptrace(2): a pid, 0: nobody, or -errno. */
pid_t ct_proc_tracer(pid_t pid);

/* Pages, from /proc/PID/statm: all that is mapped; code; private and writable. */
struct ct_proc_sizes {
	u64 total, text, data;
};
/*
 * Of the process whose statm is open as *fd (-1: it is opened now, and the caller
 * closes it; half of the cost).  0, or -errno.  A process without memory has total 0.
 */
int ct_proc_sizes_read(pid_t pid, int *fd, struct ct_proc_sizes *ret);

#endif
