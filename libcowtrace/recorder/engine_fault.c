/* SPDX-License-Identifier: MIT */
/*
 * One first write: what lies there, what the kernel will do with it, who writes.
 *
 * The order is the whole matter.  The page is made writable without waking the
 * thread, then the signal that asks for the stack is sent, then the thread is
 * woken: its handler runs before the store is tried again, so that the stack is
 * that of the store; and nobody waits for the handler, so that one that cannot
 * run (blocked, killed) holds up nothing.
 *
 * Invariant: every message ends in a wake, or in the deferred list.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/slot.h"
#include "channel/stacks.h"
#include "channel/threads.h"
#include "recorder/engine_int.h"
#include "sys/mem.h"
#include "sys/pagemap.h"
#include "sys/uffd.h"

/* Faults that wait for a fork; each is a thread that stands still. */
#define DEFERRED_MAX 65536u

/*
 * The kernel may wake a thread for a reason that is gone (a lock that it had waited
 * for): it faults again as soon as it runs, and there is another message.  That is
 * believed so often in turn; then its write is told without a place, or a program that
 * sends itself signals without a pause would hardly get on.
 */
#define VAIN_MAX 32u
/* A thread that was woken has written by then, on a busy machine too. */
#define RACE_NS (50 * CT_NSEC_PER_MSEC)

/* What is known of a page before the write. */
struct look {
	u64 entry; /* of the pagemap */
	u64 flags; /* KPF_*; 0 where unknown */
	bool have_flags, huge, zero;
	bool shared; /* mapped more than once */
};

static bool is_huge(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr)
{
	struct ct_scan_run run;
	u64 next;

	return e->caps.pagemap_scan &&
	       ct_pagemap_scan_huge(x->pagemap_fd, addr, addr + CT_PAGE_SIZE, &run, 1, &next) == 1;
}

#define LARGE (CT_KPF_COMPOUND_HEAD | CT_KPF_COMPOUND_TAIL)

/* 0, or -ESRCH: the memory has gone. */
static int look_at(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr, struct look *ret)
{
	u64 pfn, count;

	memset(ret, 0, sizeof(*ret));
	if (x->pagemap_fd < 0 ||
	    ct_pagemap_read(x->pagemap_fd, ct_page_of(addr), 1, &ret->entry) != 1)
		return -ESRCH;
	pfn = ret->entry & CT_PM_PFN_MASK;
	if (!(ret->entry & CT_PM_PRESENT) || !pfn)
		return 0;
	ret->zero = pfn == e->caps.zero_pfn;
	ret->have_flags = e->caps.kpage && ct_kpage_flags(e->o.kpage, pfn, 1, &ret->flags) == 1;
	if (ret->have_flags && (ret->flags & CT_KPF_ZERO_PAGE))
		ret->zero = true;
	if (!ret->have_flags || (ret->flags & CT_KPF_THP))
		ret->huge = is_huge(e, x, addr);
	/*
	 * Bit 56 saves a system call; but where the kernel keeps no map count for each page
	 * it says "shared" of a huge page that has lost its other mappers.
	 */
	ret->shared = !(ret->entry & CT_PM_EXCLUSIVE);
	if (ret->huge && ct_kpage_counts(e->o.kpage, pfn, 1, &count) == 1)
		ret->shared = count > 1;
	return 0;
}

static void know(struct cowtrace_page_state *st, enum cowtrace_field field, u32 value)
{
	cowtrace_page_state_set(st, field, value);
}

/*
 * The state as far as it is known.  Flags of a large folio are its head's on
 * some kernels and its own on others (facts differ from 6.12 on): EXCLUSIVE is
 * said of small pages, and of a page that a PMD maps.
 */
static void state_of(const struct ct_engine *e, const struct look *l,
		     struct cowtrace_page_state *st)
{
	const bool large = l->have_flags && (l->flags & LARGE);
	const bool exclusive = l->flags & CT_KPF_ANON_EXCLUSIVE;
	const bool shared = l->shared;

	memset(st, 0, sizeof(*st));
	know(st, COWTRACE_FIELD_FILE, 0);
	know(st, COWTRACE_FIELD_SHARED, 0);
	know(st, COWTRACE_FIELD_SPECIAL, 0);
	know(st, COWTRACE_FIELD_HUGETLB, 0);
	know(st, COWTRACE_FIELD_UFFD_WP, 0); /* when it is decided, it will not be any more */
	know(st, COWTRACE_FIELD_UFFD_ASYNC, 0);
	/* Nobody can know; when it happens the access faults again. */
	know(st, COWTRACE_FIELD_CHANGED, 0);
	know(st, COWTRACE_FIELD_ZERO, l->zero);
	know(st, COWTRACE_FIELD_PMD, l->huge);
	if (!l->have_flags)
		return;
	/*
	 * How large a large one is that PTEs map decides nothing but how many references
	 * the swap cache has of it.
	 */
	if (l->huge)
		know(st, COWTRACE_FIELD_ORDER, 9);
	else if (!large || !(l->flags & CT_KPF_SWAPCACHE))
		know(st, COWTRACE_FIELD_ORDER, large ? 2 : 0);
	if (l->zero)
		return;
	if (e->caps.anon_exclusive && (!large || (l->huge && exclusive)))
		know(st, COWTRACE_FIELD_EXCLUSIVE, exclusive);
	if (!e->caps.ksm_flag_lies)
		know(st, COWTRACE_FIELD_KSM, !!(l->flags & CT_KPF_KSM));
	else if (exclusive)
		know(st, COWTRACE_FIELD_KSM, 0); /* a merged page never is */
	know(st, COWTRACE_FIELD_WRITEBACK, !!(l->flags & CT_KPF_WRITEBACK));
	know(st, COWTRACE_FIELD_LOCKED, !!(l->flags & CT_KPF_LOCKED));
	know(st, COWTRACE_FIELD_SWAPCACHE, !!(l->flags & CT_KPF_SWAPCACHE));
	/* Up to 6.1 a tail never shows it. */
	if (!large)
		know(st, COWTRACE_FIELD_LRU, !!(l->flags & CT_KPF_LRU));
	if (l->entry & CT_PM_PFN_MASK) {
		/* No rule asks how often beyond that. */
		know(st, COWTRACE_FIELD_MAPCOUNT, shared ? 2 : 1);
		/* Nobody maps a page twice: there are two processes, and it is not exclusive. */
		if (large && shared) {
			know(st, COWTRACE_FIELD_MM_SHARED, 1);
			know(st, COWTRACE_FIELD_EXCLUSIVE, 0);
			if (l->huge)
				know(st, COWTRACE_FIELD_LARGE_MAPCOUNT, 2);
		}
	}
}

/*
 * A relative was let write the same frame a moment ago, and may or may not have
 * taken its copy by the time the kernel decides here: how often it is mapped then
 * cannot be known.
 */
static bool is_racing(const struct ct_engine *e, const struct ct_engine_ctx *x, u64 pfn, u64 now)
{
	u32 i = (u32)pfn & (CT_ENGINE_RECENT - 1);

	return e->recent[i].pfn == pfn && e->recent[i].ctx != x->id &&
	       now - e->recent[i].t_ns < RACE_NS;
}

void ct_engine_remember(struct ct_engine *e, const struct ct_engine_ctx *x, u64 pfn, u64 now)
{
	u32 i = (u32)pfn & (CT_ENGINE_RECENT - 1);

	e->recent[i].pfn = pfn;
	e->recent[i].ctx = x->id;
	e->recent[i].t_ns = now;
}

/* Does the verdict leave the huge page whole?  Then all of it is made writable. */
static bool stays_huge(const struct look *l, const struct ct_seen *seen,
		       const struct cowtrace_verdict *v)
{
	enum cowtrace_action action = v->action;

	if (!l->huge || !(seen->flags & CT_SEEN_PREDICTED))
		return false;
	if (action == COWTRACE_UNCERTAIN)
		action = v->likely;
	return action == COWTRACE_REUSE || action == COWTRACE_COPY_HUGE ||
	       action == COWTRACE_ALLOC_ZEROED;
}

/* Fills in the verdict; returns whether 2 MiB are to be resolved. */
static bool predict(struct ct_engine *e, const struct look *l, bool racing, struct ct_seen *seen)
{
	struct cowtrace_page_state st;
	struct cowtrace_verdict v;

	seen->predicted = COWTRACE_UNCERTAIN;
	seen->likely = COWTRACE_UNCERTAIN;
	seen->decides = COWTRACE_NR_FIELDS;
	if (!(l->entry & CT_PM_PRESENT))
		return false;
	state_of(e, l, &st);
	if (racing && !(st.flags & COWTRACE_BIT(COWTRACE_FIELD_EXCLUSIVE)))
		st.known &= ~(COWTRACE_BIT(COWTRACE_FIELD_MAPCOUNT) |
			      COWTRACE_BIT(COWTRACE_FIELD_MM_SHARED) |
			      COWTRACE_BIT(COWTRACE_FIELD_LARGE_MAPCOUNT));
	if (cowtrace_policy_judge(e->o.model, &st, &v))
		return false;
	seen->flags |= CT_SEEN_PREDICTED;
	seen->predicted = v.action;
	seen->reason = v.reason;
	seen->decides = v.decides;
	seen->likely = v.likely;
	if (v.action == COWTRACE_SPLIT) {
		/* What becomes of this page; the loss of the huge page stands in the flags. */
		seen->predicted = v.then;
		seen->reason = v.then_reason;
	}
	return stays_huge(l, seen, &v);
}

static int send_signal(const struct ct_engine *e, s32 pid, s32 tid, int sig, u64 ticket)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = sig;
	info.si_code = CT_STACK_SI_CODE;
	info.si_pid = e->pid;
	info.si_uid = (uid_t)e->uid;
	info.si_value.sival_ptr = (void *)ticket;
	return syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info) ? -errno : 0;
}

static bool outstanding(const struct ct_engine *e, u64 ticket)
{
	const struct ct_stack *s = &e->o.seg->stacks[ticket & (CT_SEG_STACKS - 1)];
	u32 state = atomic_load_explicit(&s->state, memory_order_acquire);

	return ticket && atomic_load_explicit(&s->ticket, memory_order_relaxed) == ticket &&
	       (state == CT_STACK_ASKED || state == CT_STACK_RUNNING);
}

/*
 * The thread has not moved since it was asked: what is written is the kernel's own,
 * on the way into the handler (the rseq area beside the thread's control block).  It
 * is written at any preemption; the instruction has no part in it.
 */
static bool is_on_its_way(const struct ct_engine *e, u64 ticket, const struct ct_where *at)
{
	const struct ct_stack *s = &e->o.seg->stacks[ticket & (CT_SEG_STACKS - 1)];

	return outstanding(e, ticket) && s->pc == at->pc && s->sp == at->sp;
}

static void find_slot(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_segment *seg = e->o.seg;

	if (x->slot >= 0 &&
	    atomic_load_explicit(&seg->slots[x->slot].pid, memory_order_relaxed) == x->pid)
		return;
	x->slot = ct_slot_of_pid(seg, x->pid);
}

/* May this thread be asked for its stack, and if not, why. */
static enum ct_no_site may_ask(struct ct_engine *e, struct ct_engine_ctx *x,
			       const struct ct_engine_thread *t, u64 sp)
{
	struct ct_segment *seg = e->o.seg;

	find_slot(e, x);
	if (x->slot < 0 ||
	    atomic_load_explicit(&seg->slots[x->slot].no_stacks, memory_order_acquire) !=
		    CT_STACKS_OK ||
	    !ct_thread_ready_at(seg, (u32)x->slot, t->tid, sp))
		return CT_NO_STACK;
	/*
	 * It has not answered yet: it faults in our own handler's frame, or it holds
	 * the signal blocked and the answer will come too late.
	 */
	return outstanding(e, t->ticket) ? CT_NO_BLOCKED_SIGNAL : CT_SITE_KNOWN;
}

/* Takes a place for the stack; the thread does not know of it yet. */
static void choose_place(struct ct_engine *e, struct ct_engine_ctx *x, struct ct_engine_thread *t,
			 const struct ct_where *at, struct ct_seen *seen)
{
	u64 ticket;

	if (is_on_its_way(e, t->ticket, at)) {
		seen->access = CT_ACCESS_KERNEL;
		seen->no_site = CT_NO_KERNEL_WRITE;
		seen->pc = 0;
		return;
	}
	seen->no_site = may_ask(e, x, t, at->sp);
	if (seen->no_site != CT_SITE_KNOWN)
		return;
	if (ct_stack_ask(e->o.seg, &e->next_ticket, at->pc, at->sp, &ticket)) {
		seen->no_site = CT_NO_RECORDER_LATE;
		return;
	}
	seen->ticket = ticket;
	seen->no_site = CT_NO_BLOCKED_SIGNAL; /* until the answer is there */
	t->ticket = ticket;
}

/* The signal wakes the thread: all that has to be known of the write is told by now. */
static void ask_stack(struct ct_engine *e, const struct ct_engine_ctx *x,
		      const struct ct_engine_thread *t)
{
	struct ct_segment *seg = e->o.seg;
	const struct ct_slot *slot = &seg->slots[x->slot];
	int sig;

	/* An exec that begins now waits until we are through (ct_engine_hush()). */
	atomic_store(&e->signalling, (u32)x->slot + 1);
	sig = (int)slot->stack_signal;
	if (atomic_load(&slot->no_stacks) != CT_STACKS_OK || sig < SIGRTMIN || sig > SIGRTMAX ||
	    send_signal(e, x->pid, t->tid, sig, t->ticket))
		ct_stack_refuse(seg, t->ticket);
	atomic_store(&e->signalling, 0);
}

/* The top of the stack of a system call's caller, for callers.h; no signal is sent. */
static void keep_words(struct ct_engine *e, struct ct_engine_ctx *x, const struct ct_where *at,
		       struct ct_seen *seen)
{
	struct ct_segment *seg = e->o.seg;
	struct ct_stack *stack;
	size_t len;
	u64 ticket;

	if (x->mem_fd < 0 && ct_mem_open(x->pid, &x->mem_fd))
		return;
	if (ct_stack_ask(seg, &e->next_ticket, at->pc, at->sp, &ticket))
		return;
	stack = ct_stack_take(seg, ticket, at->pc, at->sp);
	if (!stack)
		return;
	/* It ends at the end of the stack: less is fine. */
	len = ct_mem_read(x->mem_fd, at->sp, stack->pcs, sizeof(stack->pcs));
	ct_stack_done(stack, ticket, (u32)(len / sizeof(u64)));
	seen->ticket = ticket;
	seen->flags |= CT_SEEN_WORDS;
}

/*
 * Who writes, and from where; the thread stands in the fault.  *ret: whom to ask for
 * its stack, or NULL.  -EAGAIN: it runs, and will fault again.
 */
static int who(struct ct_engine_ctx *x, s32 tid, struct ct_where *at, struct ct_seen *seen,
	       struct ct_engine_thread **ret)
{
	struct ct_engine_thread *t = ct_engine_thread_get(x, tid);
	int err;

	*ret = NULL;
	memset(at, 0, sizeof(*at));
	seen->syscall = -1;
	seen->no_site = CT_NO_STACK;
	if (!t)
		return 0;
	err = ct_engine_where(t, at);
	if (err && err != -EAGAIN && ct_engine_thread_again(x, t))
		err = ct_engine_where(t, at);
	if (err == -EAGAIN && t->vain++ < VAIN_MAX)
		return err;
	t->vain = 0;
	if (err) {
		seen->access = CT_ACCESS_FOREIGN;
		return 0;
	}
	seen->pc = at->pc;
	seen->syscall = at->syscall;
	if (!at->kernel) {
		*ret = t;
		return 0;
	}
	/* A signal would make a system call come back short: never there. */
	seen->access = CT_ACCESS_KERNEL;
	seen->no_site = CT_NO_KERNEL_WRITE;
	return 0;
}

static int defer(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr, s32 tid)
{
	struct ct_deferred *v;
	u32 cap;

	if (x->nr_deferred == x->cap_deferred) {
		cap = x->cap_deferred ? x->cap_deferred * 2 : 64;
		v = cap <= DEFERRED_MAX ? realloc(x->deferred, cap * sizeof(*v)) : NULL;
		if (!v)
			return -ENOMEM;
		x->deferred = v;
		x->cap_deferred = cap;
	}
	e->waits = true;
	x->deferred[x->nr_deferred++] = (struct ct_deferred){ addr, tid };
	return 0;
}

/* The kernel looks at this first, before the range and before any lock. */
bool ct_engine_is_changing(const struct ct_engine_ctx *x)
{
	return ct_uffd_unprotect(x->fd, 0, 0, false) == -EAGAIN;
}

bool ct_engine_forking(struct ct_engine *e, struct ct_engine_ctx *x)
{
	if (x->slot < 0 && x->pid)
		find_slot(e, x);
	atomic_store_explicit(&e->o.seg->looks_at[1], (u32)(x->slot + 1), memory_order_relaxed);
	return ct_slot_is_cloning(e->o.seg, (u32)(x->slot + 1));
}

/* 0: resolved, or let alone for good; -EAGAIN: not now. */
static int resolve(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr, s32 tid)
{
	struct ct_seen seen = { .type = CT_SEEN_WRITE, .ctx = x->id, .tid = tid };
	u64 start = ct_page_down(addr), len = CT_PAGE_SIZE;
	struct ct_engine_thread *t;
	struct ct_where at;
	u64 pfn, now = ct_now_ns();
	struct look l;
	bool forking;
	int err;

	/* Reading its page map would wait for the whole clone. */
	forking = ct_engine_forking(e, x);
	if (forking && ct_engine_is_changing(x))
		return -EAGAIN;
	if (look_at(e, x, start, &l))
		return ct_uffd_unprotect(x->fd, start, len, true);
	if (!(l.entry & CT_PM_UFFD_WP) && (l.entry & CT_PM_PRESENT))
		/* Another thread was first, or the page was made anew since. */
		return ct_uffd_wake(x->fd, start, len);
	pfn = l.entry & CT_PM_PRESENT ? l.entry & CT_PM_PFN_MASK : 0;
	if (predict(e, &l, is_racing(e, x, pfn, now), &seen)) {
		start &= ~(u64)(CT_HUGE_SIZE - 1);
		len = CT_HUGE_SIZE;
		seen.flags |= CT_SEEN_WHOLE;
	}
	if (who(x, tid, &at, &seen, &t) == -EAGAIN)
		return ct_uffd_wake(x->fd, ct_page_down(addr), CT_PAGE_SIZE);
	err = ct_uffd_unprotect(x->fd, start, len, false);
	if (err)
		return err;
	if (t)
		choose_place(e, x, t, &at, &seen);
	else if (at.kernel)
		keep_words(e, x, &at, &seen);
	seen.flags |= (l.huge ? CT_SEEN_HUGE : 0) | (l.zero ? CT_SEEN_ZERO : 0);
	seen.epoch = x->epoch;
	seen.page = ct_page_of(addr);
	seen.pfn = pfn;
	seen.t_ns = ct_now_ns();
	ct_engine_remember(e, x, pfn, seen.t_ns);
	/* Before the thread can go on: what it does then comes later. */
	if (!ct_engine_put(e, &seen) && seen.ticket)
		ct_stack_drop(e->o.seg, seen.ticket);
	else if (t && seen.ticket)
		ask_stack(e, x, t);
	return ct_uffd_wake(x->fd, start, len);
}

int ct_engine_fault(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr, s32 tid)
{
	int err;

	if (!x->pid)
		ct_engine_identify(e, x, tid);
	err = resolve(e, x, addr, tid);
	if (err == -EAGAIN && !defer(e, x, addr, tid))
		return 0;
	if (err == -ESRCH)
		return err;
	/* Unmapped since, or nothing that we know how to mend: the access is tried again. */
	if (err)
		ct_uffd_wake(x->fd, ct_page_down(addr), CT_PAGE_SIZE);
	return 0;
}

void ct_engine_retry(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_deferred *v = x->deferred;
	u32 i, nr = x->nr_deferred;

	if (!nr)
		return;
	x->deferred = NULL;
	x->nr_deferred = x->cap_deferred = 0;
	for (i = 0; i < nr; i++)
		if (ct_engine_fault(e, x, v[i].addr, v[i].tid))
			break;
	free(v);
}
