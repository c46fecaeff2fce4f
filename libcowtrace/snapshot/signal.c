/* SPDX-License-Identifier: MIT */
/*
 * First writes served by the writing thread, in its SIGBUS handler.
 *
 * The kernel tells a handler an address and nothing else, so this file has the
 * library's one piece of mutable static storage: which addresses are whose.
 *
 * What holds always: a SIGBUS that is not a first write to a heap goes to the
 * handler that was there before, as if ours were not.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "snapshot/heap.h"

#define MAX_HEAPS 64

static struct {
	_Atomic u32 lock; /* of starting and stopping */
	u32 nr;
	bool forks_known;
	struct sigaction before;
	struct {
		_Atomic u64 start; /* 0: free */
		_Atomic u64 len;
		struct cowtrace_heap *_Atomic heap;
	} heaps[MAX_HEAPS];
} ct_snap_signal;

static struct cowtrace_heap *heap_of(u64 addr)
{
	for (u32 i = 0; i < MAX_HEAPS; i++) {
		u64 start =
			atomic_load_explicit(&ct_snap_signal.heaps[i].start, memory_order_acquire);

		if (start && addr - start < atomic_load_explicit(&ct_snap_signal.heaps[i].len,
								 memory_order_relaxed))
			return atomic_load_explicit(&ct_snap_signal.heaps[i].heap,
						    memory_order_relaxed);
	}
	return NULL;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *before = &ct_snap_signal.before;

	if (before->sa_flags & SA_SIGINFO) {
		before->sa_sigaction(sig, info, context);
	} else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(sig);
	} else {
		/* The access is made again and ends the process, as it would have. */
		struct sigaction dfl = { .sa_handler = SIG_DFL };

		sigaction(sig, &dfl, NULL);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	u64 addr = (u64)(uintptr_t)info->si_addr;
	struct cowtrace_heap *h = info->si_code == BUS_ADRERR ? heap_of(addr) : NULL;
	int saved = errno;

	if (!h || ct_snap_heap_check(h) ||
	    ct_snap_first_write(h, ct_page_of(addr - (uintptr_t)h->base)))
		pass_on(sig, info, context);
	errno = saved;
}

static int install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction now;

	/* Everything is blocked: locks are held, and another handler may write to a heap. */
	sigfillset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &now))
		return -errno;
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus)
		return 0;
	ct_snap_signal.before = now;
	return sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}

static void uninstall(void)
{
	struct sigaction now;

	/* Somebody else's stands before ours: it passes on to ours, which passes on. */
	if (!sigaction(SIGBUS, NULL, &now) && now.sa_flags & SA_SIGINFO &&
	    now.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &ct_snap_signal.before, NULL);
}

static void before_fork(void)
{
	ct_snap_lock(&ct_snap_signal.lock);
}

static void after_fork(void)
{
	ct_snap_unlock(&ct_snap_signal.lock);
}

/* A child must not find the lock held by a thread that it has not. */
static int know_forks(void)
{
	int err = ct_snap_signal.forks_known ? 0
					     : pthread_atfork(before_fork, after_fork, after_fork);

	ct_snap_signal.forks_known = !err;
	return -err;
}

int ct_snap_signal_start(struct cowtrace_heap *h)
{
	u64 sig = ct_snap_signals_block();
	int err = -EBUSY;
	u32 i = 0;

	ct_snap_lock(&ct_snap_signal.lock);
	while (i < MAX_HEAPS && ct_snap_signal.heaps[i].start)
		i++;
	if (i < MAX_HEAPS)
		err = know_forks();
	if (!err && !ct_snap_signal.nr)
		err = install();
	if (!err) {
		ct_snap_signal.heaps[i].heap = h;
		ct_snap_signal.heaps[i].len = h->len;
		atomic_store(&ct_snap_signal.heaps[i].start, (uintptr_t)h->base);
		ct_snap_signal.nr++;
		h->signal_slot = (int)i;
	}
	ct_snap_unlock(&ct_snap_signal.lock);
	ct_snap_signals_restore(sig);
	return err;
}

void ct_snap_signal_stop(struct cowtrace_heap *h)
{
	u64 sig;

	if (h->signal_slot < 0)
		return;
	sig = ct_snap_signals_block();
	ct_snap_lock(&ct_snap_signal.lock);
	atomic_store(&ct_snap_signal.heaps[h->signal_slot].start, 0);
	if (!--ct_snap_signal.nr)
		uninstall();
	ct_snap_unlock(&ct_snap_signal.lock);
	ct_snap_signals_restore(sig);
	h->signal_slot = -1;
}
