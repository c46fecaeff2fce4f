/* SPDX-License-Identifier: MIT */
/*
 * Protection lifted without waking, a signal with a value, then the wake: the
 * handler runs before the store is tried again, its context has the PC and SP of the
 * storing instruction, and there is no second message.  A signal sent first,
 * while the page is still protected, ends the wait: the store faults again, and
 * there are two messages.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "place.h"
#include "subject.h"

#define NR 500
#define NR_FIRST 50
#define STACK (64 << 10)

/* shared: DONE, then of each page what the handler saw. */
enum { HANDLED, TID, PC = 1024, SP = PC + NR, BEFORE = SP + NR, RIGHT = BEFORE + NR };

static char *p, *stack;

#if HAVE_PLACE
static void handler(int sig, siginfo_t *si, void *context)
{
	const ucontext_t *uc = context;
	size_t i = (size_t)si->si_value.sival_int;

	shared[RIGHT + i] = (uint64_t)uc->uc_mcontext.gregs[REG_RIP] == shared[PC + i] &&
			    (uint64_t)uc->uc_mcontext.gregs[REG_RSP] == shared[SP + i];
	/* A read of a page that is protected from writing: no fault. */
	shared[BEFORE + i] = (uint64_t)((volatile char *)p)[i * PAGE];
	shared[HANDLED]++;
}
#else
static void handler(int sig, siginfo_t *si, void *context)
{
}
#endif

static void *writes(void *arg)
{
	uint64_t pc, sp;

	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = STACK }, NULL);
	shared[TID] = (uint64_t)syscall(SYS_gettid);
	for (size_t i = 0; i < NR; i++)
		place_store(p + i * PAGE, 2, &pc, &sp);
	return NULL;
}

static void step(int n)
{
	struct sigaction sa = { .sa_sigaction = handler,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	pthread_t t;

	if (n == 0) {
		lab_fill(p, NR, 1);
		sigaction(SIGRTMAX - 2, &sa, NULL);
	} else if (n == 1) {
		pthread_create(&t, NULL, writes, NULL);
		pthread_join(t, NULL);
	}
}

static void ask(struct subject *s, pid_t tid, size_t page)
{
	siginfo_t si = { .si_signo = SIGRTMAX - 2, .si_code = SI_QUEUE };

	si.si_value.sival_int = (int)page;
	if (syscall(SYS_rt_tgsigqueueinfo, s->pid, tid, SIGRTMAX - 2, &si) < 0)
		lab_die("rt_tgsigqueueinfo");
}

/* Serves all messages of one pass over the pages; returns how many there were. */
static int serve(struct subject *s, bool signal_first, size_t nr_signalled)
{
	size_t seen = 0;
	int nr = 0;

	memset((void *)shared, 0, NR_SHARED * sizeof(*shared));
	uffd_arm(s->uffd, p, NR);
	subject_tell(s, 1);
	while (!subject_done(s, 0)) {
		struct uffd_msg m;
		uint64_t pc, sp;
		pid_t tid;
		size_t i;

		if (!uffd_readable(s->uffd, 1))
			continue;
		m = uffd_next(s->uffd);
		nr++;
		i = (m.arg.pagefault.address - (uintptr_t)p) / PAGE;
		tid = (pid_t)m.arg.pagefault.feat.ptid;
		if (i < seen || seen >= nr_signalled) {
			uffd_lift(s->uffd, p + i * PAGE, 1, true);
			continue;
		}
		seen = i + 1;
		check(thread_place(s->pid, tid, &pc, &sp) == -1, "not in user mode");
		shared[PC + i] = pc;
		shared[SP + i] = sp;
		if (signal_first) {
			ask(s, tid, i);
			while (shared[HANDLED] < seen)
				usleep(50);
			usleep(300);
			continue; /* it comes again */
		}
		check(uffd_lift(s->uffd, p + i * PAGE, 1, false) == 0, "lift");
		ask(s, tid, i);
		check(uffd_wake(s->uffd, p + i * PAGE, 1) == 0, "wake");
	}
	return nr;
}

static void judge(size_t nr)
{
	size_t right = 0, before = 0;

	for (size_t i = 0; i < nr; i++) {
		right += shared[RIGHT + i] == 1;
		before += shared[BEFORE + i] == 1;
	}
	check(shared[HANDLED] == nr, "%llu handlers for %zu signals",
	      (unsigned long long)shared[HANDLED], nr);
	check(right == nr, "PC and SP right in %zu of %zu", right, nr);
	check(before == nr, "before the store in %zu of %zu", before, nr);
}

int main(void)
{
	struct subject s;
	int nr;

	if (!HAVE_PLACE)
		lab_skip("written for x86-64");
	p = lab_map(NR);
	stack = lab_map(STACK / PAGE);
	s = subject_serve(step);
	subject_step(&s, 0);
	nr = serve(&s, false, NR);
	judge(NR);
	check(nr == NR, "%d messages for %d pages", nr, NR);
	subject_step(&s, 0);
	nr = serve(&s, true, NR_FIRST);
	check(nr == NR + NR_FIRST, "signal first: %d messages for %d pages, %d signalled", nr, NR,
	      NR_FIRST);
	subject_end(&s);
	return lab_result();
}
