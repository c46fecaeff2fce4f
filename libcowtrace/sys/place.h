/* SPDX-License-Identifier: MIT */
/*
 * Who this process is and where it runs: user, capabilities, namespaces, filters,
 * limits, and the few things that any recording needs.  Facts, no decisions.
 */
#ifndef CT_SYS_PLACE_H
#define CT_SYS_PLACE_H

#include <sys/types.h>

#include "base/base.h"

/* Where the kernel has no such thing, or it cannot be read. */
#define CT_PLACE_UNKNOWN (-1)

struct ct_place {
	u32 uid;		/* effective */
	u64 caps;		/* effective, a bit for each; 0 where they cannot be read */
	int userns;		/* 1: in the first user namespace; 0: in another */
	int pidns;		/* the same of pid namespaces */
	int seccomp;		/* 0: none, 1: strict, 2: filtered */
	int ptrace_scope;	/* kernel.yama.ptrace_scope */
	u64 nofile, nofile_max; /* open files: the limit, and how far it can be raised */
	bool rtprio;		/* may ask for the lowest real-time priority */

	/* Errors are 0 (works) or -errno. */
	int memory;  /* a memfd, sized and mapped */
	int socket;  /* an abstract Unix socket that listens */
	int pagemap; /* the page map of a child, and of it a page */
	int device;  /* stat of /dev/userfaultfd: the three below hold where it is 0 */
	mode_t device_mode;
	u32 device_uid, device_gid;
	int device_minor; /* of the kernel's (misc, major 10), there or not; -1: it has none */
};

/* Forks a child that says nothing and is waited for.  A ms. */
void ct_place_look(struct ct_place *ret);

/* Is CAP_... (linux/capability.h) among the effective ones? */
bool ct_place_has_cap(const struct ct_place *p, int cap);

#endif
