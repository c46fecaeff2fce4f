/* SPDX-License-Identifier: MIT */
/*
 * The page-fault event of the perf engine: what is asked of the kernel, and how its
 * SIGTRAP is told from anybody else's.  For the program's side, which opens it, and the
 * recorder's, which tries whether one can be had.
 */
#ifndef CT_BASE_PERFEV_H
#define CT_BASE_PERFEV_H

#include <linux/perf_event.h>
#include <signal.h>
#include <string.h>

#include "base/base.h"

/* si_code of a SIGTRAP of an event (Linux 5.13); libc's headers may not have it. */
#define CT_TRAP_PERF 6
/* The thread had SIGTRAP blocked: the signal comes later than its fault (Linux 5.18). */
#define CT_TRAP_ASYNC 1u

/* In an event's data, beside the slot that it was opened for. */
#define CT_PERFEV_MAGIC 0xc0f1eULL

/* slot: below 4096; generation: its, so that an older process's event is told apart. */
static inline u64 ct_perfev_data(u32 slot, u32 generation)
{
	return CT_PERFEV_MAGIC << 44 | (u64)generation << 12 | slot;
}

static inline bool ct_perfev_is_ours(u64 data)
{
	return data >> 44 == CT_PERFEV_MAGIC;
}

static inline u32 ct_perfev_slot(u64 data)
{
	return data & 0xfff;
}

static inline u32 ct_perfev_generation(u64 data)
{
	return (u32)(data >> 12);
}

/* The union of siginfo behind si_addr: unsigned long data, u32 type, u32 flags. */
static inline u64 ct_perfev_data_of(const siginfo_t *info)
{
	u64 data;

	memcpy(&data, (const char *)info + 24, sizeof(data));
	return data;
}

static inline u32 ct_perfev_flags_of(const siginfo_t *info)
{
	u32 flags;

	memcpy(&flags, (const char *)info + 36, sizeof(flags));
	return flags;
}

/*
 * One signal at every period-th fault of a thread and of the threads it makes, of its
 * own code alone: an ordinary user may have no other, a system call's many faults raise
 * one signal, and one raised during an exec would kill the next image.  A child of
 * fork, vfork or posix_spawn has none: libc runs posix_spawn's with every handler reset.
 */
static inline void ct_perfev_attr(struct perf_event_attr *attr, u64 period, u64 data, bool enabled)
{
	memset(attr, 0, sizeof(*attr));
	attr->type = PERF_TYPE_SOFTWARE;
	attr->size = sizeof(*attr);
	attr->config = PERF_COUNT_SW_PAGE_FAULTS;
	attr->sample_period = period;
	attr->disabled = !enabled;
	attr->inherit = 1;
	attr->inherit_thread = 1;
	attr->remove_on_exec = 1;
	attr->sigtrap = 1;
	attr->exclude_kernel = 1;
	attr->exclude_hv = 1;
	attr->sig_data = data;
}

#endif
