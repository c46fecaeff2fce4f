/* SPDX-License-Identifier: MIT */
/*
 * How many seccomp filters this thread runs under.
 *
 * The recorder passes its own number on: an image that has more of them was put
 * into a sandbox on the way, and a socket() there may be its death.  (A container
 * has filters too, but then the recorder in it has the same.)
 */
#ifndef CT_CHANNEL_FILTERS_H
#define CT_CHANNEL_FILTERS_H

#include "base/base.h"

/*
 * From /proc/self/status, by open, read and close: what the loader needs as well
 * is allowed wherever a program can start.  A kernel before 5.9 gives no number:
 * then 1 where there is any.  Returns 0 where it cannot be told.
 * Async-signal-safe, errno untouched, some 20 us.
 */
u32 ct_filters_count(void);

#endif
