/* SPDX-License-Identifier: MIT */
/*
 * The perf engine's half in the program: its event, and what its handler leaves.
 *
 * The event is opened by the process itself, which needs no privilege, and sent to the
 * recorder, who alone has it then: it switches it on and off, and with its death the
 * event is gone.
 */
#ifndef CT_TRACED_PERF_H
#define CT_TRACED_PERF_H

#include <signal.h>

#include "traced/self.h"
#include "traced/shim.h"

/*
 * In the constructor, after ct_sighandler_install(): opens the image's event, disabled,
 * sends it, and sets shim->perf; where that fails the recorder is told why.
 */
void ct_perf_start(struct ct_shim *shim, u32 slot);

/* The prepare handler's last act: parent is to be watched from here on, and child. */
void ct_perf_before_fork(struct ct_segment *seg, u32 parent, u32 child);

/* A forked child, in its slot, before it asks for anything: its own event, enabled. */
void ct_perf_born(struct ct_segment *seg, u32 slot);

/* A SIGTRAP that is ours.  In the handler. */
void ct_perf_fault(const struct ct_shim *shim, const siginfo_t *info);
bool ct_perf_is_ours(const siginfo_t *info);

/*
 * This process is let be from here on (why: CT_BACK_*): comes back when its event is
 * closed, or when the recorder, which has it, can be waited for no longer.  The second
 * call does nothing.  Does nothing without the perf engine.
 */
void ct_perf_step_back(const struct ct_self *self, u32 why);
/* The same of whoever calls. */
void ct_perf_step_back_now(u32 why);

#endif
