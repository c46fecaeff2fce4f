/* SPDX-License-Identifier: MIT */
/*
 * What a program can tell a recording, and ask of it.
 *
 * Link with libcowtrace (pkg-config cowtrace) and leave the calls in: when
 * nothing records they check their arguments and return, a few ns each.  Under
 * `cowtrace record` the preloaded library answers them instead.
 *
 * Every call may be made from any thread, from a signal handler and from a
 * forked child.  None of them allocates, blocks, takes a lock or sets errno;
 * results are 0 or a negative errno value.  In the child of vfork() they do
 * nothing.
 */
#ifndef COWTRACE_TRACE_H
#define COWTRACE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest name that is kept, in bytes, without its NUL; the rest is cut off. */
#define COWTRACE_NAME_MAX 63

/*
 * Names the memory [addr, addr + len): the report then shows what was copied in
 * it under this name.  Any range of the process, byte-exact; pages that it
 * touches in part are counted with it.  Where tags overlap the newest counts.
 * A child inherits the tags of its parent; munmap() ends them.
 *
 * @addr: first byte
 * @len: in bytes
 * @name: copied, at most COWTRACE_NAME_MAX bytes
 *
 * Cost while recording: one event with the call stack, some 5 us.
 *
 * Returns 0, or -EINVAL (len is 0, the range wraps, name is NULL).
 */
int cowtrace_region_tag(const void *addr, size_t len, const char *name);

/*
 * Takes away the names within [addr, addr + len), also from parts of tags.
 *
 * @addr: first byte
 * @len: in bytes
 *
 * Cost while recording: one event, some 0.5 us.
 *
 * Returns 0, or -EINVAL (len is 0, or the range wraps).
 */
int cowtrace_region_untag(const void *addr, size_t len);

/*
 * Says in which phase of its life the process is: "boot", "serve", "gc", "exit",
 * or any other word.  Each fork is reported with the phase in which it happened.
 * A child begins in the phase of its parent.
 *
 * @name: copied, at most COWTRACE_NAME_MAX bytes; NULL or "": none
 *
 * Cost while recording: one event, some 0.5 us.
 *
 * Returns 0, or -ENOSPC (a recording holds 63 different names).
 */
int cowtrace_phase(const char *name);

/* Totals of this process since it was forked or executed; pages of 4 KiB. */
struct cowtrace_stats {
	size_t sz;	       /* sizeof(struct cowtrace_stats), set by the caller */
	uint64_t forks;	       /* in which it was the parent */
	uint64_t shared_pages; /* shared at those forks */
	/* copied since, by this process or by its children; 0 where page frames are hidden */
	uint64_t copied_pages;
	uint64_t dropped_pages; /* no longer mapped */
	uint64_t lost_events;	/* of the whole recording: calls it did not hear of */
};

/*
 * What the recording knows of this process so far.  The recorder brings the
 * numbers up to date whenever it reads the process, and they may be some
 * hundred ms old.
 *
 * @ret: ret->sz is set by the caller; as many fields as it covers are filled in,
 *       only on success
 *
 * Cost: two system calls at most and some loads.
 *
 * Returns 0; -ENOTCONN (nothing records this process); -EINVAL (ret is NULL, or
 * ret->sz is too small to be one).
 */
int cowtrace_stats(struct cowtrace_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
