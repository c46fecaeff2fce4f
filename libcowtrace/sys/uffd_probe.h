/* SPDX-License-Identifier: MIT */
/*
 * What of userfaultfd, and of what belongs to serving one, works here for this
 * user: found out by trying, with the kernel's own error where it does not.
 */
#ifndef CT_SYS_UFFD_PROBE_H
#define CT_SYS_UFFD_PROBE_H

#include "base/base.h"

/* Errors are 0 (works), -errno, or CT_NOT_TRIED because an earlier step failed. */
#define CT_NOT_TRIED 1

struct ct_uffd_probe {
	int dev;	/* opening /dev/userfaultfd */
	int create;	/* making a userfaultfd from it */
	int api;	/* asking for CT_UFFD_FEATURES: -EPERM, -ENOTSUP */
	u64 features;	/* UFFD_FEATURE_* that the kernel has; 0: could not be asked */
	int call;	/* userfaultfd(2), for faults of the kernel too */
	int call_user;	/* the same for faults of the program alone (5.11) */
	int protect;	/* protecting a page of our own */
	int call_file;	/* reading /proc/PID/task/TID/syscall */
	int signal;	/* queueing a real-time signal with a value for a thread, and getting it */
	int sysctl;	/* vm.unprivileged_userfaultfd: 0, 1, or -errno */
	int cap_ptrace; /* CAP_SYS_PTRACE: 1 effective, 0 not, or -errno */
};

/*
 * Tries everything on this process.  signal: the one to try; its handler is put
 * back.  Always succeeds.  Below a ms.  One thread at a time.
 */
void ct_uffd_probe(int signal, struct ct_uffd_probe *ret);

#endif
