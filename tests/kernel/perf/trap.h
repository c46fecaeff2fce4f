/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share.  Each states one behaviour of page-fault
 * events with sigtrap; nothing here is cowtrace's.  Results and statuses are as in
 * ../census/lab.h.
 */
#ifndef TRAP_H
#define TRAP_H

#include <linux/perf_event.h>
#include <signal.h>
#include <stdatomic.h>

#include "../census/lab.h"

/* siginfo of a perf event's SIGTRAP; libc's header may have neither. */
#define TRAP_CODE 6
#define TRAP_ASYNC 1u /* the thread had SIGTRAP blocked: it comes later than its fault */

#define TRAP_DATA 0x5ca1ab1e00c0ffeeULL

/* What the handler saw; shared, touched, and seen by forked children. */
struct trap_log {
	_Atomic uint32_t nr;	   /* signals of the fault itself */
	_Atomic uint32_t nr_async; /* that came late */
	_Atomic uint64_t addr, pc, data, entry;
	_Atomic int32_t tid, code, byte;
	/* Faults elsewhere are not counted: the kernel may take any page away at any time. */
	uint64_t from, to;
};
extern struct trap_log *traps;
/* Set: the handler looks up the page's entry, and the byte that lies there. */
extern int trap_pagemap;

/* What is counted: faults of [p, p + nr_pages).  Installs the handler, with every signal blocked in
 * it, on a stack of its own. */
void trap_init(const void *p, size_t nr_pages);
void trap_reset(void);

struct trap_opts {
	bool disabled, kernel_too;
	uint64_t period; /* 0: 1 */
};
/* An event of the calling thread, inherited by threads alone.  A descriptor, or -errno. */
int trap_event(struct trap_opts o);
/* The same; skips where events are refused, dies of anything else. */
int trap_open(struct trap_opts o);
void trap_enable(int fd);
void trap_disable(int fd);

/* One store; the signals that it raises.  A page that is not there yet takes one fault. */
uint32_t trap_store(volatile char *p);

#endif
