/* SPDX-License-Identifier: MIT */
/*
 * All that the shim remembers: one struct, filled by the constructor, never
 * written again, in a shared mapping of its own, so that no fork copies it.
 * What changes lives in the segment, which is shared too.  The exceptions are
 * rare and deliberate: a process that goes quiet, or that takes our memory
 * away, gets a private copy (guard.h).
 */
#ifndef CT_TRACED_SHIM_H
#define CT_TRACED_SHIM_H

#include "base/base.h"
#include "channel/segment.h"

/* Functions of the next library in search order that the wrappers call. */
#define CT_NEXT_LIST(X)      \
	X(fork)              \
	X(_Fork)             \
	X(vfork)             \
	X(clone)             \
	X(posix_spawn)       \
	X(posix_spawnp)      \
	X(wait)              \
	X(waitpid)           \
	X(wait3)             \
	X(wait4)             \
	X(waitid)            \
	X(execve)            \
	X(execvpe)           \
	X(fexecve)           \
	X(execveat)          \
	X(_exit)             \
	X(mmap)              \
	X(mmap64)            \
	X(munmap)            \
	X(mremap)            \
	X(madvise)           \
	X(posix_madvise)     \
	X(process_madvise)   \
	X(mprotect)          \
	X(mlock)             \
	X(mlock2)            \
	X(mlockall)          \
	X(munlock)           \
	X(munlockall)        \
	X(brk)               \
	X(sbrk)              \
	X(prctl)             \
	X(pthread_create)    \
	X(pthread_exit)      \
	X(thrd_create)       \
	X(sigaction)         \
	X(signal)            \
	X(__sysv_signal)     \
	X(pthread_sigmask)   \
	X(sigprocmask)       \
	X(sigaltstack)       \
	X(sigsuspend)        \
	X(ppoll)             \
	X(__ppoll_chk)       \
	X(pselect)           \
	X(epoll_pwait)       \
	X(epoll_pwait2)      \
	X(__register_atfork) \
	X(__cxa_atexit)      \
	X(__cxa_at_quick_exit)

#define CT_NEXT_ID(name) CT_NEXT_##name,
enum ct_next_id { CT_NEXT_LIST(CT_NEXT_ID) CT_NEXT_NR };
#undef CT_NEXT_ID

struct ct_shim {
	/* NULL: no recorder took us in, and every wrapper passes through. */
	struct ct_segment *seg;
	/*
	 * No system call of ours any more: the process has, or is about to have,
	 * a seccomp filter.  quiet_slot: its slot, or -1.
	 */
	bool quiet;
	s32 quiet_slot;
	void *next[CT_NEXT_NR];
	/* Our own library in memory, [start, end): frames in it are not shown. */
	u64 text_start, text_end;
	size_t thread_stack_len; /* default, guard included */
	/*
	 * An engine, all 0 without one: has a userfaultfd, or an event; the handler's
	 * signal; stacks.
	 */
	bool uffd, perf;
	s32 stack_signal;
	u64 stacks_start, stacks_end;
	/* Of an alternate stack of the program's own: room for our handler; on top of its own. */
	size_t stack_min_len, stack_nested_len;
	/* What an exec must pass on: "NAME=value", or empty. */
	char env_recorder[192];
	char env_preload[768];
};

/* The library's one variable: NULL until the constructor has run. */
extern struct ct_shim *ct_shim;

/* The next function of this name; looked up where the constructor has not run yet. */
void *ct_next_find(enum ct_next_id id);

/* To be called as the function itself: CT_NEXT(fork)(). */
#define CT_NEXT(name) ((__typeof__(&name))ct_next_find(CT_NEXT_##name))

#endif
