/* SPDX-License-Identifier: MIT */
/*
 * Can a process here have a page-fault event that raises a signal, and is it safe?
 * Found out by trying, in a child that may die of it.
 */
#ifndef CT_SYS_PERFEV_H
#define CT_SYS_PERFEV_H

#include "base/base.h"

/* Errors are 0 (works), -errno, or CT_PERFEV_NOT_TRIED because an earlier step failed. */
#define CT_PERFEV_NOT_TRIED 1

struct ct_perfev_probe {
	int open;    /* -EACCES, -EPERM: not permitted; -EINVAL, -E2BIG: kernel before 5.13 */
	int signal;  /* a write of ours raised it: -EIO where it did not */
	int blocked; /* a thread that has SIGTRAP blocked survives: -EFAULT where not (before 5.18)
		      */
	int sysctl;  /* kernel.perf_event_paranoid; INT_MIN: there is none */
};

/* 0: the engine can run; else the first error, and *ret says which.  A ms. */
int ct_perfev_probe(struct ct_perfev_probe *ret);

#endif
