/* SPDX-License-Identifier: MIT */
/*
 * The last reading of a process that ends by itself.
 */
#ifndef CT_TRACED_EXITHOOK_H
#define CT_TRACED_EXITHOOK_H

#include "base/base.h"

/*
 * The process is about to end: asks to be read and waits, within the bound of
 * the segment.  Once per process; a thread that comes second waits for the
 * first.  Async-signal-safe; nothing in a vfork child.
 */
void ct_exit_now(void);

/* Registers it for exit() and quick_exit(), to run after everything else. */
void ct_exithook_register(void);

#endif
