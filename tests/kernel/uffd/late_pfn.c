/* SPDX-License-Identifier: MIT */
/*
 * The frame seen right after lifting a shared page's protection may still be the old
 * one, although the write will copy: the thread has to be woken and to try again first.
 * On two processors that is a race, on one nearly sure.  Once the same thread has sent its next
 * message, its former page is settled: another frame where the page was shared, the same where it
 * was not.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "subject.h"

#define NR 500

static char *p;

static void step(int n)
{
	if (n == 0) {
		/* And no haste. */
		if (nice(19) < 0)
			lab_die("nice");
		lab_fill(p, NR, 1);
	} else if (n == 1) {
		if (fork() == 0)
			for (;;)
				pause();
	} else if (n == 2) {
		lab_fill(p, NR, 2);
	}
}

/* Serves one pass; of each page: was it as before right after, and when settled? */
static void pass(struct subject *s, bool shared_page, size_t *ret_early)
{
	uint64_t was[NR], now;
	size_t wrong = 0;
	struct uffd_msg m;

	*ret_early = 0;
	lab_entries(s->pagemap, p, NR, was);
	subject_tell(s, 2);
	for (size_t i = 0; i < NR; i++) {
		m = uffd_next(s->uffd);
		if (i > 0) {
			now = lab_pfn(s->pagemap, p + (i - 1) * PAGE);
			wrong += (now != (was[i - 1] & PM_PFN)) != shared_page;
		}
		check(m.arg.pagefault.address == (uintptr_t)p + i * PAGE, "out of order");
		uffd_lift(s->uffd, p + i * PAGE, 1, true);
		*ret_early += lab_pfn(s->pagemap, p + i * PAGE) == (was[i] & PM_PFN);
	}
	check(subject_done(s, 10000), "not done");
	check(wrong == 0, "%zu of %d frames not settled by the next message", wrong, NR);
}

int main(void)
{
	struct subject s;
	size_t early;
	int child;

	lab_need_pfns();
	/* On one processor the woken thread has to wait for us. */
	lab_pin(0);
	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	pass(&s, false, &early);
	check(early == NR, "an exclusive page changed its frame");
	check(uffd_protect(s.uffd, p, NR) == 0, "protect");
	subject_tell(&s, 1);
	child = uffd_next_fork(s.uffd);
	check(subject_done(&s, 10000), "fork");
	pass(&s, true, &early);
	printf("right after lifting, %zu of %d shared pages had the old frame\n", early, NR);
	check(early > 0, "the new frame is seen at once: no need to wait for it");
	close(child);
	subject_end(&s);
	return lab_result();
}
