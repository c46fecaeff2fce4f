/* SPDX-License-Identifier: MIT */
/*
 * Which page-fault events this user may open on itself: found out by trying, with
 * the kernel's own error where it may not.
 */
#ifndef CT_SYS_PERF_PROBE_H
#define CT_SYS_PERF_PROBE_H

#include "base/base.h"

/* Errors are 0 (opened, and closed again) or -errno. */
struct ct_perf_probe {
	int event;    /* page faults of the program's own code */
	int signals;  /* the same, that signal the faulting thread (sigtrap, 5.13) */
	int kernel;   /* those of system calls too */
	int paranoid; /* kernel.perf_event_paranoid; INT_MIN: there is no such file */
};

/* Opens events on the calling thread, disabled; nothing is counted.  Below a ms. */
void ct_perf_probe(struct ct_perf_probe *ret);

#endif
